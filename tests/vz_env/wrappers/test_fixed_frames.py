"""Frames of one size and number: letterboxing, thinning out, masks."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st

from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.wrappers import FixedFrames
from vz_env.wrappers.fixed_frames import evenly, letterbox


@given(count=st.integers(0, 300), most=st.integers(1, 40))
def test_thinning_keeps_the_ends_and_the_order(count, most):
    kept = evenly(count, most)

    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    if count and most > 1:
        assert (kept[0], kept[-1]) == (0, count - 1)


@given(height=st.integers(1, 50), width=st.integers(1, 50), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_letterbox_keeps_the_aspect_and_fills_the_rest_with_black(height, width, size):
    boxed = letterbox(np.full((height, width, 3), 200, np.uint8), *size)
    lit = (boxed == 200).all(axis=2)
    rows, columns = lit.any(axis=1).sum(), lit.any(axis=0).sum()

    assert boxed.shape == (*size, 3)
    assert lit.sum() == rows * columns  # one full rectangle
    assert rows == size[0] or columns == size[1]  # as large as it can be
    assert abs(rows * width - columns * height) <= max(height, width)  # to half a pixel
    assert not boxed[~lit].any()


def test_letterbox_turns_nothing_upside_down():
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:10, 20:] = (250, 0, 0)
    boxed = letterbox(frame, 40, 40)

    assert boxed[12, 35].tolist() == [250, 0, 0]
    assert not boxed[:9].any()
    assert not boxed[28, 35].any()


def test_observations_are_boxes_of_one_shape(tiny):
    env = FixedFrames(VideoZoomEnv(tiny, budget={"overview_frames": 10}), 8, 32, 32)
    first, _ = env.reset(seed=0)
    second = env.step(format_zoom((12, 13), 5))[0]

    assert all(isinstance(space, Box) for space in env.observation_space.values())
    assert env.observation_space.contains(first)
    assert env.observation_space.contains(second)
    assert first["mask"].tolist() == [1] * 8
    assert first["timestamps"].tolist() == [0, 2, 6, 8, 10, 12, 16, 18]
    assert second["mask"].tolist() == [1] * 5 + [0] * 3
    assert second["timestamps"][:5] == pytest.approx([12, 12.2, 12.4, 12.6, 12.8])
    assert second["budget"].tolist() == [5, 4, 97]
    assert second["frames"][:5].any(axis=(1, 2, 3)).all()
    assert not second["frames"][5:].any()


def test_it_is_part_of_the_spec(tiny):
    env = FixedFrames(gym.make("VZ/Needle-v0", dataset=tiny), num_frames=4, height=8, width=8)

    assert env.spec.additional_wrappers[-1].kwargs == {"num_frames": 4, "height": 8, "width": 8}


def test_sizes_below_one_are_refused(tiny):
    with pytest.raises(ConfigError, match="must be at least 1"):
        FixedFrames(VideoZoomEnv(tiny), 4, 0, 8)
