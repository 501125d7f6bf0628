"""JSON files as the formats here want them: written whole or not at all, ASCII, and read with one clear message."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vz_env.errors import DatasetError

__all__ = ["read_json", "write_json", "write_json_lines"]


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DatasetError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as fault:
        raise DatasetError(f"wanted a JSON file, cannot read {path}: {fault.strerror}") from fault
    except (ValueError, RecursionError) as fault:
        raise DatasetError(f"{path}: wanted JSON, got: {fault!s:.200}") from fault


def write_json(path: Path, value: Any) -> None:
    """Write one value, indented by one space, so that diffs show records."""
    _write(path, [json.dumps(value, ensure_ascii=True, allow_nan=False, indent=1), "\n"])


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write one value a line."""
    _write(path, (f"{json.dumps(value, ensure_ascii=True, allow_nan=False)}\n" for value in values))


def _write(path: Path, pieces: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(pieces)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
