"""Files that failed, and why: remembered, so that each costs its deadline once and none is taken for a blank video.

A file that would not open, made its decoder crash, or ran past its deadline twice is blocked: opening it again raises
the same error at once. A file with a damaged place is noted and stays open: its other places are sound. A file that
changes on disk is another file.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ..errors import VideoDecodeError, VideoError, VideoNotFound, VideoTimeout
from .access import FileIdentity

__all__ = ["Quarantine", "QuarantinedFile"]

MAX_FILES: Final = 4096
SAME_EVENT_SECONDS: Final = 1.0
"""Calls that wait for each other time out together. One timeout may be a busy machine; a second one is the file."""


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """A file that failed.

    Attributes:
        path: absolute.
        error: the last one.
        failures: how often it failed.
        is_blocked: whether it is refused without another try.
        noted_at: of the monotonic clock.
    """

    path: str
    error: VideoError
    failures: int
    is_blocked: bool
    noted_at: float = 0.0


class Quarantine:
    """The files that failed in this process, the last 4,096 of them. Thread-safe."""

    def __init__(self) -> None:
        """Start empty."""
        self._files: OrderedDict[FileIdentity, QuarantinedFile] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, identity: FileIdentity, error: VideoError, *, blocks: bool) -> None:
        """Remember a failure.

        Args:
            identity: of the file.
            error: what it failed with. A file that is not there, or a reader that is closed, is no fault of the file.
            blocks: whether there is no use in trying again; a timeout blocks when it is not the first.
        """
        if isinstance(error, VideoNotFound):
            return
        with self._lock:
            before = self._files.pop(identity, None)
            failures = 1 + (before.failures if before else 0)
            now = time.monotonic()
            if isinstance(error, VideoTimeout):
                blocks = (
                    before is not None
                    and isinstance(before.error, VideoTimeout)
                    and now - before.noted_at > SAME_EVENT_SECONDS
                )
            is_blocked = blocks or (before is not None and before.is_blocked)
            self._files[identity] = QuarantinedFile(identity.path, error, failures, is_blocked, now)
            if len(self._files) > MAX_FILES:
                self._files.popitem(last=False)

    def check(self, identity: FileIdentity) -> None:
        """Raise what a blocked file failed with.

        Raises:
            VideoError: of the same type, with the same reason.
        """
        with self._lock:
            known = self._files.get(identity)
        if known is None or not known.is_blocked:
            return
        raise _again(known.error) from known.error

    def files(self) -> tuple[QuarantinedFile, ...]:
        """The files that failed, oldest first."""
        with self._lock:
            return tuple(self._files.values())

    def clear(self) -> None:
        """Give every file another chance."""
        with self._lock:
            self._files.clear()

    def renew_lock(self) -> None:
        """Take a fresh lock in a forked child."""
        self._lock = threading.Lock()


def _again(error: VideoError) -> VideoError:
    """The same error, made anew: one exception object must not be raised in many threads."""
    words = str(error)
    note = " (it failed before and was not tried again)"
    try:
        return type(error)(words if words.endswith(note) else words + note)
    except TypeError:  # a kind that wants other arguments
        return VideoDecodeError(words + note)
