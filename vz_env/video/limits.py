"""What one file and one call may cost: sizes, counts and wall-clock time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ..errors import VideoTimeout

__all__ = ["Deadline", "DecodeLimits"]

T = TypeVar("T")

STILL_SHARE: Final = 0.25
SHORTEST_GAP_SECONDS: Final = 0.25
"""No gap shorter than this is taken for a process that lay still."""


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
    """How long a call may still take: wall-clock time, without what the process lay still.

    A process that was stopped (Ctrl-Z, a suspended machine, a paused container) goes on where it was, and so must the
    call that it was in the middle of. Whoever works or waits looks at the deadline all the time: a gap between two
    looks is counted up to `STILL_SHARE` of the whole, so a call that makes no progress ends all the same. Thread-safe.
    """

    def __init__(self, seconds: float, path: str) -> None:
        """Start counting now."""
        self._seconds, self.path = seconds, path
        self._most_gap = max(seconds * STILL_SHARE, SHORTEST_GAP_SECONDS)
        self._seen = time.monotonic()
        self._end = self._seen + seconds
        self._moving = threading.Lock()

    def _look(self) -> float:
        """Seconds left, negative when the moment has passed; moves it when nobody has looked for long."""
        now = time.monotonic()
        if now - self._seen > self._most_gap:
            with self._moving:  # another thread may have been here first
                self._end += max(0.0, now - self._seen - self._most_gap)
                self._seen = now
        self._seen = now
        return self._end - now

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._look())

    def later(self, seconds: float) -> Deadline:
        """A deadline that is so much later."""
        return Deadline(self.left + seconds, self.path)

    def check(self, doing: str) -> None:
        """Raise `VideoTimeout` when the moment has passed."""
        if self._look() < 0:
            self.fail(doing)

    def wait(self, attempt: Callable[[float], T], doing: str) -> T:
        """Try until something comes of it, at least once.

        Args:
            attempt: called with the seconds that it may wait; what it returns is false when it was in vain.
            doing: for the message.

        Raises:
            VideoTimeout: nothing came of it in time.
        """
        while not (got := attempt(min(self.left, self._most_gap / 2))):
            if not self.left:
                self.fail(doing)
        return got

    def fail(self, doing: str) -> None:
        """Raise `VideoTimeout` naming the file and what was being done."""
        raise VideoTimeout(
            f"{self.path}: {doing} took more than {self._seconds:g} s; raise DecodeLimits.timeout_seconds, "
            "or re-encode the video with more keyframes"
        )
