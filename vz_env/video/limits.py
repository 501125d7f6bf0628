"""What one file and one call may cost: sizes, counts and wall-clock time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..errors import VideoTimeout

__all__ = ["Deadline", "DecodeLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What one file and one call may cost. Exceeding a size is `VideoRefused`, exceeding the time is `VideoTimeout`."""

    max_file_bytes: int = 8 << 30
    """Largest file that is opened."""
    max_frame_pixels: int = 4096 * 2304
    """Largest coded picture, before any resize."""
    max_duration_seconds: float = 6 * 3600.0
    """Longest video."""
    max_frames_per_call: int = 256
    """Most timestamps in one `frames_at`."""
    max_output_bytes: int = 512 << 20
    """Most bytes of pixels that one `frames_at` returns."""
    timeout_seconds: float = 20.0
    """Wall-clock time of one call: an open, or one `frames_at`."""
    max_process_bytes: int = 2 << 30
    """Address space of the child process that decodes with `isolation="process"`."""


class Deadline:
    """A moment on the monotonic clock after which a call gives up."""

    def __init__(self, seconds: float, path: str) -> None:
        """Start counting now."""
        self._seconds, self.path = seconds, path
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    def later(self, seconds: float) -> Deadline:
        """A deadline that is so much later."""
        return Deadline(self.left + seconds, self.path)

    def check(self, doing: str) -> None:
        """Raise `VideoTimeout` when the moment has passed."""
        if time.monotonic() > self._end:
            self.fail(doing)

    def fail(self, doing: str) -> None:
        """Raise `VideoTimeout` naming the file and what was being done."""
        raise VideoTimeout(
            f"{self.path}: {doing} took more than {self._seconds:g} s; raise DecodeLimits.timeout_seconds, "
            "or re-encode the video with more keyframes"
        )
