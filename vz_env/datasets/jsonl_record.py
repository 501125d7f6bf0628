"""One annotation line: its fields, their checks, and its conversion into an `Episode` and an `AnswerKey`.

All times are float seconds from the start of the video file. Fields that are read and kept out of the episode (images
in the question, a prompt of its own, a visible clip) leave a note, so that nobody believes they were used.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..episode import MAX_OPTIONS, MIN_OPTIONS, AnswerKey, AnswerKind, Episode, Segment, SubtitleFile
from ..errors import DatasetError

__all__ = ["Record", "Scoring", "Subtitles"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
Span = tuple[float, float]
_NOT_USED: Final = ("clip_start_s", "clip_end_s", "question_images", "option_images", "prompt", "scoring")


class _Model(BaseModel):
    """Strict: no unknown field, no conversion, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Subtitles(_Model):
    """Where a record's timed text lies, relative to the root."""

    path: Name
    format: Literal["srt", "vtt", "json", "lvb_json"]
    offset_s: float = 0.0


class Scoring(_Model):
    """How a benchmark grades the record; kept for adapters."""

    metric: str | None = None
    judge: str | None = None
    parser: str | None = None
    aggregation: str | None = None


class Record(_Model):
    """One question about one video, as annotation files hold it."""

    id: Name
    dataset: Name | None = None
    split: Name | None = None
    video: Name
    video_id: Name | None = None
    clip_start_s: Annotated[float, Field(ge=0)] | None = None
    clip_end_s: Annotated[float, Field(gt=0)] | None = None
    duration_s: Annotated[float, Field(gt=0)] | None = None
    question: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    options: list[str] | None = None
    option_labels: list[str] | None = None
    answer_kind: AnswerKind
    answer_index: int | list[int] | None = None
    answer_text: str | int | float | list[str | int | float] | None = None
    answer_spans_s: list[Span] | None = None
    evidence_spans_s: list[Span] = []
    evidence_frames: list[Annotated[int, Field(ge=0)]] = []
    evidence_fps: Annotated[float, Field(gt=0)] | None = None
    evidence_kind: Literal["clue", "reference", "needle", "question_time"] | None = None
    subtitles: Subtitles | None = None
    context_text: str = ""
    question_images: list[str] = []
    question_images_placement: Literal["before", "after_video"] = "before"
    option_images: list[str] = []
    task_types: list[str] = []
    groups: dict[str, str] = {}
    try_group: str | None = None
    reference_points: list[str] = []
    scoring: Scoring | None = None
    prompt: str | None = None
    invalid: str | None = None
    hidden: dict[str, Any] = {}
    source: str | None = None
    licence: str | None = None
    meta: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_answer(self) -> Self:
        """Hold options and answer against the answer kind."""
        if not self.question.strip():
            raise ValueError("question: wants text, got only spaces")
        if self.evidence_frames and self.evidence_fps is None:
            raise ValueError("evidence_frames: want evidence_fps beside them")
        if self.clip_start_s is not None and self.clip_end_s is not None and self.clip_end_s <= self.clip_start_s:
            raise ValueError(f"clip_end_s: must lie after clip_start_s, got {self.clip_start_s} to {self.clip_end_s}")
        if self.answer_kind == "choice":
            self._check_choice()
        elif self.options:
            raise ValueError(f"options: are for answer_kind 'choice', got {self.answer_kind!r}")
        if self.answer_kind in {"text", "number"} and not self.answer_texts:
            raise ValueError(f"answer_text: wanted for answer_kind {self.answer_kind!r}, got none")
        if self.answer_kind == "number" and not all(_is_number(text) for text in self.answer_texts):
            raise ValueError(f"answer_text: wants finite numbers, got {self.answer_text!r:.80}")
        if self.answer_kind == "spans" and not self.answer_spans_s:
            raise ValueError("answer_spans_s: wanted for answer_kind 'spans', got none")
        return self

    def _check_choice(self) -> None:
        """Options are there, and every right index points at one."""
        options = self.options or []
        if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS or not all(option.strip() for option in options):
            raise ValueError(f"options: wants {MIN_OPTIONS} to {MAX_OPTIONS} non-empty texts, got {len(options)}")
        if self.option_labels is not None and len(self.option_labels) != len(options):
            raise ValueError(f"option_labels: wants one for each of {len(options)} options")
        if not self.answer_indices:
            raise ValueError("answer_index: wanted for answer_kind 'choice', got none")
        wrong = [index for index in self.answer_indices if not 0 <= index < len(options)]
        if wrong:
            raise ValueError(f"answer_index: must lie in [0, {len(options) - 1}], got {wrong[0]}")

    @property
    def answer_indices(self) -> tuple[int, ...]:
        """Right options, 0-based."""
        if self.answer_index is None:
            return ()
        return (self.answer_index,) if isinstance(self.answer_index, int) else tuple(self.answer_index)

    @property
    def answer_texts(self) -> tuple[str, ...]:
        """Right answers as text."""
        if self.answer_text is None:
            return ()
        answers = self.answer_text if isinstance(self.answer_text, list) else [self.answer_text]
        return tuple(str(answer) for answer in answers)

    def to_episode(self, *, video_path: Path, subtitle_path: Path | None, dataset: str, split: str) -> Episode:
        """Build the public half; the caller has checked that both paths stay inside the root."""
        subtitles = None
        if self.subtitles is not None and subtitle_path is not None:
            kind: Literal["srt", "vtt", "json"] = (
                "json" if self.subtitles.format == "lvb_json" else self.subtitles.format
            )
            subtitles = SubtitleFile(subtitle_path, kind, self.subtitles.offset_s)
        groups = dict(self.groups)
        if self.task_types:
            groups.setdefault("task", ",".join(self.task_types))
        if self.try_group is not None:
            groups.setdefault("try_group", self.try_group)
        return Episode(
            id=self.id,
            question=self.question,
            video_path=video_path,
            dataset=dataset,
            split=self.split or split,
            video_id=self.video_id or "",
            duration_seconds=self.duration_s,
            options=tuple(self.options or ()),
            answer_kind=self.answer_kind,
            subtitles=subtitles,
            context_text=self.context_text,
            groups=groups,
        )

    def to_key(self) -> tuple[AnswerKey, list[str]]:
        """Build the secret half, with notes on what had to be corrected or is not used.

        Raises:
            DatasetError: no answer span is usable.
        """
        notes = [f"{field}: is not used" for field in _NOT_USED if getattr(self, field)]
        if self.options and len({option.strip().casefold() for option in self.options}) < len(self.options):
            notes.append("options: some are the same text")
        answers = self._segments("answer_spans_s", self.answer_spans_s or [], notes)
        if self.answer_kind == "spans" and not answers:
            raise DatasetError(f"answer_spans_s: no usable span, got {self.answer_spans_s!r:.80}")
        fps = self.evidence_fps or 1.0
        spans = [*self.evidence_spans_s, *((frame / fps, (frame + 1) / fps) for frame in self.evidence_frames)]
        key = AnswerKey(
            answer_indices=self.answer_indices,
            answer_texts=self.answer_texts,
            answer_segments=answers,
            evidence=self._segments("evidence", spans, notes),
            needs_judge=self.scoring is not None and self.scoring.judge is not None,
        )
        return key, notes

    def _segments(self, field: str, spans: list[Span], notes: list[str]) -> tuple[Segment, ...]:
        """Clamp spans to the video and drop those that are empty."""
        segments = []
        for start, end in spans:
            first, last = max(0.0, start), min(end, self.duration_s or math.inf)
            if first >= last:
                notes.append(f"{field}: dropped the empty span [{start:g}, {end:g}]")
                continue
            if (first, last) != (start, end):
                notes.append(f"{field}: clamped [{start:g}, {end:g}] to [{first:g}, {last:g}]")
            segments.append(Segment(first, last))
        return tuple(segments)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
