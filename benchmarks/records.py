"""The results of an evaluation on disk: an append-only JSONL file that survives a kill at any moment.

A record is one line, written by one call and flushed to the disk before the next episode begins. A line that a crash
left broken at the end is cut when the file is opened; anything broken before it is an error, as no crash does that.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from vz_agents.trajectory import Trajectory
from vz_env.errors import ConfigError, DatasetError

__all__ = ["EpisodeRecord", "ResultsFile", "read_records", "write_atomically"]

_RECORD_FIELDS: Final = frozenset({"key", "run", "reads_key", "video_group", "groups", "trajectory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """One episode's result. `key` names the episode under its `run`, which names policy, configuration and code."""

    key: str
    run: str
    trajectory: Trajectory
    reads_key: bool = False
    video_group: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of ASCII JSON, without its newline."""
        head = {
            "key": self.key,
            "run": self.run,
            "reads_key": self.reads_key,
            "video_group": self.video_group,
            "groups": dict(self.groups),
        }
        return f'{json.dumps(head)[:-1]}, "trajectory": {self.trajectory.to_json()}}}'

    @classmethod
    def from_json(cls, line: str | bytes) -> EpisodeRecord:
        """Read what `to_json` wrote.

        Raises:
            DatasetError: the line is no such record.
        """
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as fault:
            raise DatasetError(f"wanted a result as one JSON object, got {line[:60]!r}: {fault}") from fault
        if not isinstance(value, dict) or value.keys() != _RECORD_FIELDS:
            raise DatasetError(f"wanted a result with the fields {sorted(_RECORD_FIELDS)}, got {line[:60]!r}")
        return cls(**{**value, "trajectory": Trajectory.from_json(value["trajectory"])})


def read_records(path: Path) -> list[EpisodeRecord]:
    """Read every whole record of a results file, without changing it; a broken last line is left out.

    Raises:
        DatasetError: there is no such file, or a line before the last is broken; names the file and the line.
    """
    try:
        with path.open("rb") as lines:
            records, _ = _parse(lines, path)
    except OSError as fault:
        raise DatasetError(f"wanted a results file, cannot read {path}: {fault.strerror}") from fault
    return records


def _parse(lines: Iterable[bytes], path: Path) -> tuple[list[EpisodeRecord], int]:
    """The whole records and how many bytes they fill; read line by line, as a long run does not fit twice in memory."""
    records: list[EpisodeRecord] = []
    whole = 0
    broken: DatasetError | None = None
    for number, line in enumerate(lines, start=1):
        if broken is not None:
            raise DatasetError(f"{path}:{number - 1}: {broken}") from broken
        try:
            if not line.endswith(b"\n"):
                raise DatasetError("the line has no end")
            records.append(EpisodeRecord.from_json(line))
            whole += len(line)
        except DatasetError as fault:  # the last line may be what a crash left; one before it may not
            broken = fault
    return records, whole


class ResultsFile:
    """An open results file: read once, then appended to by this process alone."""

    def __init__(self, path: Path) -> None:
        """Open or create `path`, lock it, and cut a broken last line.

        Raises:
            ConfigError: another process writes to the file, or the place cannot be written to.
            DatasetError: a line before the last is broken.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as fault:
            raise ConfigError(f"cannot write results to {path}: {fault.strerror}; choose another folder") from fault
        try:
            _lock(self._descriptor, path)
            with path.open("rb") as lines:
                records, whole = _parse(lines, path)
            os.ftruncate(self._descriptor, whole)
        except BaseException:
            self.close()
            raise
        self._size = whole
        self._records = {record.key: record for record in records}

    def __enter__(self) -> ResultsFile:
        """Use the file in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file and let go of its lock; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __len__(self) -> int:
        """How many keys there are results under."""
        return len(self._records)

    def get(self, key: str) -> EpisodeRecord | None:
        """The last record under a key, or None."""
        return self._records.get(key)

    def done_keys(self) -> frozenset[str]:
        """Keys that need no further play; an episode that ended in `error:*` is tried again."""
        return frozenset(key for key, record in self._records.items() if not record.trajectory.is_error)

    def append(self, record: EpisodeRecord) -> None:
        """Write one record and flush it to the disk.

        Raises:
            OSError: the disk is full or gone; the file then ends with the record before.
        """
        line = f"{record.to_json()}\n".encode("ascii")
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
        self._records[record.key] = record


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not POSIX: two runs in one folder are then the user's to avoid
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        raise ConfigError(f"another run writes to {path}; wait for it or choose another folder") from fault


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def to_pretty_json(value: Any) -> str:
    """Indented JSON with sorted keys and a last newline: the form of every small JSON file beside the results."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
