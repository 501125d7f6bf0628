"""Answer extraction and grading: pure functions, offline, and never a guess.

An answer that cannot be read is wrong, and is reported as unparsed; an episode that cannot be graded (no reference of
its kind) is unscorable, which is not the same as wrong.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .episode import AnswerKey, Episode, Segment

__all__ = [
    "NUMBER_TOLERANCE",
    "Parsed",
    "Score",
    "describe_parsed",
    "extract_choice",
    "extract_number",
    "extract_segments",
    "normalise_text",
    "score_answer",
    "segment_iou",
    "total_seconds",
    "union_segments",
]

Parsed = int | float | str | tuple[Segment, ...]
"""What was read from an answer: an option index, a number, a normalised text, or segments."""

NUMBER_TOLERANCE: Final = 0.01
"""Relative: 99 and 101 are right when 100 is; whole numbers below 99 must be met exactly."""

_NUMBER: Final = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_LETTER: Final = re.compile(r"[(\[]?([a-z])[)\]]?[.:]?")
_LETTER_AND_TEXT: Final = re.compile(r"[(\[]?([a-z])[)\]]?[.:]? (.+)")
_BOXED: Final = re.compile(r"\\boxed\s*\{((?:\\text\s*\{)?)([^{}]*)\}")
_DECORATION: Final = "*_`\"'“”‘’ "
_MAX_ANSWER_CHARS: Final = 4096  # nothing longer is a letter, a number or a few segments


@dataclass(frozen=True, slots=True)
class Score:
    """How good an answer is: `value` in [0, 1], or None when the episode cannot be graded offline.

    `parsed` is what was read from the answer, None when nothing could be.
    """

    value: float | None
    parsed: Parsed | None

    @property
    def is_correct(self) -> bool:
        """Whether the answer counts as right: full marks, or an overlap of one half for spans."""
        return self.value is not None and self.value >= 0.5


def normalise_text(text: str) -> str:
    """Unify what should not decide: Unicode form, case, white space, quotes and emphasis around, a final period."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_DECORATION).rstrip(".。").strip(_DECORATION)


def extract_choice(text: str, options: Sequence[str]) -> int | None:
    r"""Read which option an answer names.

    In this order: the whole answer is a letter with optional `()[].:`; the content of one `\boxed{}` is; the whole
    answer is the text of exactly one option; it is a letter followed by that option's own text.

    Args:
        text: the answer.
        options: option texts without letters.

    Returns:
        0-based index, or None when the answer names no option or more than one.
    """
    if len(text) > _MAX_ANSWER_CHARS:
        return None
    boxed = {match[2] for match in _BOXED.finditer(text)}
    if len(boxed) > 1:
        return None
    if boxed:
        text = boxed.pop()
    answer = normalise_text(text)
    if match := _LETTER.fullmatch(answer):
        index = _option_index(match[1], options)
        if index is not None:
            return index
    texts = [normalise_text(option) for option in options]
    if texts.count(answer) == 1:
        return texts.index(answer)
    if match := _LETTER_AND_TEXT.fullmatch(answer):
        index = _option_index(match[1], options)
        if index is not None and texts[index] == match[2].strip(_DECORATION):
            return index
    return None


def _option_index(letter: str, options: Sequence[str]) -> int | None:
    """The index of a lower-case letter, None beyond the options."""
    index = ord(letter) - ord("a")
    return index if index < len(options) else None


def extract_number(text: str) -> float | None:
    """The number in an answer, None when there is none or several different ones."""
    if len(text) > _MAX_ANSWER_CHARS:
        return None
    values = {float(match[0].replace(",", "")) for match in _NUMBER.finditer(text)}
    value = values.pop() if len(values) == 1 else math.nan
    return value if math.isfinite(value) else None


