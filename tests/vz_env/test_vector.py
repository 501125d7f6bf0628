"""The vector environment: the same trajectories as single ones, autoreset, masks, groups, faults."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.actions import format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode
from vz_env.errors import ConfigError, ResetNeeded, UnknownEpisode, VideoDecodeError, VideoNotFound
from vz_env.observer import Observer
from vz_env.rewards import TrainingProgress
from vz_env.vector import VideoZoomVectorEnv
from vz_env.video.cache import frame_cache
from vz_env.video.reader import VideoReader

ZOOM, ANSWER, MISTAKE = format_zoom((12, 14), 8), "<answer>B</answer>", "hm"
SMALL = {"overview_frames": 4, "max_turns": 4, "max_zooms": 3}
ACTIONS = (ZOOM, ANSWER, MISTAKE, format_zoom((0, 9), 1), format_zoom((13, 60), 0.2))


@pytest.fixture
def make(make_tiny):
    """Make vector environments over six questions of one small video; closed at the end."""
    made = []

    def make_env(num_envs: int = 3, **options: Any) -> VideoZoomVectorEnv:
        made.append(VideoZoomVectorEnv(make_tiny(), num_envs, budget=SMALL, **options))
        return made[-1]

    yield make_env
    for env in made:
        env.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plays=st.lists(st.lists(st.sampled_from(ACTIONS), min_size=3, max_size=3), min_size=1, max_size=9),
    seed=st.integers(0, 99),
    options=st.sampled_from([{}, {"with_frames": False}, {"describe": "none"}, {"workers": 1}]),
)
def test_same_trajectories_as_gymnasiums_sync(make, make_tiny, plays, seed, options):
    ours = make(3, **options)
    plain = {name: value for name, value in options.items() if name != "workers"}
    theirs = SyncVectorEnv(
        [lambda: VideoZoomEnv(make_tiny(), budget=SMALL, **plain)] * 3, autoreset_mode=AutoresetMode.SAME_STEP
    )

    assert data_equivalence(ours.reset(seed=seed), theirs.reset(seed=seed))
    for actions in plays:
        assert same_step(ours.step(actions), theirs.step(actions))
    ours.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plays=st.lists(st.lists(st.sampled_from(ACTIONS), min_size=4, max_size=4), min_size=1, max_size=8),
    masks=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=8, max_size=8),
    group_size=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_disabled_plays_as_single_environments_that_are_reset_by_hand(make, make_tiny, plays, masks, group_size, seed):
    ours = make(4, autoreset_mode="Disabled", with_frames=False)
    singles = [VideoZoomEnv(make_tiny(), budget=SMALL, with_frames=False) for _ in range(4)]
    ours.reset(seed=seed, options={"group_size": group_size})
    shown: list[Any] = [None] * 4
    over = np.zeros(4, dtype=bool)

    def reset(slot: int, slot_seed: int | None = None) -> None:
        leader = slot - slot % group_size
        chosen = {} if leader == slot else {"options": {"episode_id": singles[leader].episode.id}}
        shown[slot], over[slot] = singles[slot].reset(seed=slot_seed, **chosen)[0], False

    for slot in range(4):
        reset(slot, seed + slot)
    for actions, drawn in zip(plays, masks, strict=False):
        given = [None if ended else action for ended, action in zip(over, actions, strict=True)]
        observation, rewards, terminated, truncated, _ = ours.step(given)
        expected = [0.0] * 4
        for slot, action in enumerate(given):
            if action is not None:
                shown[slot], expected[slot], ended, cut, _ = singles[slot].step(action)
                over[slot] = ended or cut
        assert rewards.tolist() == expected
        assert (terminated | truncated).tolist() == over.tolist()
        assert observation["text"] == tuple(one["text"] for one in shown)
        mask = np.repeat(np.array(drawn)[::group_size], group_size)  # a group is reset as a whole
        if mask.any():
            observation, _ = ours.reset(options={"reset_mask": mask, "group_size": group_size})
            for slot in np.flatnonzero(mask).tolist():
                reset(slot)
            assert observation["text"] == tuple(one["text"] for one in shown)
    ours.close()


def same_step(left: Any, right: Any) -> bool:
    """Equal results of a step; where infos hold NaN for "unknown", in both."""
    return all(data_equivalence(a, b) for a, b in zip(left[:4], right[:4], strict=True)) and repr(left[4]) == repr(
        right[4]
    )


def test_make_vec_makes_it_from_every_id():
    options = {"split": "test", "dataset_options": {"config": {"videos": {"test": 1}, "spacings_seconds": (10,)}}}
    envs = gym.make_vec("vz_env:VZ/Needle-v0", num_envs=2, autoreset_mode="Disabled", **options)
    observation, info = envs.reset(seed=3)

    assert isinstance(envs, VideoZoomVectorEnv)
    assert envs.observation_space.contains(observation)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert list(info["episode_id"]) == [episode.id for episode in envs.episodes]
    assert gym.envs.registration.EnvSpec.from_json(envs.spec.to_json()).kwargs["num_envs"] == 2
    envs.close()


def test_gymnasium_vector_wrappers_work_on_it(make):
    envs = gym.wrappers.vector.RecordEpisodeStatistics(make(2))
    envs.reset(seed=0)
    infos = envs.step((ZOOM, ANSWER))[4]

    assert infos["episode"]["l"].tolist() == [0, 1]
    assert infos["_episode"].tolist() == [False, True]


def test_same_step_keeps_the_end_apart_from_the_next_episode(make):
    envs = make(2)
    envs.reset(seed=0)
    observation, rewards, terminated, truncated, infos = envs.step((ANSWER, ZOOM))

    assert (rewards.tolist(), terminated.tolist(), truncated.tolist()) == ([1.0, 0.0], [True, False], [False, False])
    assert infos["final_obs"][0]["text"] == "Episode over."
    assert infos["final_info"]["score"][0] == 1.0
    assert infos["_final_info"].tolist() == [True, False]
    assert observation["text"][0].startswith("Question:")
    assert observation["budget"]["turns"].tolist() == [4, 3]


def test_disabled_waits_and_lets_the_others_go_on(make):
    envs = make(2, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    _, _, terminated, _, _ = envs.step((ANSWER, ZOOM))
    observation, rewards, again, _, infos = envs.step((None, ANSWER))

    assert terminated.tolist() == [True, False]
    assert (rewards.tolist(), again.tolist()) == ([0.0, 1.0], [True, True])
    assert observation["text"] == ("Episode over.", "Episode over.")
    assert infos["_score"].tolist() == [False, True]
    with pytest.raises(ResetNeeded, match="slot 0 has ended: give it None"):
        envs.step((ANSWER, None))


def test_mask_resets_some_and_leaves_the_others(make):
    envs = make(3, autoreset_mode="Disabled")
    envs.reset(seed=0)
    before = envs.step((ZOOM, ANSWER, ZOOM))[0]
    options = {"reset_mask": np.array([False, True, False]), "episode_ids": [None, "q4", None]}
    after, infos = envs.reset(options=options)

    assert set(options) == {"reset_mask", "episode_ids"}  # not taken apart, as Gymnasium's own do
    assert after["text"][0] == before["text"][0] != after["text"][1]
    assert infos["_episode_id"].tolist() == [False, True, False]
    assert envs.episodes[1].id == infos["episode_id"][1] == "q4"
    assert envs.step((ANSWER, ZOOM, ANSWER))[2].tolist() == [True, False, True]


def test_groups_share_the_episode_of_their_first(make):
    envs, alone = make(6), make(6)
    ids = list(envs.reset(seed=[1, 2, 3, 4, 5, 6], options={"group_size": 3})[1]["episode_id"])
    leaders = list(alone.reset(seed=[1, 2, 3, 4, 5, 6])[1]["episode_id"])

    assert ids == [leaders[0]] * 3 + [leaders[3]] * 3
    assert list(envs.reset(options={"group_size": 2, "episode_ids": ["q1", None, "q2", None, "q3", None]})[1][
        "episode_id"
    ]) == ["q1", "q1", "q2", "q2", "q3", "q3"]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"episode_id": "q1"}, "must be among"),
        ({"episode_ids": "q1"}, "wants 2 ids"),
        ({"episode_ids": ["q1"]}, "wants 2 ids"),
        ({"reset_mask": np.array([False, False])}, "one of them True"),
        ({"reset_mask": [0, 1]}, "wants 2 booleans"),
        ({"group_size": 3}, "must divide 2"),
        ({"group_size": 2, "reset_mask": [True, False]}, "as a whole"),
    ],
)
def test_bad_reset_options_reset_nothing(make, options, match):
    envs = make(2)
    envs.reset(seed=0)
    before = envs.step((ZOOM, ZOOM))[0]
    with pytest.raises(ConfigError, match=match):
        envs.reset(options=options)
    with pytest.raises(UnknownEpisode, match="no episode 'q9'"):
        envs.reset(options={"episode_ids": ["q0", "q9"]})

    assert envs.step((MISTAKE, MISTAKE))[0]["budget"]["turns"].tolist() == [2, 2]
    assert before["budget"]["turns"].tolist() == [3, 3]


@pytest.mark.parametrize("actions", [ZOOM, (ZOOM,), (ZOOM, 3), (ZOOM, None)])
def test_bad_actions_step_nothing(make, actions):
    envs = make(2)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        envs.step((ZOOM, ZOOM))
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="action"):
        envs.step(actions)

    assert envs.step((ZOOM, ZOOM))[0]["budget"]["turns"].tolist() == [3, 3]


@pytest.mark.parametrize(
    "options", [{"num_envs": 0}, {"workers": 0}, {"autoreset_mode": "NextStep"}, {"autoreset_mode": "never"}]
)
def test_bad_arguments_are_refused(make, options):
    with pytest.raises(ConfigError, match=r"at least 1|must be one of"):
        make(**options)


def test_slots_that_look_at_one_video_decode_it_together(make, monkeypatch):
    """Three slots zoom to three places: one call decodes them all, and the slots find what they want in the cache."""
    envs = make(3)
    envs.reset(options={"group_size": 3}, seed=0)
    frame_cache().clear()
    decoded = []
    decode = VideoReader._decode
    monkeypatch.setattr(
        VideoReader, "_decode", lambda reader, missing, *rest: decoded.append(missing) or decode(reader, missing, *rest)
    )
    envs.step([format_zoom((start, start + 2), 4) for start in (11, 12, 13)])

    assert len(decoded) == 1
    assert len(decoded[0]) == 16  # moments 11 to 14.75, each once though two slots want most of them


def test_a_damaged_stretch_concerns_the_slot_that_looks_there(make, monkeypatch):
    """What is decoded ahead for all may fail; the slots whose own frames are whole go on."""
    envs = make(2)
    envs.reset(options={"group_size": 2}, seed=0)
    frames = Observer.frames

    def torn(observer: Observer, episode: Episode, times: np.ndarray) -> np.ndarray:
        if (times > 15).any():
            raise VideoDecodeError("torn after 15 s")
        return frames(observer, episode, times)

    monkeypatch.setattr(Observer, "frames", torn)
    with pytest.raises(VideoDecodeError, match="torn") as caught:
        envs.step([format_zoom((12, 14), 4), format_zoom((16, 18), 4)])

    assert caught.value.__notes__ == ["in slot 1 of 2"]
    assert envs.step((ANSWER, ANSWER))[4]["final_info"]["zooms"].tolist() == [1, 0]


def test_a_missing_video_names_its_slot_and_the_others_can_go_on(make_tiny, tmp_path):
    good = make_tiny(count=1)
    lost = Episode(id="lost", question="Where?", video_path=tmp_path / "gone.mp4", options=("a", "b"))
    keys = {"q0": good.key("q0"), "lost": AnswerKey(answer_indices=(0,))}
    dataset = Dataset(name="Half", episodes=[*good.episodes, lost], keys=keys)
    envs = VideoZoomVectorEnv(dataset, 2, autoreset_mode="Disabled")
    with pytest.raises(VideoNotFound) as caught:
        envs.reset(options={"episode_ids": ["q0", "lost"]})
    envs.reset(options={"episode_ids": [None, "q0"], "reset_mask": [False, True]})

    assert caught.value.__notes__ == ["in slot 1 of 2"]
    assert envs.step((ANSWER, ANSWER))[1].tolist() == [1.0, 1.0]
    envs.close()


def test_pickle_goes_on_with_the_episodes(make):
    envs = make(2)
    envs.reset(seed=1)
    envs.step((ZOOM, MISTAKE))
    again = pickle.loads(pickle.dumps(envs))

    assert same_step(envs.step((ANSWER, ZOOM)), again.step((ANSWER, ZOOM)))
    again.close()


def test_close_twice_and_no_thread_stays(make):
    envs = make(4)
    envs.reset(seed=0)
    pool = envs._threads()
    envs.close()
    envs.close()

    assert all(not thread.is_alive() for thread in pool._threads)
    with pytest.raises(ResetNeeded, match="closed"):
        envs.step((ANSWER,) * 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, on Python 3.12 and later
def test_a_forked_child_starts_threads_of_its_own(make):
    envs = make(2)
    envs.reset(seed=0)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        rewards = envs.step((ANSWER, ANSWER))[1]
        os._exit(0 if rewards.tolist() == [1.0, 1.0] else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_render_and_call_reach_every_slot(make):
    envs = make(2, render_mode="ansi")
    envs.reset(seed=0)

    assert all("overview" in text for text in envs.render())
    assert envs.call("moments", ZOOM)[1].shape == (16,)
    assert [budget.max_turns for budget in envs.get_attr("budget")] == [4, 4]


def test_what_is_set_reaches_every_slot(make):
    envs = make(2, reward={"zoom_bonus": 0.5, "zoom_bonus_end": 0.0, "anneal_steps": 10})
    envs.reset(seed=0)
    envs.set_attr("progress", TrainingProgress(step=5))
    envs.step((ZOOM, ZOOM))
    assert envs.step((ANSWER, ANSWER))[1].tolist() == [1.25, 1.25]
    envs.set_attr("progress", [TrainingProgress(), TrainingProgress(step=10)])
    envs.step((ZOOM, ZOOM))
    assert envs.step((ANSWER, ANSWER))[1].tolist() == [1.5, 1.0]
    with pytest.raises(ConfigError, match="one value, or 2"):
        envs.set_attr("progress", [TrainingProgress()])


def test_two_threads_may_use_two_of_them(make):
    """The caches and readers behind them are shared."""

    def play(envs: VideoZoomVectorEnv) -> list[str]:
        envs.reset(seed=5)
        return list(envs.step((ZOOM, ZOOM))[0]["text"])

    with ThreadPoolExecutor(2) as pool:
        assert len({tuple(texts) for texts in pool.map(play, [make(2) for _ in range(6)])}) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_500_episodes_leave_nothing_behind(make):
    """Memory after a warm-up grows by less than 10 kB an episode; threads and open files stay as many."""
    envs = make(4, workers=2)
    envs.reset(seed=0)

    def play(episodes: int) -> tuple[int, int, int]:
        for _ in range(episodes // 4):
            envs.step((ZOOM,) * 4)
            envs.step((ANSWER,) * 4)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before, after = play(100), play(400)

    assert after[0] - before[0] < 400 * 10_000
    assert after[1:] == before[1:]
