"""Reads official annotation files record by record; whatever is wrong with one is a `DatasetError` with file and line.

The files come from anywhere: their size is capped, JSON must hold plain finite values, and every field is asked for by
the type it should have.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vz_env.errors import ConfigError, DatasetError

__all__ = ["Row", "csv_rows", "digest_of", "json_object", "json_rows", "jsonl_rows", "parquet_rows", "read_text"]

MAX_FILE_BYTES: Final = 512 << 20
_UNWANTED: Final = object()
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One record, and where it stands (`file:line`)."""

    value: Mapping[str, Any]
    place: str

    def fail(self, message: str) -> DatasetError:
        """The error that a trouble with this record is."""
        return DatasetError(f"{self.place}: {message}")

    def get(self, name: str, default: Any = _UNWANTED) -> Any:
        """A field as it stands; the default when it is absent or null.

        Raises:
            DatasetError: it is absent and there is no default.
        """
        value = self.value.get(name)
        if value is not None:
            return value
        if default is _UNWANTED:
            raise self.fail(f"{name}: wanted, got none")
        return default

    def text(self, name: str, default: Any = _UNWANTED) -> str:
        """A field that is text; numbers are written out."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.fail(f"{name}: wanted text, got {value!r:.80}")
        return self._plain(name, str(value))

    def texts(self, name: str, default: Any = _UNWANTED) -> tuple[str, ...]:
        """A field that is a list of texts."""
        value = self.get(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str | int | float) for item in value):
            raise self.fail(f"{name}: wanted a list of texts, got {value!r:.80}")
        return tuple(self._plain(name, str(item)) for item in value)

    def number(self, name: str, default: Any = _UNWANTED) -> Any:
        """A field that is a finite number, or the text of one."""
        value = self.get(name, default)
        if value is default:
            return value
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.fail(f"{name}: wanted a finite number, got {value!r:.80}")
        return number

    def whole(self, name: str, default: Any = _UNWANTED) -> Any:
        """A field that is a whole number."""
        number = self.number(name, default)
        if number is default:
            return number
        if number != int(number):
            raise self.fail(f"{name}: wanted a whole number, got {number!r}")
        return int(number)

    def spans(self, name: str, default: Any = _UNWANTED) -> tuple[tuple[float, float], ...]:
        """A field that is a list of `[start, end]` in seconds."""
        value = self.get(name, default)
        pairs = value if isinstance(value, list | tuple) else [None]
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_finite, pair)) for pair in pairs):
            raise self.fail(f"{name}: wanted a list of [start, end] in seconds, got {value!r:.80}")
        return tuple((float(start), float(end)) for start, end in pairs)

    def _plain(self, name: str, text: str) -> str:
        """Refuse what can neither be shown nor written: NUL, and halves of surrogate pairs."""
        if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.fail(f"{name}: holds a character that no text has (NUL or a lone surrogate)")
        return text


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def read_text(path: Path) -> str:
    """A whole file as UTF-8 text, with or without a byte order mark.

    Raises:
        DatasetError: no such file, too large, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise DatasetError(f"{path}: wanted an annotation file, found none")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DatasetError(f"{path}: {path.stat().st_size} bytes, the limit is {MAX_FILE_BYTES}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DatasetError(f"{path}:{line}: not UTF-8 text ({error.reason})") from error
    except DatasetError:
        raise
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error


def digest_of(paths: list[Path]) -> str:
    """A sha256 over the names and contents of files: the revision of a dataset."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode("utf-8", "backslashreplace") + b"\x00")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a file that holds one JSON list."""
    text = read_text(path)
    position, line, counted = _skip(text, 0), 1, 0
    if text[position : position + 1] != "[":
        raise DatasetError(f"{path}:1: wanted a JSON list of records, got {text[position : position + 30]!r}")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        place = f"{path}:{line}"
        value, position = _decode(text, position, path)
        yield _row(value, place)
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] != "]":
            line += text.count("\n", counted, position)
            raise DatasetError(
                f"{path}:{line}: wanted ',' or ']' after a record, got {text[position : position + 20]!r}"
            )


def json_object(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object."""
    value, _ = _decode(text := read_text(path), _skip(text, 0), path)
    if not isinstance(value, dict):
        raise DatasetError(f"{path}:1: wanted a JSON object, got {type(value).__name__}")
    return value


def jsonl_rows(path: Path) -> Iterator[Row]:
    """The objects of a file that holds one JSON object a line."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            value, end = _decode(line, _skip(line, 0), path, number)
            if line[end:].strip():
                raise DatasetError(f"{path}:{number}: wanted one JSON object a line, got more after it")
            yield _row(value, f"{path}:{number}")


def csv_rows(path: Path) -> Iterator[Row]:
    """The lines of a CSV file with a header."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for value in reader:
            yield _row({str(name): cell for name, cell in value.items()}, f"{path}:{reader.line_num}")
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not CSV: {error}") from error


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file.

    Raises:
        ConfigError: pyarrow is not installed.
        DatasetError: the file cannot be read.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path}: Parquet wants pyarrow: pip install 'vz-env[parquet]'") from error
    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for value in batch.to_pylist():
                number += 1
                yield _row(value, f"{path}: row {number}")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a Parquet file: {error!s:.200}") from error


def _row(value: Any, place: str) -> Row:
    if not isinstance(value, Mapping):
        raise DatasetError(f"{place}: wanted a record as an object, got {value!r:.60}")
    return Row(value, place)


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


def _decode(text: str, position: int, path: Path, line: int | None = None) -> tuple[Any, int]:
    """One JSON value from a position on."""
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{line or error.lineno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        at = line or text.count("\n", 0, position) + 1
        raise DatasetError(f"{path}:{at}: not JSON we read: {error!s:.120}") from error