def extract_segments(text: str) -> tuple[Segment, ...] | None:
    """Read segments: JSON (`[12, 15.5]` or `[[12, 15.5], [20, 21]]`), or exactly two numbers (`12s - 15.5s`).

    Args:
        text: the answer.

    Returns:
        Segments in the order given, or None when any of them is not `0 <= start < end`.
    """
    if len(text) > _MAX_ANSWER_CHARS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # A hyphen between two times is a dash, not a sign.
        value = [float(match[0].replace(",", "").lstrip("+-")) for match in _NUMBER.finditer(text)]
    pairs = value if isinstance(value, list) and all(isinstance(item, list) for item in value) else [value]
    segments = [_as_segment(pair) for pair in pairs]
    if not segments or None in segments:
        return None
    return tuple(segment for segment in segments if segment is not None)


def _as_segment(pair: object) -> Segment | None:
    """A pair of numbers as a segment, None for anything else."""
    if not isinstance(pair, list) or len(pair) != 2:
        return None
    start, end = pair
    for number in (start, end):
        if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > 1e9:
            return None
    return Segment(float(start), float(end)) if 0 <= start < end else None


def union_segments(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Merge overlapping and touching segments into disjoint ones, in order of time."""
    merged: list[Segment] = []
    for segment in sorted(segments):
        if merged and segment.start_seconds <= merged[-1].end_seconds:
            end = max(merged[-1].end_seconds, segment.end_seconds)
            merged[-1] = Segment(merged[-1].start_seconds, end)
        else:
            merged.append(segment)
    return tuple(merged)


def total_seconds(segments: Iterable[Segment]) -> float:
    """Seconds that the union of segments covers."""
    return sum(segment.duration_seconds for segment in union_segments(segments))


def segment_iou(predicted: Iterable[Segment], truth: Iterable[Segment]) -> float:
    """Intersection over union of two sets of segments, in seconds: 1 when they cover the same time, 0 when none."""
    left, right = union_segments(predicted), union_segments(truth)
    union = total_seconds((*left, *right))
    shared = total_seconds(left) + total_seconds(right) - union
    return min(1.0, max(0.0, shared / union)) if union > 0 else 0.0


def score_answer(answer_text: str | None, episode: Episode, key: AnswerKey) -> Score:
    """Grade an answer.

    Args:
        answer_text: the text of the answer, None when the episode ended without one.
        episode: the question.
        key: its answers.

    Returns:
        1 or 0 for choice, text and number, the IoU for spans; None as value when the key holds no answer of the kind,
        or one that needs a judge.
    """
    text = answer_text or ""
    if key.needs_judge:
        return Score(None, normalise_text(text) or None)
    if episode.answer_kind == "choice":
        choice = extract_choice(text, episode.options)
        return _score(choice, choice in key.answer_indices, is_scorable=bool(key.answer_indices))
    if episode.answer_kind == "spans":
        segments = extract_segments(text)
        iou = segment_iou(segments or (), key.answer_segments)
        return _score(segments, iou, is_scorable=bool(key.answer_segments))
    if episode.answer_kind == "number":
        number = extract_number(text)
        truths = [truth for truth in map(extract_number, key.answer_texts) if truth is not None]
        is_right = number is not None and any(_is_close(number, truth) for truth in truths)
        return _score(number, is_right, is_scorable=bool(truths))
    words = normalise_text(text) or None
    return _score(words, words in {normalise_text(truth) for truth in key.answer_texts}, bool(key.answer_texts))


def describe_parsed(parsed: Parsed | None, episode: Episode) -> str | None:
    """What was read from an answer, as text: an option's letter, a number, words, or `12-15.5` for segments."""
    if parsed is None or isinstance(parsed, str):
        return parsed
    if isinstance(parsed, tuple):
        return ", ".join(f"{span.start_seconds:g}-{span.end_seconds:g}" for span in parsed)
    return chr(ord("A") + int(parsed)) if episode.answer_kind == "choice" else f"{parsed:g}"


def _score(parsed: Parsed | None, value: float, is_scorable: bool) -> Score:
    """Put a score together: unscorable wins over everything."""
    return Score(float(value) if is_scorable else None, parsed)


def _is_close(number: float, truth: float) -> bool:
    """Whether a number is right within the tolerance; whole truths of small size must be met exactly."""
    return math.isclose(number, truth, rel_tol=NUMBER_TOLERANCE, abs_tol=1e-9)
