"""What a reader is asked for, checked and put into ticks; and what it found, put into an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .frames import FrameBatch, fit_size
from .gather import Found
from .index import VideoInfo
from .limits import DecodeLimits
from .pixels import PAGES_FOR_PASSING, empty_pixels
from .timeline import Timeline

__all__ = ["check_seconds", "make_batch", "settle_size", "to_ticks"]

TOLERANCE_SECONDS: Final = 1e-6
"""A time this little before a frame counts as that frame's: 0.033333 is meant as 1/30. Far below any frame's length."""


def settle_size(info: VideoInfo, size: tuple[int, int] | None, max_pixels: int | None) -> tuple[int, int]:
    """The (width, height) of the pictures to hand out.

    Raises:
        ConfigError: both a size and a number of pixels, or a size without pixels.
    """
    if size is None:
        return fit_size(info.width, info.height, max_pixels)
    if max_pixels is not None:
        raise ConfigError("give either size or max_pixels, not both")
    width, height = size
    if width < 1 or height < 1:
        raise ConfigError(f"size must be (width, height) of at least one pixel, got {size}")
    return width, height


def check_seconds(
    timestamps_seconds: Sequence[float] | NDArray[np.float64], frame_bytes: int, limits: DecodeLimits
) -> NDArray[np.float64]:
    """The times that are asked for, float64 (n,).

    Raises:
        ConfigError: times that are not numbers, or more frames or bytes than one call may have.
    """
    seconds = np.asarray(timestamps_seconds, dtype=np.float64)
    if seconds.ndim != 1 or np.isnan(seconds).any():
        raise ConfigError(f"timestamps must be numbers of seconds in one dimension, got shape {seconds.shape}")
    if len(seconds) > limits.max_frames_per_call or len(seconds) * frame_bytes > limits.max_output_bytes:
        raise ConfigError(
            f"{len(seconds)} frames of {frame_bytes} bytes in one call; the limits are "
            f"{limits.max_frames_per_call} frames (max_frames_per_call) and {limits.max_output_bytes} bytes"
        )
    return seconds


def to_ticks(
    seconds: NDArray[np.float64], duration_seconds: float, timeline: Timeline, time_base: Fraction
) -> list[int]:
    """Seconds as ticks of the stream, clamped into the video; everything after this counts in integers."""
    per_second = 1.0 / time_base
    inside = np.clip(seconds, 0.0, duration_seconds)
    return [
        min(timeline.first_tick + math.floor((t + TOLERANCE_SECONDS) * per_second), timeline.last_tick)
        for t in inside.tolist()
    ]


def make_batch(
    ticks: list[int], found: Found, size: tuple[int, int], timeline: Timeline, time_base: Fraction
) -> FrameBatch:
    """Put pictures into one array, in the order asked for; a single picture is handed out as it is."""
    first = timeline.first_tick
    times = np.array([float((found[tick][0] - first) * time_base) for tick in ticks], dtype=np.float64)
    if len(ticks) == 1:
        return FrameBatch(found[ticks[0]][1][None], times)
    places: dict[int, list[int]] = {}
    for position, tick in enumerate(ticks):
        places.setdefault(tick, []).append(position)
    frames = empty_pixels((len(ticks), size[1], size[0], 3), least_bytes=PAGES_FOR_PASSING)
    for tick, positions in places.items():
        frames[positions] = found.pop(tick)[1]  # let go of each at once: an overview is not held twice
    return FrameBatch(frames, times)
