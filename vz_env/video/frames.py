"""What a reader hands out: a batch of pictures with their own timestamps, and the rule for their size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["FrameBatch", "fit_size"]

SMALLEST_SIDE = 2


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Pictures of one video, in the order they were asked for. Both arrays are read-only.

    Attributes:
        frames: uint8 RGB, shape (n, height, width, 3); n may be 0.
        timestamps_seconds: float64, shape (n,): when each picture comes on, in seconds from the first presented frame.
            A picture's own time is at or before the time that was asked for.
    """

    frames: NDArray[np.uint8]
    timestamps_seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together, and make both arrays read-only."""
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8:
            raise ConfigError(f"frames must be uint8 (n, h, w, 3), got {self.frames.dtype} {self.frames.shape}")
        if self.timestamps_seconds.shape != self.frames.shape[:1]:
            raise ConfigError(
                f"one timestamp for each frame: got {self.timestamps_seconds.shape} for {self.frames.shape[0]} frames"
            )
        self.frames.setflags(write=False)
        self.timestamps_seconds.setflags(write=False)

    def __len__(self) -> int:
        """Number of pictures."""
        return int(self.frames.shape[0])

    def __repr__(self) -> str:
        """Show shapes and the span of time, never the pixels."""
        times = self.timestamps_seconds
        span = f", {times.min():.3f}s to {times.max():.3f}s" if len(times) else ""
        return f"FrameBatch(frames={self.frames.shape}{span})"


def fit_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Return the largest (width, height) with the same aspect that may be handed out.

    Both sides are even, width * height <= max_pixels, and neither side grows (a side of one pixel becomes two, the
    least that is even).

    Raises:
        ConfigError: max_pixels is too small for a picture of 2x2.
    """
    if max_pixels is not None and max_pixels < SMALLEST_SIDE * SMALLEST_SIDE:
        raise ConfigError(f"max_pixels must be at least {SMALLEST_SIDE * SMALLEST_SIDE}, got {max_pixels}")
    scale = 1.0 if max_pixels is None else min(1.0, math.sqrt(max_pixels / (width * height)))
    fitted_width = max(SMALLEST_SIDE, int(width * scale + 1e-9) // 2 * 2)
    fitted_height = max(SMALLEST_SIDE, int(height * scale + 1e-9) // 2 * 2)
    if max_pixels is not None and fitted_width * fitted_height > max_pixels:
        # A very thin picture: its short side may not go below two, so the long side gives way.
        longest = max_pixels // SMALLEST_SIDE // 2 * 2
        fitted_width, fitted_height = min(fitted_width, longest), min(fitted_height, longest)
    return fitted_width, fitted_height
