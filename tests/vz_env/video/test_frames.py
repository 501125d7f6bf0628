from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_env.errors import ConfigError
from vz_env.video.frames import FrameBatch, fit_size


def test_repr_shows_shapes() -> None:
    batch = FrameBatch(np.zeros((2, 4, 6, 3), np.uint8), np.array([0.5, 2.0]))
    assert repr(batch) == "FrameBatch(frames=(2, 4, 6, 3), 0.500s to 2.000s)"
    assert len(batch) == 2
    assert "s to" not in repr(FrameBatch(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0)))


@pytest.mark.parametrize("frames", [np.zeros((2, 4, 6), np.uint8), np.zeros((2, 4, 6, 3), np.float32)])
def test_frames_have_a_shape(frames: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="uint8"):
        FrameBatch(frames, np.zeros(2))


def test_each_frame_has_a_time() -> None:
    with pytest.raises(ConfigError, match="one timestamp"):
        FrameBatch(np.zeros((2, 4, 6, 3), np.uint8), np.zeros(3))


@given(st.integers(1, 8000), st.integers(1, 8000), st.one_of(st.none(), st.integers(4, 10**6)))
def test_size_fits(width: int, height: int, max_pixels: int | None) -> None:
    fitted = fit_size(width, height, max_pixels)
    assert all(side % 2 == 0 and side >= 2 for side in fitted)
    assert fitted[0] <= max(2, width)
    assert fitted[1] <= max(2, height)
    if max_pixels is not None:
        assert fitted[0] * fitted[1] <= max_pixels
        if min(width, height) * min(1, (max_pixels / (width * height)) ** 0.5) > 40:
            assert fitted[0] / fitted[1] == pytest.approx(width / height, rel=0.1)


def test_usual_sizes() -> None:
    assert fit_size(1280, 720, 100_352) == (422, 236)
    assert fit_size(160, 96, 100_352) == (160, 96)
    with pytest.raises(ConfigError, match="max_pixels"):
        fit_size(10, 10, 3)
