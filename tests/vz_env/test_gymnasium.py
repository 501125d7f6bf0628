"""Gymnasium's own vector environments and wrappers on ours, made by id: every autoreset mode, every way to start."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode

from vz_env.actions import format_zoom
from vz_env.datasets.needle import NeedleConfig, make_needle
from vz_env.env import VideoZoomEnv

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded:DeprecationWarning"
)  # of fork, on Python 3.12 and later

ID = "vz_env:VZ/Needle-v0"
ZOOM, ANSWER = format_zoom((12, 14), 8), "<answer>B</answer>"
SCRIPT = ((ZOOM, "hm"), (ANSWER, ZOOM), (ZOOM, ANSWER), ("hm", ZOOM))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A needle dataset of one short video, on the disk before any worker starts."""
    config = NeedleConfig(videos={"test": 1}, overview_frames=6, spacings_seconds=(8,))
    return make_needle(tmp_path_factory.mktemp("needle") / "set", config)


def make(root: Path, mode: str, **kwargs: Any) -> gym.vector.VectorEnv:
    options = {"split": "test", "dataset_options": {"root": str(root)}, "budget": {"overview_frames": 6}}
    return gym.make_vec(ID, num_envs=2, vectorization_mode=mode, vector_kwargs=kwargs, **options)


def play(envs: gym.vector.VectorEnv, autoreset: AutoresetMode) -> list[Any]:
    """What the script brings; with disabled autoreset, slots that have ended are reset by a mask."""
    seen: list[Any] = [envs.reset(seed=[5, 6])[0]["text"]]
    for actions in SCRIPT:
        observation, rewards, terminated, truncated, _ = envs.step(actions)
        assert envs.observation_space.contains(observation)
        seen += [observation["text"], rewards.tolist(), terminated.tolist(), truncated.tolist()]
        seen += [[array.tobytes() for array in observation[name]] for name in ("frames", "timestamps")]
        over = terminated | truncated
        if autoreset is AutoresetMode.DISABLED and over.any():
            seen.append(envs.reset(options={"reset_mask": over})[0]["text"])
    envs.close()
    return seen


@pytest.mark.parametrize(
    ("context", "is_shared", "autoreset"),
    [
        *(("fork", is_shared, autoreset) for is_shared in (False, True) for autoreset in AutoresetMode),
        pytest.param("spawn", True, AutoresetMode.SAME_STEP, marks=pytest.mark.slow),
        pytest.param("spawn", False, AutoresetMode.DISABLED, marks=pytest.mark.slow),
        pytest.param("forkserver", True, AutoresetMode.NEXT_STEP, marks=pytest.mark.slow),
    ],
)
def test_async_plays_as_sync(root, context, is_shared, autoreset):
    together = play(make(root, "sync", autoreset_mode=autoreset), autoreset)
    options = {"autoreset_mode": autoreset, "shared_memory": is_shared, "context": context}

    assert play(make(root, "async", **options), autoreset) == together
    assert multiprocessing.active_children() == []


def test_shared_memory_can_be_read_without_a_copy(root):
    envs = make(root, "async", copy=False, context="fork")
    observation, _ = envs.reset(seed=0)
    first = observation["text"][0]
    envs.step((ZOOM, "hm"))
    second = observation["text"]  # the same object shows what is there now
    envs.close()

    assert (first[:9], second[0][:4], second[-1][:5], len(second[:1])) == ("Question:", "Zoom", "Error", 1)


@pytest.mark.parametrize("autoreset", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_the_native_one_plays_as_sync(root, autoreset):
    options = {"split": "test", "dataset_options": {"root": str(root)}, "budget": {"overview_frames": 6}}
    native = gym.make_vec(ID, num_envs=2, autoreset_mode=autoreset.value, **options)

    assert play(native, autoreset) == play(make(root, "sync", autoreset_mode=autoreset), autoreset)


def test_statistics_and_time_limits_count_turns(tiny):
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(VideoZoomEnv(tiny), 3))
    env.reset(seed=0)
    env.step(ZOOM)
    _, _, terminated, _, info = env.step(ANSWER)
    assert (terminated, info["episode"]["r"], info["episode"]["l"]) == (True, 1.0, 2)
    env.reset()
    ends = [env.step("hm")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_a_video_is_recorded_of_each_episode(tiny, tmp_path):
    pytest.importorskip("moviepy", reason="Gymnasium records videos with moviepy, which is not installed")
    env = gym.wrappers.RecordVideo(
        VideoZoomEnv(tiny, render_mode="rgb_array"), str(tmp_path / "videos"), episode_trigger=lambda _: True
    )
    for _ in range(2):
        env.reset(seed=0)
        env.step(ZOOM)
        env.step(ANSWER)
    env.close()

    assert sorted(path.name for path in (tmp_path / "videos").glob("*.mp4")) == [
        "rl-video-episode-0.mp4",
        "rl-video-episode-1.mp4",
    ]
