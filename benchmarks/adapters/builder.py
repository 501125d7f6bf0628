"""From official records to a dataset: paths held inside the root, answers mapped to options, bad records kept.

A record that nobody can answer right (its gold is no option, its texts are empty) stays in the dataset with the reason
in `groups["invalid"]`: it is never graded, and a report can count it as the official scorer does, as wrong.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.datasets.jsonl import resolve_inside
from vz_env.episode import MAX_OPTIONS, MIN_OPTIONS, AnswerKey, AnswerKind, Episode, Segment, SubtitleFile
from vz_env.errors import DatasetError

from .rows import Row, digest_of

__all__ = ["DatasetBuilder", "Draft", "VideoFolder", "index_of_letter", "indices_of_text", "split_options"]

NO_QUESTION: Final = "(the record holds no question)"
NO_ANSWER: Final = "(no right answer is known)"
_EXTENSIONS: Final = (".mp4", ".MP4", ".mkv", ".webm", ".mov", ".avi")
_OPTION_LINE: Final = re.compile(r"[ \t]*(?:\(([A-N])\)|([A-N])[.:)])[ \t]*(\S.*)?")
_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,512}")


@dataclass(kw_only=True)
class Draft:
    """One official record on its way to an episode; `video` and `images` are paths relative to the root.

    A `duration` that is rough, of whole minutes for one, cuts no span short.
    """

    row: Row
    id: str
    video: str
    question: str
    options: Sequence[str] = ()
    kind: AnswerKind = "choice"
    answer_indices: Sequence[int] = ()
    answer_texts: Sequence[str] = ()
    answer_spans: Iterable[tuple[float, float]] = ()
    evidence: Iterable[tuple[float, float]] = ()
    needs_judge: bool = False
    is_hidden: bool = False
    invalid: str = ""
    duration: float | None = None
    is_duration_rough: bool = False
    video_id: str = ""
    context: str = ""
    subtitles: tuple[str, str, float] | None = None
    has_open_whole_ends: bool = False
    images: Sequence[str] = ()
    groups: dict[str, str] = field(default_factory=dict)


def indices_of_text(answer: str, options: Sequence[str]) -> tuple[int, ...]:
    """Every option whose text is the answer's: some records list the right text twice, and either is right."""
    exact = tuple(index for index, option in enumerate(options) if option == answer)
    return exact or tuple(index for index, option in enumerate(options) if option.strip() == answer.strip())


def index_of_letter(letter: str, options: Sequence[str]) -> tuple[int, ...]:
    """The option that a letter, or `B.` or `(B)`, stands for; nothing when it is none of them."""
    bare = letter.strip().strip("()[].:").strip()
    index = ord(bare) - ord("A") if len(bare) == 1 else -1
    return (index,) if 0 <= index < len(options) else ()


def split_options(text: str) -> tuple[str, list[str], list[str]]:
    """Take a question apart that has its options inside, a line each: `(A) ...`, `A. ...` or `A: ...`.

    Returns:
        The stem, the letters in order, the options in the same order. Both lists are empty when there are no options.
        Options that stand out of order are put in the order of their letters; a letter keeps its text.
    """
    stem: list[str] = []
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        match = _OPTION_LINE.fullmatch(line.rstrip())
        letter = (match[1] or match[2]) if match else ""
        if match and letter not in found:
            found[letter] = [(match[3] or "").strip()]
        elif not found:
            stem.append(line)
        elif line.strip() and not match:
            found[list(found)[-1]].append(line.strip())
    if len(found) < MIN_OPTIONS:
        return text.strip(), [], []
    letters = sorted(found)
    return "\n".join(stem).strip(), letters, [" ".join(found[letter]).strip() for letter in letters]


