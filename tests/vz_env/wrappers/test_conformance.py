"""Every wrapper against Gymnasium's checks, silent ones: spaces, determinism, pickle, spec, double close."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence

from vz_env.actions import format_zoom
from vz_env.errors import ResetNeeded
from vz_env.wrappers import DiscreteZoom, FixedFrames, RecordTrajectory, TextOnly, Transcript

Wrap = Callable[[gym.Env], gym.Env]
SCRIPT = (format_zoom((12, 14), 8), "hm", "<answer>B</answer>")
NUMBERS = ([0, 5, 1, 0, 0], [0, 9, 2, 1, 0], [1, 0, 0, 0, 1])


@pytest.fixture(params=["TextOnly", "Transcript", "FixedFrames", "DiscreteZoom", "thumbnails", "RecordTrajectory"])
def wrap(request, tmp_path) -> Wrap:
    wrappers: dict[str, Wrap] = {
        "TextOnly": TextOnly,
        "Transcript": Transcript,
        "FixedFrames": partial(FixedFrames, num_frames=4, height=16, width=24),
        "DiscreteZoom": DiscreteZoom,
        "thumbnails": partial(DiscreteZoom, features="thumbnails", text_bytes=64),
        "RecordTrajectory": partial(RecordTrajectory, path=tmp_path / "episodes.jsonl"),
    }
    return wrappers[request.param]


@pytest.fixture
def make(wrap, checked_ids) -> Callable[..., gym.Env]:
    def make_env(**changes: Any) -> gym.Env:
        given = {"budget": {"overview_frames": 4}, **checked_ids["VZ/TinyTest-v0"], **changes}
        return wrap(gym.make("VZ/TinyTest-v0", **given))

    return make_env


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")  # that is what is meant
def test_check_env_is_silent(make):
    check_env(make(render_mode="rgb_array"))


def test_a_whole_episode_twice_and_once_more_from_a_pickle(make):
    left, right = make(), make()
    script = NUMBERS if isinstance(left, DiscreteZoom) else SCRIPT
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        left.step(script[0])
    assert data_equivalence(left.reset(seed=3), right.reset(seed=3))
    for number, action in enumerate(script):
        copied = pickle.loads(pickle.dumps(left))
        ours = left.step(action)
        assert data_equivalence(ours, right.step(action))
        assert data_equivalence(ours, copied.step(action))
        assert left.observation_space.contains(ours[0])
        assert (ours[2] or ours[3]) == (number == len(script) - 1)
    left.close()
    left.close()


def test_spec_survives_json(make):
    env = make()
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))

    assert type(again) is type(env)
    assert again.observation_space == env.observation_space
    assert again.action_space == env.action_space
    assert data_equivalence(again.reset(seed=1), env.reset(seed=1))
