"""The timed text of a video, from SubRip, WebVTT or JSON files: what is said at a moment, or during a segment.

Subtitle files come from anywhere, so size and number of lines are capped, markup is dropped, and anything wrong is a
`DatasetError` that names the file. The text itself is data: it is never interpreted.
"""

from __future__ import annotations

import bisect
import html
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pysubs2

from .episode import Segment, SubtitleFile
from .errors import DatasetError

__all__ = ["SubtitleLine", "SubtitleTrack", "load_subtitles"]

MAX_FILE_BYTES: Final = 16 << 20
MAX_LINES: Final = 200_000
MAX_LINE_CHARACTERS: Final = 2_000

_CLOCK: Final = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)", re.ASCII)
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
"""A word; of scripts that put no space between words (Han, kana), a single character."""

_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")


@dataclass(frozen=True, slots=True)
class SubtitleLine:
    """Words and the half-open interval during which they are on, in seconds of the video."""

    start_seconds: float
    end_seconds: float
    text: str


class SubtitleTrack:
    """Lines in order of their start, with look-up by time.

    Args:
        lines: in any order; lines may overlap.
    """

    def __init__(self, lines: Iterable[SubtitleLine]) -> None:
        """Sort the lines."""
        self.lines: tuple[SubtitleLine, ...] = tuple(sorted(lines, key=lambda line: (line.start_seconds, line.text)))
        self._starts = [line.start_seconds for line in self.lines]
        # Latest end among the first i lines: where nothing before can still be on, the search stops.
        self._latest_end: list[float] = []
        for line in self.lines:
            before = self._latest_end[-1] if self._latest_end else -math.inf
            self._latest_end.append(max(before, line.end_seconds))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.lines)

    def at(self, timestamp_seconds: float) -> str:
        """Return what is on at a moment: the texts of the lines then on, joined by a space, or an empty string."""
        position = bisect.bisect_right(self._starts, timestamp_seconds)
        found: list[str] = []
        while position > 0 and self._latest_end[position - 1] > timestamp_seconds:
            position -= 1
            if self.lines[position].end_seconds > timestamp_seconds:
                found.append(self.lines[position].text)
        return " ".join(reversed(found))

    def between(self, segment: Segment) -> tuple[SubtitleLine, ...]:
        """Return the lines that are on at some moment of a segment, in order."""
        until = bisect.bisect_left(self._starts, segment.end_seconds)
        return tuple(line for line in self.lines[:until] if line.end_seconds > segment.start_seconds)

    def search(self, words: str, limit: int) -> tuple[tuple[SubtitleLine, ...], int]:
        """Find the lines that hold most of some words.

        A word matches a whole word of a line, whatever the case; Han and kana match character by character. Only lines
        that hold as many of the different words as the best line does are found, so that "red card" finds "a red card"
        and not every "red", where there is one.

        Args:
            words: what to look for.
            limit: most lines to return.

        Returns:
            The first `limit` of the found lines in order of time, and how many were found in all.
        """
        wanted = set(_WORD.findall(words.casefold()))
        held = [len(wanted & set(_WORD.findall(line.text.casefold()))) for line in self.lines]
        best = max(held, default=0)
        found = [line for line, count in zip(self.lines, held, strict=True) if count == best] if best else []
        return tuple(found[:limit]), len(found)

    def __repr__(self) -> str:
        """Show the number of lines and the span."""
        span = f", {self._starts[0]:.1f}s to {self._latest_end[-1]:.1f}s" if self.lines else ""
        return f"SubtitleTrack({len(self.lines)} lines{span})"


