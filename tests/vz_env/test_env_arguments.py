"""What the environment's arguments and options change, and which of them it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError, ResetNeeded, UnknownEpisode

HIT = format_zoom((12, 14), 8)
RIGHT = format_answer("B")
SMALL = Budget(overview_frames=4, max_frames=60)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"episode_id": "nope"}, UnknownEpisode, "holds no episode 'nope'"),
        ({"id": "q0"}, ConfigError, "got \\['id'\\]"),
    ],
)
def test_reset_refuses_options(tiny, options, error, match):
    env = VideoZoomEnv(tiny)
    with pytest.raises(error, match=match):
        env.reset(options=options)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(RIGHT)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"render_mode": "human"}, "render_mode must be None or one of"),
        ({"describe": "poetry"}, "no describer named 'poetry'"),
        ({"reward": "lenient"}, "reward must be one of"),
        ({"budget": {"frames": 3}}, "budget limits must be among"),
        ({"frame_size": (1, 5)}, "frame_size must be"),
        ({"split": "train"}, "this one is loaded already"),
        ({"dataset_options": {"limit": 3}}, "this one is loaded already"),
    ],
)
def test_env_refuses_arguments(tiny, changes, match):
    with pytest.raises(ConfigError, match=match):
        VideoZoomEnv(tiny, **changes)


def test_without_frames_text_is_the_same(tiny):
    seeing, reading = VideoZoomEnv(tiny), VideoZoomEnv(tiny, with_frames=False)
    for env in (seeing, reading):
        env.reset(seed=0)
    seen, read = seeing.step(HIT)[0], reading.step(HIT)[0]

    assert seen["text"] == read["text"]
    assert seen["timestamps"].tolist() == read["timestamps"].tolist()
    assert (seen["frames"].shape, read["frames"].shape) == ((16, 64, 96, 3), (0, 2, 2, 3))


def test_frame_size_and_max_pixels(tiny):
    fixed = VideoZoomEnv(tiny, frame_size=(32, 32))
    bounded = VideoZoomEnv(tiny, budget={"max_pixels": 1536})
    frames = [env.reset(seed=0)[0]["frames"] for env in (fixed, bounded)]

    assert [stack.shape[1:3] for stack in frames] == [(32, 32), (32, 48)]
    assert fixed.observation_space["frames"].contains(frames[0])
    assert bounded.observation_space["frames"].contains(frames[1])


def test_describe_none_leaves_times_alone(tiny):
    text = VideoZoomEnv(tiny, describe="none", budget=SMALL).reset(seed=0)[0]["text"]

    assert text.splitlines()[5:] == ["Video: 20s", "0s", "5s", "10s", "15s", "Left: 5 zooms, 16 frames each"]


def test_describe_by_a_callable(tiny):
    def describe(frame, time, episode):
        return f"{frame.shape[1]}x{frame.shape[0]} at\n{time:g} of {episode.id}"

    for with_frames in (True, False):
        env = VideoZoomEnv(tiny, describe=describe, budget=SMALL, with_frames=with_frames)
        text = env.reset(options={"episode_id": "q3"})[0]["text"]
        assert "5s: 96x64 at 5 of q3\n" in text


def test_no_overview_and_no_zooms(tiny):
    env = VideoZoomEnv(tiny, budget={"overview_frames": 0, "max_zooms": 0})
    observation, info = env.reset(seed=0)

    assert observation["text"].splitlines()[5:] == ["Video: 20s", "Left: no zooms, answer now"]
    assert (observation["frames"].shape, info["frames_used"]) == ((0, 2, 2, 3), 0)


def test_overview_fps_bounds_the_overview_and_the_budget_still_holds(tiny):
    seen, _ = VideoZoomEnv(tiny, overview_fps=0.25).reset(seed=0)
    np.testing.assert_allclose(seen["timestamps"], [0, 4, 8, 12, 16])
    seen, _ = VideoZoomEnv(tiny, overview_fps=25.0, budget={"overview_frames": 4}).reset(seed=0)
    assert len(seen["frames"]) == 4
    with pytest.raises(ConfigError, match="overview_fps must be positive"):
        VideoZoomEnv(tiny, overview_fps=0.0)


def test_a_loaded_dataset_takes_its_own_root_alone(tiny, tmp_path):
    assert VideoZoomEnv(tiny, root=tiny.root).dataset is tiny
    with pytest.raises(ConfigError, match="loaded already"):
        VideoZoomEnv(tiny, root=tmp_path)
