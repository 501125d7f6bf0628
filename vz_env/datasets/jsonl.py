"""Reads and writes annotation files: one JSON object a line, one line a question; errors name the file and the line."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from pydantic import ValidationError

from ..episode import AnswerKey, Episode
from ..errors import ConfigError, DatasetError
from .dataset import Dataset, RejectedLine
from .jsonl_record import Record

__all__ = ["load_jsonl", "resolve_inside", "resolve_root", "write_jsonl"]

MAX_LINE_BYTES: Final = 8 << 20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def load_jsonl(
    annotations: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    name: str = "",
    split: str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    check_files: bool = False,
) -> Dataset:
    """Load an annotation file.

    Args:
        annotations: the .jsonl file.
        root: folder that video and subtitle paths are relative to; no path may leave it.
        name: the dataset's name; the file's stem when left out.
        split: keep records of this split, and records that name none; None keeps all.
        on_error: "raise" stops at the first bad line; "skip" collects bad lines in `dataset.rejected`.
        check_files: look now whether every video is there; otherwise the reader says so when it is wanted.

    Returns:
        the dataset, in file order. Records with an `invalid` reason are left out with a note.

    Raises:
        DatasetError: the file cannot be read, holds no usable record, or (on_error="raise") a line is wrong;
            line errors read `file:line: message`.
        ConfigError: an unknown `on_error`.
    """
    if on_error not in {"raise", "skip"}:
        raise ConfigError(f"on_error wants 'raise' or 'skip', got {on_error!r}")
    path = Path(annotations)
    loader = _Loader(path=path, root=resolve_root(root), name=name or path.stem, split=split, check_files=check_files)
    digest = hashlib.sha256()
    for number, line in _read_lines(path):
        digest.update(line or b"")
        try:
            if line is None:
                raise DatasetError(f"line is longer than {MAX_LINE_BYTES} bytes; is this a JSONL file?")
            if line.strip():
                loader.add(number, line)
        except DatasetError as error:
            if on_error == "raise":
                raise DatasetError(f"{path}:{number}: {error}") from error
            loader.rejected.append(RejectedLine(number, str(error)))
    return loader.finish(digest.hexdigest())


def write_jsonl(path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write records, one a line, so that the file is either complete or not there.

    Raises:
        DatasetError: a record breaks the format; nothing is written.
    """
    target = Path(path)
    lines = []
    for number, record in enumerate(records, start=1):
        try:
            line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{target}:{number}: a record wants plain JSON values: {error}") from error
        _parse(line.encode(), f"{target}:{number}: ")
        lines.append(line + "\n")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        unfinished.write_text("".join(lines), encoding="utf-8", newline="\n")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@dataclass(kw_only=True)
class _Loader:
    """What has been read so far."""

    path: Path
    root: Path
    name: str
    split: str | None
    check_files: bool
    lines: dict[str, int] = field(default_factory=dict)
    episodes: list[Episode] = field(default_factory=list)
    keys: dict[str, AnswerKey] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rejected: list[RejectedLine] = field(default_factory=list)
    other_splits: set[str] = field(default_factory=set)
    _paths: dict[str, Path] = field(default_factory=dict)

    def add(self, number: int, line: bytes) -> None:
        """Take one line in.

        Raises:
            DatasetError: what is wrong with it, without file and line.
        """
        record = _parse(line)
        if record.id in self.lines:
            raise DatasetError(f"id: {record.id!r} was used before, on line {self.lines[record.id]}")
        self.lines[record.id] = number
        if self.split is not None and record.split not in {None, self.split}:
            self.other_splits.add(str(record.split))
            return
        if record.invalid is not None:
            self.notes.append(f"line {number}: left out, marked invalid: {record.invalid}")
            return
        key, notes = record.to_key()
        subtitle_path = None if record.subtitles is None else self._inside("subtitles.path", record.subtitles.path)
        episode = record.to_episode(
            video_path=self._inside("video", record.video),
            subtitle_path=subtitle_path,
            dataset=self.name,
            split=self.split or "",
        )
        if self.check_files and not episode.video_path.is_file():
            raise DatasetError(f"video: no file {record.video!r} in {self.root}")
        self.notes.extend(f"line {number}: {note}" for note in notes)
        self.episodes.append(episode)
        self.keys[episode.id] = key

    def _inside(self, field_name: str, value: str) -> Path:
        """The absolute path behind a relative one, links followed, if it stays inside the root."""
        if value not in self._paths:
            self._paths[value] = resolve_inside(self.root, field_name, value)
        return self._paths[value]

    def finish(self, revision: str) -> Dataset:
        """Build the dataset, or say why there is none."""
        if not self.episodes:
            if self.other_splits:
                raise DatasetError(
                    f"{self.path}: no record of split {self.split!r}; it holds {', '.join(sorted(self.other_splits))}"
                )
            first = f"; line {self.rejected[0].line}: {self.rejected[0].message}" if self.rejected else ""
            raise DatasetError(f"{self.path}: wanted one JSON record a line, got no usable one{first}")
        splits = {episode.split for episode in self.episodes}
        return Dataset(
            name=self.name,
            split=self.split or (splits.pop() if len(splits) == 1 else ""),
            episodes=self.episodes,
            keys=self.keys,
            root=self.root,
            revision=revision,
            notes=self.notes,
            rejected=self.rejected,
        )


