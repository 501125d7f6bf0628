"""A journal of JSON objects: what was paid for, an episode of a teacher or a reply of a server, as soon as it is there.

The same command after a crash goes on with what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vz_env.errors import DatasetError

from .line_file import LineFile

__all__ = ["Journal"]


class Journal(LineFile):
    """An open journal.

    Attributes:
        entries: every whole line as an object, in order, those appended since among them.

    Raises:
        ConfigError: the place cannot be written to, or another process writes to it.
        DatasetError: a line before the last is broken.
    """

    entries: list[dict[str, Any]]

    def _load(self) -> int:
        self.entries, whole = _read(self.path)
        return whole

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line and flush it to the disk.

        Raises:
            OSError: the disk is full or gone; the file then ends with the line before.
        """
        self.write_line(json.dumps(entry, ensure_ascii=True, allow_nan=False, separators=(",", ":")))
        self.entries.append(dict(entry))


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
