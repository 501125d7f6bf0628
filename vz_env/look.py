"""What was seen of a video at some moments, and by which clock the moments are counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Look", "VideoClock", "no_frames"]


def no_frames() -> NDArray[np.uint8]:
    """A new empty stack: observations never share an array, as Gymnasium's checker asks."""
    return np.zeros((0, 2, 2, 3), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class VideoClock:
    """How long a video is, and how its frames are counted.

    `frame_count` is the length of the file times the average rate: what a video of constant rate holds, and what a
    reader that counts by the average rate believes of any other. It is 0, as the rate is, where the file states none.
    """

    duration_seconds: float
    frame_count: int
    average_fps: float


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen at n moments: `frames` uint8 (n or 0, h, w, 3), `timestamps_seconds` float64 (n,), n descriptions.

    The timestamps are the moments asked for; a frame itself may have come on a little earlier.
    """

    frames: NDArray[np.uint8]
    timestamps_seconds: NDArray[np.float64]
    descriptions: tuple[str, ...]