def resolve_root(root: str | os.PathLike[str]) -> Path:
    """The folder that no path of a dataset may leave, links followed.

    Raises:
        DatasetError: there is no such folder.
    """
    try:
        resolved = Path(root).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"root {os.fspath(root)!r}: wanted the folder that holds the videos: {error}") from error
    if not resolved.is_dir():
        raise DatasetError(f"root {resolved}: wanted the folder that holds the videos, got a file")
    return resolved


def resolve_inside(root: Path, field_name: str, value: str) -> Path:
    """Follow a record's path below the root; the reader checks again when it opens the file.

    Args:
        root: as `resolve_root` returns it.
        field_name: of the record, for messages.
        value: a path relative to the root.

    Raises:
        DatasetError: a URL, an absolute path, one that leaves the root, or no path at all.
    """
    if "://" in value or value.lower().startswith("file:"):
        raise DatasetError(f"{field_name}: wants a path relative to the root, got a URL: {value!r:.200}")
    if Path(value).is_absolute():
        raise DatasetError(f"{field_name}: wants a path relative to the root, got {value!r:.200}")
    try:
        resolved = (root / value).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL, a loop of links
        raise DatasetError(f"{field_name}: {value!r:.200} is no usable path: {error!s:.200}") from error
    if not resolved.is_relative_to(root) or resolved == root:
        raise DatasetError(f"{field_name}: {value!r:.200} leaves the root {root}; wanted a relative path inside it")
    return resolved


def _read_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Number and content of every line; None for one that is too long, which is never held in memory as a whole."""
    try:
        if not path.is_file():
            raise DatasetError(f"{path}: wanted a JSONL annotation file, found no such file")
        with path.open("rb") as file:
            number = 0
            while chunk := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                is_whole = len(chunk) <= MAX_LINE_BYTES or _is_last_piece(chunk)
                if number == 1:
                    chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
                yield number, chunk if is_whole else None
                if not is_whole:
                    _skip_line(file)
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: cannot be read: {error}") from error


def _is_last_piece(chunk: bytes) -> bool:
    return chunk.endswith(b"\n")


def _skip_line(file: BinaryIO) -> None:
    while (chunk := file.readline(MAX_LINE_BYTES)) and not _is_last_piece(chunk):
        pass


def _parse(line: bytes, prefix: str = "") -> Record:
    """Parse one line.

    Raises:
        DatasetError: `field: message, got value` for the first trouble, and how many more there are.
    """
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        troubles = error.errors(include_url=False, include_context=False)
        first = troubles[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in {"json_invalid", "value_error"} or not where:
            text = message
        else:
            text = f"{where}: {message[:1].lower()}{message[1:]}, got {first['input']!r:.80}"
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        raise DatasetError(f"{prefix}{text}{more}") from error
