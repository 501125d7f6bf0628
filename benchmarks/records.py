"""The results of an evaluation on disk: one line a record, flushed before the next episode begins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vz_agents.line_file import LineFile
from vz_agents.trajectory import Trajectory
from vz_env.errors import DatasetError

__all__ = ["EpisodeRecord", "ResultsFile", "read_json", "read_records", "to_pretty_json", "write_atomically"]

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


class ResultsFile(LineFile):
    """An open results file.

    Raises:
        ConfigError: another process writes to the file, or the place cannot be written to.
        DatasetError: a line before the last is broken.
    """

    _records: dict[str, EpisodeRecord]

    def _load(self) -> int:
        with self.path.open("rb") as lines:
            records, whole = _parse(lines, self.path)
        self._records = {record.key: record for record in records}
        return whole

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
        self.write_line(record.to_json())
        self._records[record.key] = record


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file beside the results.

    Raises:
        DatasetError: it cannot be read, or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DatasetError(f"cannot read {path}: {fault}") from fault
    if not isinstance(value, dict):
        raise DatasetError(f"wanted {path} to hold a JSON object")
    return value


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