class VideoFolder:
    """The files of a folder, listed once: finds a video by its name, with whatever extension it has.

    Args:
        root: of the dataset.
        folder: that holds the videos, inside the root; may be absent.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        """List the folder."""
        self.folder, self.is_there = folder, folder.is_dir()
        self._prefix = folder.relative_to(root).as_posix()
        self._names = set(os.listdir(folder)) if self.is_there else set()  # noqa: PTH208 - only the names are wanted

    def holds(self, name: str) -> bool:
        """Whether a file of this very name lies in the folder, whatever else the name may be."""
        return name in self._names

    def find(self, name: str, *, suffixes: Sequence[str] = ("",)) -> str:
        """The path, relative to the root, of a video: `name` as it is, or with one of `suffixes` and an extension.

        When none is there it is `name.mp4`, so that opening it says what is missing.
        """
        candidates = [name, *(f"{name}{suffix}{extension}" for suffix in suffixes for extension in _EXTENSIONS)]
        found = next((one for one in candidates if one in self._names), None)
        default = name if name.endswith(_EXTENSIONS) else f"{name}.mp4"
        return f"{self._prefix}/{found or default}" if self._prefix != "." else found or default


class DatasetBuilder:
    """Collects drafts and makes a dataset of them.

    Args:
        name: of the dataset.
        split: its part, as reports show it.
        root: the resolved folder that no path may leave.
    """

    def __init__(self, *, name: str, split: str, root: Path) -> None:
        """Start empty."""
        self.name, self.split, self.root = name, split, root
        self.episodes: dict[str, Episode] = {}
        self.keys: dict[str, AnswerKey] = {}
        self.notes: list[str] = []
        self._paths: dict[str, Path] = {}

    def add(self, draft: Draft) -> None:
        """Take one record in.

        Raises:
            DatasetError: it breaks the format; names the file and the line.
        """
        if not _ID.fullmatch(draft.id):
            raise draft.row.fail(f"id: wanted 1 to 512 printable characters, got {draft.id!r:.80}")
        if draft.id in self.episodes:
            draft.id = self._next_id(draft)
        options = tuple(draft.options)
        invalid = draft.invalid or self._trouble(draft, options)
        if invalid:
            self.notes.append(f"{draft.row.place}: {draft.id}: invalid: {invalid}")
        try:
            self.episodes[draft.id] = self._episode(draft, options, invalid)
            self.keys[draft.id] = self._key(draft, invalid)
        except DatasetError as error:
            raise draft.row.fail(str(error)) from error

    def finish(self, files: Iterable[Path], *, variant: str = "") -> Dataset:
        """Make the dataset; `variant` sets the same files read with other options apart.

        Raises:
            DatasetError: there was no record.
        """
        listed = list(files)
        if not self.episodes:
            raise DatasetError(f"{listed[0] if listed else self.name}: wanted records, got none")
        videos = {str(one.video_path) for one in self.episodes.values()}
        absent = [path for path in sorted(videos) if not os.path.isfile(path)]  # noqa: PTH113 - raises for no name
        if absent:
            self.notes.append(f"{len(absent)} of {len(videos)} videos are not on the disk; the first: {absent[0]:.200}")
        revision = digest_of(listed)
        return Dataset(
            name=self.name,
            split=self.split,
            episodes=self.episodes.values(),
            keys=self.keys,
            root=self.root,
            revision=f"{revision[:40]}-{variant}" if variant else revision,
            notes=self.notes,
        )

    def _next_id(self, draft: Draft) -> str:
        number = 2
        while f"{draft.id}#{number}" in self.episodes:
            number += 1
        self.notes.append(f"{draft.row.place}: id {draft.id!r} was used before; this one is {draft.id}#{number}")
        return f"{draft.id}#{number}"

    def _trouble(self, draft: Draft, options: tuple[str, ...]) -> str:
        """Why nobody can answer the record right, or an empty text."""
        if not draft.question.strip():
            return "no question"
        if draft.kind == "choice":
            if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
                return f"{len(options)} options"
            if not draft.answer_indices and not draft.is_hidden:
                return "the right answer is not among the options"
        elif draft.kind == "spans":
            last = draft.duration or math.inf
            is_there = any(min(end, last) > max(start, 0.0) for start, end in draft.answer_spans)
            return "" if is_there else "the right span is empty"
        elif not draft.is_hidden and not any(text.strip() for text in draft.answer_texts):
            return "no answer"
        return ""

    def _episode(self, draft: Draft, options: tuple[str, ...], invalid: str) -> Episode:
        kind = draft.kind
        if kind == "choice" and not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
            kind, options = "text", ()
        subtitles = None
        if draft.subtitles is not None:
            path, form, offset = draft.subtitles
            subtitles = SubtitleFile(self._inside("subtitles", path), form, offset, draft.has_open_whole_ends)  # type: ignore[arg-type]
        duration = draft.duration if draft.duration is not None and 0 < draft.duration < math.inf else None
        return Episode(
            id=draft.id,
            question=draft.question if draft.question.strip() else NO_QUESTION,
            video_path=self._inside("video", draft.video),
            dataset=self.name,
            split=self.split,
            video_id=draft.video_id or draft.video,
            duration_seconds=duration,
            options=options,
            answer_kind=kind,
            subtitles=subtitles,
            context_text=draft.context,
            groups={**draft.groups, **({"invalid": invalid} if invalid else {})},
            question_images=tuple(self._inside("images", image) for image in draft.images),
        )

    def _key(self, draft: Draft, invalid: str) -> AnswerKey:
        """The secret half; of an invalid or hidden record it holds nothing that could be graded."""
        if invalid or draft.is_hidden:
            evidence = self._segments(draft, draft.evidence)
            return AnswerKey(answer_texts=(NO_ANSWER,), needs_judge=True, evidence=evidence)
        return AnswerKey(
            answer_indices=tuple(draft.answer_indices) if draft.kind == "choice" else (),
            answer_texts=tuple(draft.answer_texts),
            answer_segments=self._segments(draft, draft.answer_spans),
            evidence=self._segments(draft, draft.evidence),
            needs_judge=draft.needs_judge,
        )

    def _segments(self, draft: Draft, spans: Iterable[tuple[float, float]]) -> tuple[Segment, ...]:
        """Spans clamped to the video; those that are empty then are dropped. Both leave a note."""
        segments = []
        most = math.inf if draft.is_duration_rough else draft.duration or math.inf
        for start, end in spans:
            first, last = max(0.0, start), min(end, most)
            if first >= last:
                self.notes.append(f"{draft.row.place}: dropped the empty span [{start:g}, {end:g}]")
                continue
            if (first, last) != (start, end):
                self.notes.append(f"{draft.row.place}: clamped [{start:g}, {end:g}] to [{first:g}, {last:g}]")
            segments.append(Segment(first, last))
        return tuple(segments)

    def _inside(self, name: str, value: str) -> Path:
        if value not in self._paths:
            self._paths[value] = resolve_inside(self.root, name, value)
        return self._paths[value]
