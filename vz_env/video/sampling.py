"""Which timestamps to look at. Pure functions of numbers: no file is touched here.

::

    overview, n = 4          |x       |x       |x       |x       |      x = k * duration / n
                             0                                   duration
    zoom [a, b), fps = 2          a x    x    x    x b                  x = a + k / fps, all below b
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..episode import Segment
from ..errors import ConfigError

__all__ = ["overview_count", "overview_timestamps", "uniform_timestamps", "zoom_frame_count", "zoom_timestamps"]

COUNT_TOLERANCE = 1e-9
"""So that 10 s at 1.6 fps is 16 frames although 10 * 1.6 may come out a hair below 16."""


def overview_count(duration_seconds: float, most: int, fps: float | None) -> int:
    """How many frames an overview has: `most`, or fewer where that would be more than `fps` a second.

    Returns:
        min(most, max(1, floor(duration * fps))); `most` when fps is None.
    """
    return most if fps is None else min(most, max(1, math.floor(duration_seconds * fps + COUNT_TOLERANCE)))


def overview_timestamps(duration_seconds: float, n: int) -> NDArray[np.float64]:
    """Return n timestamps spread evenly over a video: k * duration / n for k in 0..n-1.

    Args:
        duration_seconds: length of the video, positive and finite.
        n: number of timestamps, at least 0.

    Returns:
        float64 seconds, shape (n,), rising from 0.

    Raises:
        ConfigError: a duration that is not positive and finite, or a negative n.
    """
    if not 0.0 < duration_seconds < math.inf:
        raise ConfigError(f"duration_seconds must be positive and finite, got {duration_seconds}")
    if n < 0:
        raise ConfigError(f"n must be at least 0, got {n}")
    return np.arange(n, dtype=np.float64) * duration_seconds / max(n, 1)


uniform_timestamps = overview_timestamps
"""The same rule under the name that the literature gives it."""


def zoom_frame_count(segment: Segment, fps: float) -> int:
    """Return how many frames a zoom of this segment at this rate holds: floor(duration * fps), possibly 0.

    Raises:
        ConfigError: fps is not positive and finite, or asks for more frames than can be counted.
    """
    if not 0.0 < fps < math.inf:
        raise ConfigError(f"fps must be positive and finite, got {fps}")
    count = segment.duration_seconds * fps
    if count >= 2**53:
        raise ConfigError(f"a zoom of {segment.duration_seconds} s at {fps} fps holds too many frames to count")
    return math.floor(count + COUNT_TOLERANCE)


def zoom_timestamps(segment: Segment, fps: float) -> NDArray[np.float64]:
    """Return the timestamps of a zoom: start + k / fps for k in 0..floor(duration * fps) - 1.

    Check `zoom_frame_count` against a budget first: this allocates what it is asked for.

    Returns:
        float64 seconds, shape (n,), all inside the segment; n may be 0.

    Raises:
        ConfigError: fps is not positive and finite.
    """
    count = zoom_frame_count(segment, fps)
    return segment.start_seconds + np.arange(count, dtype=np.float64) / fps