def load_subtitles(file: SubtitleFile) -> SubtitleTrack:
    """Read a subtitle file; `offset_seconds` is added to every time in it.

    SubRip and WebVTT are read by pysubs2. JSON is a list of `{"start": ..., "end": ..., "line": ...}` (`"text"` serves
    for `"line"`, `"timestamp": [start, end]` for both times), times in seconds or as `"HH:MM:SS.mmm"`; an end of null
    is that of the video. Lines without text, without length, or that end before the video begins are left out; a very
    long line is cut.

    Raises:
        DatasetError: no such file, too large, not text, or not of its format; the message names the file.
    """
    text = _read_text(file)
    try:
        cues = _json_cues(text, file.has_open_whole_ends) if file.format == "json" else _timed_cues(text, file.format)
    except (ValueError, TypeError, KeyError, RecursionError, pysubs2.exceptions.Pysubs2Error) as error:
        raise DatasetError(
            f"{file.path}: not a {file.format} subtitle file: {type(error).__name__}: {error}"
        ) from error
    if len(cues) > MAX_LINES:
        raise DatasetError(f"{file.path}: {len(cues)} subtitle lines, the limit is {MAX_LINES}")
    lines = (
        SubtitleLine(max(0.0, start + file.offset_seconds), end + file.offset_seconds, _clean(words))
        for start, end, words in cues
    )
    return SubtitleTrack(line for line in lines if line.text and line.end_seconds > line.start_seconds)


def _read_text(file: SubtitleFile) -> str:
    """Read the whole file as UTF-8, with or without a byte order mark."""
    try:
        if not file.path.is_file():
            raise DatasetError(f"{file.path}: no such subtitle file; check the path")
        size = file.path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DatasetError(f"{file.path}: {size} bytes, the limit for subtitles is {MAX_FILE_BYTES}")
        return file.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file.path}: not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error
    except DatasetError:
        raise
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file.path}: the subtitle file cannot be read: {error}") from error


def _timed_cues(text: str, format_name: str) -> list[tuple[float, float, str]]:
    """Read SubRip or WebVTT."""
    if not text.strip():
        return []
    if "-->" not in text and not text.lstrip().startswith("WEBVTT"):
        raise ValueError("no line with '-->' in it")
    parsed = pysubs2.SSAFile.from_string(text, format_=format_name)
    return [(event.start / 1000.0, event.end / 1000.0, event.plaintext) for event in parsed.events]


def _json_cues(text: str, has_open_whole_ends: bool) -> list[tuple[float, float, str]]:
    """Read a JSON list of cues."""
    records = json.loads(text)
    if not isinstance(records, list):
        raise TypeError(f"a list was wanted, got {type(records).__name__}")
    cues = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TypeError(f"cue {number}: an object was wanted, got {type(record).__name__}")
        words = record.get("line", record.get("text"))
        if not isinstance(words, str):
            raise TypeError(f"cue {number}: 'line' or 'text' must be a string")
        start, end = _times(record, number)
        is_open = end is None or (has_open_whole_ends and type(end) is int)
        times = _seconds(start, number), math.inf if is_open else _seconds(end, number)
        cues.append((*(_widened(*times) if has_open_whole_ends else times), words))
    return cues


def _widened(start: float, end: float) -> tuple[float, float]:
    """A time of at least a second, half of it on either side of the middle, as LongVideoBench's own loader makes it."""
    middle = (start + end) / 2
    return (middle - 0.5, middle + 0.5) if end - start < 1.0 else (start, end)


def _times(record: dict[str, object], number: int) -> tuple[object, object]:
    """The two times of a cue as they stand, in either of the two shapes."""
    if "start" in record and "end" in record:
        return record["start"], record["end"]
    both = record.get("timestamp")
    if not isinstance(both, list) or len(both) != 2:
        raise ValueError(f"cue {number}: 'start' and 'end' are wanted, or 'timestamp' with both")
    return both[0], both[1]


def _seconds(value: object, number: int) -> float:
    """Turn a JSON time into seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if clock is None:
        raise ValueError(f"cue {number}: a time is seconds or 'HH:MM:SS.mmm', got {value!r:.40}")
    return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))


def _clean(words: str) -> str:
    """Drop markup, resolve entities, squeeze blanks and cut what is far too long for a line."""
    plain = html.unescape(_TAG.sub("", words[: 4 * MAX_LINE_CHARACTERS]))
    return " ".join(plain.split())[:MAX_LINE_CHARACTERS]
