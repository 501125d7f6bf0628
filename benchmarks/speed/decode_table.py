"""The table of the decoding benchmark: on the terminal, in the docs, and as ratios against their targets."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from vz_env.errors import ConfigError

from .decode_rounds import ZOOMS_A_ROUND, FileTimes
from .footage import Footage

__all__ = ["DecodeTable"]

WHATS: Final = ("overview", "zoom cold", "zoom hot", "keyframes")
MARKS: Final = ("<!-- decode: begin -->", "<!-- decode: end -->")
MOST_MEGABYTES: Final = 100.0
LIMIT_SHARE: Final = 1 / 1.12
_WORDS: Final = {
    "overview": "overview, faster than {}",
    "zoom": "zoom on our open handle, faster than {} opened for each",
    "zoom_hot": "zoom, both handles open, faster than {}",
    "keyframes": "overview of keyframes, faster than exact frames by {}",
    "limit/overview": "overview, times the limit",
    "limit/zoom": "zoom, times the limit",
    "memory": "memory of one open reader, MB",
    "right": "right frames of ours",
}
_SLOW_CODECS: Final = frozenset({"vp9", "av1"})  # decoded by libraries that drop nothing, whoever calls them


class DecodeTable:
    """Collects the files' figures.

    Args:
        libraries: columns, ours first.
        is_quick: whether these are figures of `--quick`.
        workers: our threads.
        pictures: what the videos are made of.
    """

    def __init__(self, libraries: tuple[str, ...], *, is_quick: bool, workers: int, pictures: str) -> None:
        """Start empty."""
        self._libraries, self._is_quick, self._workers = libraries, is_quick, workers
        self._pictures = pictures
        self._files: list[tuple[Footage, FileTimes]] = []

    def add(self, footage: Footage, times: FileTimes) -> None:
        """Add a file."""
        self._files.append((footage, times))

    def ratios(self) -> dict[str, float]:
        """How many times faster than each peer, by `what/file/library`; `limit/...` is the share of the limit reached.

        `zoom` is our open handle against decord opened for each zoom, as the published tool does.
        """
        found: dict[str, float | None] = {}
        for footage, times in self._files:
            name = footage.name
            for peer in self._libraries[1:]:
                found[f"overview/{name}/{peer}"] = _ratio(times, ("overview", peer), "overview")
                found[f"zoom_hot/{name}/{peer}"] = _ratio(times, ("zoom hot", peer), "zoom hot")
            found[f"zoom/{name}/decord"] = _ratio(times, ("zoom cold", "decord"), "zoom hot")
            found[f"keyframes/{name}/decord"] = _ratio(times, ("overview", "decord"), "keyframes")
            found[f"limit/overview/{name}"] = _ratio(times, ("overview", "limit"), "overview")
            found[f"limit/zoom/{name}"] = _ratio(times, ("zoom hot", "limit"), "zoom hot")
            if "ours" in times.megabytes:
                found[f"memory/{name}"] = MOST_MEGABYTES / times.megabytes["ours"]
            wrong, of = times.wrong.get("ours", (0, 0))
            found[f"right/{name}"] = (of - wrong) / of if of else None
        return {key: round(value, 3) for key, value in found.items() if value is not None}

    def targets(self) -> dict[str, float]:
        """The least that each ratio is to be, for those that were measured and have a target."""
        measured = self.ratios()
        wanted: dict[str, float] = {}
        for footage, _ in self._files:
            name, is_long = footage.name, footage.name == "long"
            wanted |= {
                f"overview/{name}/decord": 4.0 if is_long else 2.5,
                f"overview/{name}/torchcodec": 1.8 if name in _SLOW_CODECS else 2.8,
                f"zoom/{name}/decord": 6.0 if is_long else 2.0,
                f"zoom_hot/{name}/torchcodec": 1.6 if name == "vp9" else 2.0,
                f"limit/overview/{name}": LIMIT_SHARE,
                f"limit/zoom/{name}": LIMIT_SHARE,
                f"right/{name}": 1.0,
            }
            if is_long:
                wanted |= {f"keyframes/{name}/decord": 25.0, f"memory/{name}": 1.0}
        return {key: round(value, 3) for key, value in wanted.items() if key in measured}

    def as_rich(self) -> Table:
        """The table for the terminal."""
        table = Table("file", "what", *self._columns())
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    def notes(self) -> list[str]:
        """What went wrong, and wrong frames, one line each."""
        lines = []
        for footage, times in self._files:
            lines += [f"{footage.title}: {name}: {trouble}" for name, trouble in sorted(times.troubles.items())]
            lines += [
                f"{footage.title}: {name}: {wrong} of {of} frames were wrong"
                for name, (wrong, of) in sorted(times.wrong.items())
                if wrong
            ]
        return lines

    def write_into(self, page: Path) -> None:
        """Put the table between the two marks of a page.

        Raises:
            ConfigError: the page has no such marks, or these are figures of `--quick`.
        """
        if self._is_quick:
            raise ConfigError("figures of --quick are a look, not a result: run without it for the docs")
        text = page.read_text(encoding="utf-8")
        begin, end = text.find(MARKS[0]), text.find(MARKS[1])
        if begin < 0 or end < begin:
            raise ConfigError(f"{page} has no lines {MARKS[0]} and {MARKS[1]}")
        page.write_text(f"{text[:begin]}{MARKS[0]}\n{self._markdown()}{text[end:]}", encoding="utf-8")

    def _markdown(self) -> str:
        rounds = min((times.rounds for _, times in self._files), default=0)
        facts = (
            f"Medians of {rounds} rounds with {ZOOMS_A_ROUND} zooms each: seconds, and in brackets how many times as "
            "long as we a library took for the same look; "
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"{self._workers} threads of ours; videos made of {self._pictures}."
        )
        parts = [facts, _as_markdown(["file", "what", *self._columns()], self._rows())]
        if notes := self.notes():
            parts.append("\n".join(f"- {line}" for line in notes))
        parts.append(_as_markdown(["what is wanted", "measured", "wanted"], self._held_against()))
        return "\n" + "\n\n".join(parts) + "\n\n"

    def _held_against(self) -> list[list[str]]:
        """A row for each target."""
        measured, rows = self.ratios(), []
        for key, wanted in self.targets().items():
            what, name, *of = key.split("/")
            what, name, of = (f"{what}/{name}", of[0], []) if what == "limit" else (what, name, of)
            title = next(footage.title for footage, _ in self._files if footage.name == name)
            words = _WORDS[what].format(*of)
            if what.startswith("limit"):
                rows.append([f"{title}: {words}", f"{1 / measured[key]:.2f}x", f"{1 / wanted:.2f}x at most"])
            elif what == "memory":
                rows.append(
                    [f"{title}: {words}", f"{MOST_MEGABYTES / measured[key]:.0f}", f"{MOST_MEGABYTES:.0f} at most"]
                )
            elif what == "right":
                rows.append([f"{title}: {words}", f"{measured[key]:.1%}", "100%"])
            else:
                rows.append([f"{title}: {words}", f"{measured[key]:.1f}x", f"{wanted:g}x"])
        return rows

    def _columns(self) -> list[str]:
        return [*self._libraries, "limit"]

    def _rows(self) -> list[list[str]]:
        rows = []
        for footage, times in self._files:
            for what in WHATS:
                rows.append([footage.title, what, *(_cell(times, what, name) for name in self._columns())])
            memory = [f"{times.megabytes[name]:.0f} MB" if name in times.megabytes else "" for name in self._columns()]
            rows.append([footage.title, "peak memory", *memory])
        return rows


def _as_markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _ratio(times: FileTimes, theirs: tuple[str, str], ours: str) -> float | None:
    """Their time over ours."""
    return times.ratio(theirs, (ours, "ours"))


def _cell(times: FileTimes, what: str, name: str) -> str:
    """A cell: seconds and how many times our own figure, or why there is none."""
    seconds = times.median(what, name)
    if seconds is None:
        return "fails" if name in times.troubles and what in ("overview", "zoom cold", "zoom hot") else ""
    ratio = _ratio(times, (what, name), what)
    wrong = " wrong frames" if times.wrong.get(name, (0, 0))[0] else ""
    return f"{seconds:.3f}{wrong}" if name == "ours" or ratio is None else f"{seconds:.3f} ({ratio:.1f}x){wrong}"
