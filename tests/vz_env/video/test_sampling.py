from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_env.episode import Segment
from vz_env.errors import ConfigError
from vz_env.video.sampling import (
    overview_count,
    overview_timestamps,
    uniform_timestamps,
    zoom_frame_count,
    zoom_timestamps,
)


def test_overview_starts_at_zero_and_is_even() -> None:
    np.testing.assert_allclose(overview_timestamps(320, 32), np.arange(32) * 10.0)
    assert overview_timestamps(5, 0).shape == (0,)
    assert uniform_timestamps is overview_timestamps


@pytest.mark.parametrize("duration", [0, -1, math.inf, math.nan])
def test_overview_wants_a_duration(duration: float) -> None:
    with pytest.raises(ConfigError, match="duration_seconds"):
        overview_timestamps(duration, 4)


def test_overview_wants_a_count() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        overview_timestamps(1, -1)


def test_zoom_counts_what_fits() -> None:
    times = zoom_timestamps(Segment(130, 140), 1.6)
    assert len(times) == 16
    np.testing.assert_allclose(times[:2], [130, 130.625])
    assert len(zoom_timestamps(Segment(0, 1), 0.5)) == 0
    assert len(zoom_timestamps(Segment(0, 0.7), 10)) == 7


@pytest.mark.parametrize("fps", [0, -1, math.inf, math.nan])
def test_zoom_wants_a_rate(fps: float) -> None:
    with pytest.raises(ConfigError, match="fps"):
        zoom_timestamps(Segment(0, 1), fps)


def test_a_huge_zoom_is_counted_without_making_it() -> None:
    assert zoom_frame_count(Segment(0, 1e6), 1e6) == 10**12
    with pytest.raises(ConfigError, match="too many"):
        zoom_frame_count(Segment(0, 1e300), 1e300)


@given(st.floats(0, 1e5), st.floats(0.01, 1e3), st.floats(0.01, 60))
def test_zoom_stays_inside(start: float, length: float, fps: float) -> None:
    segment = Segment(start, start + length)
    times = zoom_timestamps(segment, fps)
    assert len(times) == zoom_frame_count(segment, fps)
    assert (times >= segment.start_seconds).all()
    assert (times < segment.end_seconds).all()


@given(st.floats(0.01, 1e5), st.integers(1, 500))
def test_overview_stays_inside(duration: float, n: int) -> None:
    times = overview_timestamps(duration, n)
    assert times[0] == 0
    assert (times < duration).all()
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize(
    ("duration", "most", "fps", "count"),
    [(20, 64, 0.5, 10), (1000, 64, 0.5, 64), (1, 64, 0.5, 1), (20, 0, 0.5, 0), (20, 64, None, 64), (30, 64, 0.1, 3)],
)
def test_overview_count_keeps_both_limits(duration: float, most: int, fps: float | None, count: int) -> None:
    assert overview_count(duration, most, fps) == count
