"""Every registered id, in every way to play it, against Gymnasium's checks."""

from __future__ import annotations

import json
import pickle
from importlib.metadata import entry_points
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.errors import ResetNeeded
from vz_env.registration import DATASET_GROUP, env_id
from vz_env.vector import VideoZoomVectorEnv

ZOOM, ANSWER = format_zoom((12, 14), 8), "<answer>B</answer>"


def test_every_registered_id_is_checked_here(checked_ids):
    # What packages bring wants files of the user's: their tests put their ids through the same checks.
    brought = {env_id(point.name) for point in entry_points(group=DATASET_GROUP)}
    assert {name for name in gym.registry if name.startswith("VZ/")} - brought == set(checked_ids)


@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
def test_check_env_is_silent(make, render_mode):
    check_env(make(render_mode=render_mode).unwrapped)


def test_check_env_is_silent_without_frames(make):
    check_env(make(with_frames=False).unwrapped)


@pytest.mark.parametrize(
    "options",
    [
        {"zoom_mode": "forbidden"},
        {"zoom_mode": "forbidden", "protocol": "videozoomer"},
        {"budget": {"overview_frames": 0, "max_frames": 0}},
        {"budget": {"max_seconds": 0, "max_searches": 0}, "eyes": ["subtitle_search"]},
    ],
)
def test_check_env_is_silent_where_a_limit_is_nothing(tiny, options):
    env = gym.make("VZ/Needle-v0", dataset=tiny, render_mode="rgb_array", **options)
    check_env(env.unwrapped)
    env.reset(seed=0)
    for action in (ZOOM, ANSWER):  # through Gymnasium's checker of every step
        observation, _, terminated, truncated, _ = env.step(action)
        assert env.observation_space.contains(observation)
        if terminated or truncated:
            break


def test_two_environments_play_alike_for_50_steps(make):
    left, right = make(), make()
    assert data_equivalence(left.reset(seed=7), right.reset(seed=7))
    ends = 0
    for action in [make.script[n % len(make.script)] for n in range(50)]:
        ours, theirs = left.step(action), right.step(action)
        assert data_equivalence(ours, theirs)
        assert left.observation_space.contains(ours[0])
        if ours[2] or ours[3]:
            ends += 1
            assert data_equivalence(left.reset(), right.reset())
    assert ends >= 50 // len(make.script)


def test_random_actions_follow_the_seed(make):
    env = make()
    played = []
    for _ in range(2):
        env.action_space.seed(3)
        env.reset(seed=3)
        played.append([env.step(env.action_space.sample())])
        while not (played[-1][-1][2] or played[-1][-1][3]):
            played[-1].append(env.step(env.action_space.sample()))

    assert data_equivalence(played[0], played[1])


def test_pickle_goes_on_with_the_episode(make):
    env = make().unwrapped
    env.reset(seed=1)
    for action in make.script[:-1]:
        env.step(action)
    again = pickle.loads(pickle.dumps(env))

    assert data_equivalence(env.step(make.script[-1]), again.step(make.script[-1]))
    assert data_equivalence(env.reset(), again.reset())


def test_spec_survives_json(make):
    env = make(budget={"max_zooms": 4}, reward={"format": 0.1}, frame_size=[32, 32], describe="none")
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))

    assert again.unwrapped.budget.max_zooms == 4
    assert again.unwrapped.grammar == env.unwrapped.grammar
    assert data_equivalence(env.reset(seed=2), again.reset(seed=2))
    for action in make.script:
        assert data_equivalence(env.step(action), again.step(action))


def test_render_modes(make):
    text, picture = make(render_mode="ansi"), make(render_mode="rgb_array")
    for env in (text, picture):
        env.reset(seed=0)
        env.step(ZOOM)

    assert "zoom 1" in text.render()
    assert picture.render().shape == (416, 640, 3)
    assert picture.render().dtype == np.uint8
    assert make().unwrapped.render() is None


def test_close_twice_and_step_too_early(make):
    env = make()
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(ANSWER)
    env.reset(seed=0)
    for action in make.script:
        env.step(action)
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step(ANSWER)
    env.close()
    env.close()


def test_options_choose_the_episode(make):
    env = make()
    last = env.unwrapped.dataset.ids[-1]

    assert env.reset(options={"episode_id": last})[1]["episode_id"] == last
    assert env.unwrapped.episode.id == last


def vector_trajectory(envs: Any) -> list[Any]:
    """Play the script in both slots; the text, rewards and ends of every step."""
    observation, _ = envs.reset(seed=[5, 6])
    seen = [observation["text"], [frames.shape for frames in observation["frames"]]]
    for action in (ZOOM, "hm", ANSWER):
        observation, rewards, terminations, truncations, _ = envs.step((action, action))
        assert observation["budget"]["turns"].shape == (2,)
        seen += [observation["text"], rewards.tolist(), terminations.tolist(), truncations.tolist()]
    envs.close()
    return seen


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, on Python 3.12 and later
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_vector_environments_play_as_single_ones(make_tiny, context):
    dataset = make_tiny()

    def maker() -> VideoZoomEnv:
        return VideoZoomEnv(dataset)

    together = vector_trajectory(SyncVectorEnv([maker, maker]))
    apart = vector_trajectory(AsyncVectorEnv([maker, maker], shared_memory=False, context=context))
    single = [maker(), maker()]
    firsts = [env.reset(seed=seed)[0]["text"] for env, seed in zip(single, (5, 6), strict=True)]
    zooms = [env.step(ZOOM)[0]["text"] for env in single]

    assert together == apart
    assert list(together[0]) == firsts
    assert list(together[2]) == zooms


def test_the_native_vector_environment_plays_every_variant_as_single_ones(make):
    dataset = make().unwrapped.dataset
    vector = VideoZoomVectorEnv(dataset, 2, autoreset_mode="Disabled", **make.arguments)
    singles = [VideoZoomEnv(dataset, **make.arguments) for _ in range(2)]
    texts = [vector.reset(seed=3)[0]["text"]]
    expected = [tuple(env.reset(seed=3 + slot)[0]["text"] for slot, env in enumerate(singles))]
    for action in make.script:
        observation, rewards, terminated, truncated, _ = vector.step([action] * 2)
        steps = [env.step(action) for env in singles]
        texts.append(observation["text"])
        expected.append(tuple(step[0]["text"] for step in steps))
        assert [rewards.tolist(), terminated.tolist(), truncated.tolist()] == [
            [step[n] for step in steps] for n in (1, 2, 3)
        ]
    vector.close()

    assert texts == expected


def test_vector_environments_by_id(make):
    envs = SyncVectorEnv([make, make])
    envs.reset(seed=0)
    for _ in range(8):  # beyond the end of an episode: the slots are reset
        envs.step((ZOOM, ANSWER))
    envs.close()


def test_prefixed_id_imports_the_package(checked_ids):
    env = gym.make("vz_env:VZ/Needle-v0", split="test", dataset_options=checked_ids["VZ/Needle-v0"]["dataset_options"])

    assert isinstance(env.unwrapped, VideoZoomEnv)


def test_infos_hold_plain_json_values(make):
    env = make()
    infos = [env.reset(seed=0)[1], *(env.step(action)[4] for action in make.script)]

    assert json.loads(json.dumps(infos, allow_nan=False)) == infos
