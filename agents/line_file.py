"""A file of lines that is only ever appended to, and that a kill at any moment cannot spoil.

A line is written by one call and flushed to the disk before anything else happens. What a crash left broken at the end
is cut when the file is opened; a broken line before it is an error, as no crash does that.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from vz_env.errors import ConfigError

__all__ = ["LineFile"]


class LineFile(ABC):
    """An open file of lines: read once, then appended to by this process alone."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, lock it, and cut a broken last line.

        Raises:
            ConfigError: the place cannot be written to, or another process writes to it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as fault:
            raise ConfigError(f"cannot write to {path}: {fault.strerror}; choose another folder") from fault
        try:
            _lock(self._descriptor, path)
            self._size = self._load()
            os.ftruncate(self._descriptor, self._size)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _load(self) -> int:
        """Read what is there, and say how many bytes its whole lines fill."""

    def write_line(self, text: str) -> None:
        """Write one line of ASCII and flush it to the disk.

        Raises:
            OSError: the disk is full or gone; the file then ends with the line before.
        """
        line = f"{text}\n".encode("ascii")
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):  # a nearly full disk takes a part
                written += os.write(self._descriptor, line[written:])
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Close the file and let go of its lock; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Use the file in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not POSIX: two runs in one folder are then the user's to avoid
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        raise ConfigError(f"another run writes to {path}; wait for it or choose another folder") from fault
