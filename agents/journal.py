"""A file of JSON lines that is only ever appended to, and that a kill at any moment cannot spoil.

What was paid for, an episode of a teacher or a reply of a server, is written here as soon as it is there, so that the
same command after a crash goes on with what is missing. A line that a crash left broken at the end is cut when the file
is opened; a broken line before it is an error, as no crash does that.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vz_env.errors import ConfigError, DatasetError

__all__ = ["Journal"]


class Journal:
    """An open journal: read once, then appended to by this process alone.

    Attributes:
        entries: every whole line as an object, in order, those appended since among them.

    Raises:
        ConfigError: the place cannot be written to, or another process writes to it.
        DatasetError: a line before the last is broken.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, lock it, and cut a broken last line."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as fault:
            raise ConfigError(f"cannot write to {path}: {fault.strerror}; choose another folder") from fault
        try:
            _lock(self._descriptor, path)
            self.entries, self._size = _read(path)
            os.ftruncate(self._descriptor, self._size)
        except BaseException:
            self.close()
            raise

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line and flush it to the disk.

        Raises:
            OSError: the disk is full or gone; the file then ends with the line before.
        """
        line = f"{json.dumps(entry, ensure_ascii=True, allow_nan=False, separators=(',', ':'))}\n".encode("ascii")
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
        self.entries.append(dict(entry))

    def close(self) -> None:
        """Close the file and let go of its lock; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        """Use the journal in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and how many bytes they fill."""
    entries: list[dict[str, Any]] = []
    whole, broken = 0, ""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if broken:
                raise DatasetError(f"{path}:{number - 1}: {broken}; remove the file to begin anew")
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except (ValueError, RecursionError):
                entry = None
            if isinstance(entry, dict):
                entries.append(entry)
                whole += len(line)
            else:
                broken = f"wanted one JSON object, got {line[:60]!r}"
    return entries, whole


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not POSIX: two runs in one folder are then the user's to avoid
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        raise ConfigError(f"another run writes to {path}; wait for it or choose another folder") from fault
