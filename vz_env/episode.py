"""One question about one long video: the public half (`Episode`) and the secret half (`AnswerKey`).

The two halves are different types and never share a dict. An environment's observation, info, repr, spec and render may
hold anything of an `Episode`, and nothing of an `AnswerKey` before the episode has ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .errors import DatasetError

__all__ = ["AnswerKey", "AnswerKind", "Episode", "Segment", "SubtitleFile"]

AnswerKind = Literal["choice", "text", "number", "spans"]

MIN_OPTIONS, MAX_OPTIONS = 2, 14


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A half-open interval `[start_seconds, end_seconds)` of a video, in seconds from its first presented frame."""

    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        """Refuse anything but `0 <= start < end < inf`."""
        if not (0.0 <= self.start_seconds < self.end_seconds < math.inf):
            raise DatasetError(
                f"segment must satisfy 0 <= start < end < inf, got [{self.start_seconds}, {self.end_seconds})"
            )

    @property
    def duration_seconds(self) -> float:
        """Length of the segment in seconds, always positive."""
        return self.end_seconds - self.start_seconds

    def contains(self, timestamp_seconds: float) -> bool:
        """Whether a timestamp lies inside the half-open interval."""
        return self.start_seconds <= timestamp_seconds < self.end_seconds

    def intersection(self, other: Segment) -> Segment | None:
        """The part shared with another segment, or None when they do not overlap."""
        start, end = max(self.start_seconds, other.start_seconds), min(self.end_seconds, other.end_seconds)
        return Segment(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class SubtitleFile:
    """Where an episode's timed text lies; `offset_seconds` is added to every time in it.

    With `has_open_whole_ends`, a line of a JSON file whose end is a whole number of seconds lasts to the end of the
    video, as one whose end is null does, and one shorter than a second lasts a second: LongVideoBench's own loader
    reads its files so.
    """

    path: Path
    format: Literal["srt", "vtt", "json"]
    offset_seconds: float = 0.0
    has_open_whole_ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The public half of one question about one video; everything here may be shown to a policy.

    `options` holds 2 to 14 texts without letters for `answer_kind="choice"` and is empty otherwise; `video_path` is
    absolute; `duration_seconds` is None until the file has been probed; `groups` are names for reporting (task, domain,
    duration group); `question_images` are pictures (or a video of one picture) that belong to the question, absolute
    paths; they are shown behind the overview.
    """

    id: str
    question: str
    video_path: Path
    dataset: str = ""
    split: str = ""
    video_id: str = ""
    duration_seconds: float | None = None
    options: tuple[str, ...] = ()
    answer_kind: AnswerKind = "choice"
    subtitles: SubtitleFile | None = None
    context_text: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    question_images: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an empty id or question, and options that do not fit the answer kind."""
        if not self.id or not self.question.strip():
            raise DatasetError(f"an episode wants an id and a question, got id={self.id!r} question={self.question!r}")
        if self.answer_kind == "choice" and not MIN_OPTIONS <= len(self.options) <= MAX_OPTIONS:
            raise DatasetError(
                f"episode {self.id!r}: a choice question wants {MIN_OPTIONS} to {MAX_OPTIONS} options, "
                f"got {len(self.options)}"
            )
        if self.answer_kind != "choice" and self.options:
            raise DatasetError(f"episode {self.id!r}: options are for answer_kind 'choice', got {self.answer_kind!r}")

    @property
    def video_group(self) -> str:
        """The name that questions of one video share (what statistics cluster by)."""
        return self.video_id or str(self.video_path)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AnswerKey:
    """The secret half: what is right, and where in the video it shows. Held by the scorer alone.

    `answer_indices` are 0-based into `Episode.options`; `answer_texts` serve text and number questions;
    `answer_segments` serve spans; `evidence` is where the answer can be seen and may be empty when nobody knows.
    `needs_judge` marks an answer in free words that no offline rule can grade: its episodes stay ungraded.
    """

    answer_indices: tuple[int, ...] = ()
    answer_texts: tuple[str, ...] = ()
    answer_segments: tuple[Segment, ...] = ()
    evidence: tuple[Segment, ...] = ()
    needs_judge: bool = False

    def __post_init__(self) -> None:
        """Refuse a key without any answer."""
        if not (self.answer_indices or self.answer_texts or self.answer_segments):
            raise DatasetError("an answer key wants at least one answer: an index, a text or a segment")

    def __repr__(self) -> str:
        """Show nothing: a key that is logged or printed by accident must not give the answer away."""
        return "AnswerKey(<secret>)"
