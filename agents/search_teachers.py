"""Scripted teachers for any dataset: straight to the evidence, by halves, or from coarse to fine.

What they look for is the first span of evidence of which no frame has been shown yet. Where no evidence is known, the
described frames say where to look: the one that shares the rarest words with the question and its options; else the
largest gap that no frame has shown. How they get there is what tells them apart.

They read the answer key and so may only play a train split. The right answer is given once every span of the evidence
has been seen, at once where the overview shows them all. What was never seen is answered as the descriptions suggest,
mostly wrong: no exemplar teaches to know what was not seen. Asked to reflect, they say whether the place or the reading
was at fault, and go on with their search.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vz_env.actions import Zoom, format_answer, format_number, format_zoom, parse_action
from vz_env.episode import AnswerKey, Segment
from vz_env.errors import ConfigError
from vz_env.scoring import score_answer

from .baselines import right_answer, spot_answer
from .policy import Observation
from .repairs import is_request
from .shown_frames import ShownFrame, best_frame, largest_gap, shown_frames

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["BinarySearchTeacher", "CoarseToFineTeacher", "EvidenceTeacher", "SearchTeacher"]

_ZOOM_CAP: Final = re.compile(r"^Left: \d+ zooms?, (\d+) frames", re.MULTILINE)
_DURATION: Final = re.compile(r"^Video: (\d+(?:\.\d+)?)s$", re.MULTILINE)
_FRAMES: Final = 16  # of a zoom, where no message says how many it may have
_MOST_FPS: Final = 8.0
_FINE_SECONDS: Final = 8.0  # about 2 frames a second: what is shown no finer than this counts as looked at
_LEAST_SECONDS: Final = 0.5
_MOST_QUOTED: Final = 60  # characters of a description


@dataclass(frozen=True, slots=True)
class _Search:
    """How far an episode has come."""

    observation: Observation
    key: AnswerKey
    duration_seconds: float
    frames: list[ShownFrame]
    looks: list[Segment]
    own_looks: int | None  # taken since a reflection was asked for; None: it was not

    @classmethod
    def read(cls, observation: Observation, key: AnswerKey) -> _Search:
        """Read it off the messages so far."""
        texts = [*(past.observation_text for past in observation.history), observation.text]
        frames = shown_frames(texts)
        told = _DURATION.search(texts[0])
        last = max((frame.time_seconds for frame in frames), default=0.0)
        duration = observation.episode.duration_seconds or (float(told[1]) if told else last + 1.0)
        begun = next((turn for turn, text in enumerate(texts) if is_request(text)), None)
        looks = [_segment_of(past.action, duration) for past in observation.history]
        own = None if begun is None else sum(look is not None for look in looks[begun:])
        return cls(observation, key, duration, frames, [look for look in looks if look is not None], own)

    @property
    def evidence(self) -> tuple[Segment, ...]:
        """Where the answer can be seen, as far as anybody knows; for a question about when, the answer itself."""
        return self.key.evidence or self.key.answer_segments

    @property
    def hidden(self) -> Segment | None:
        """The first span of the evidence of which nothing has been shown."""
        return next((span for span in self.evidence if not any(frame.is_in(span) for frame in self.frames)), None)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing more to look for."""
        if self.evidence:
            return self.hidden is None
        return bool(self.looks) and min(look.duration_seconds for look in self.looks) <= _FINE_SECONDS

    @property
    def target(self) -> Segment:
        """What to look for next."""
        span = self.hidden or next(iter(self.evidence), None)
        if span is not None:
            return span
        frame = best_frame(self.observation, self.frames)
        if frame is None:
            return largest_gap(self.frames, self.duration_seconds)
        return _around(frame.time_seconds, 2 * _LEAST_SECONDS, Segment(0.0, self.duration_seconds))

    def smallest_look_at(self, moment: float) -> Segment | None:
        """The closest look so far that holds a moment."""
        return min((look for look in self.looks if look.contains(moment)), key=_length, default=None)

    @property
    def may_look(self) -> bool:
        """Whether the budget has a zoom, its frames, and a turn for the answer."""
        budget = self.observation.budget
        return budget["zooms"] > 0 and budget["turns"] > 1 and budget["frames"] > 0


class SearchTeacher(ABC):
    """What the three have in common; a subclass says which window comes next."""

    reads_key = True
    needs_frames = False
    batch_size = 16
    name = "SearchTeacher"

    def __init__(self, dataset: Dataset) -> None:
        """Take the train split whose keys say where to look and what is right."""
        self.dataset = dataset
        self.fingerprint = f"{self.name}-1-{dataset.revision}"

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """One action text for each observation; stateless, as all of it is in the observation."""
        return [self.reply(observation) for observation in observations]

    def reply(self, observation: Observation) -> str:
        """The next look with a note of where and why, or the answer."""
        search = _Search.read(observation, self.dataset.key(observation.episode.id))
        is_due = search.own_looks == 0 or not search.is_settled
        zoom = self._zoom(search) if is_due and search.may_look else ""
        return zoom or _conclusion(search)

    @abstractmethod
    def narrow(self, parent: Segment, target: Segment, *, is_video: bool) -> tuple[Segment, str]:
        """The window to look at next, inside `parent`, and what a note calls it; `is_video`: no look holds the target.

        It must be shorter than `parent`, but for a target that fills it.
        """

    def _zoom(self, search: _Search) -> str:
        """The next look; empty where there is none that would show more."""
        target, budget = search.target, search.observation.budget
        cap = _ZOOM_CAP.search(search.observation.text)
        frames = min(int(cap[1]) if cap else _FRAMES, budget["frames"])
        # The text of a zoom says no fps below 0.01, and half a frame is left for rounding.
        most = min(100.0 * (frames - 0.5), float(budget.get("seconds") or math.inf))
        parent = search.smallest_look_at(_middle(target))
        window, where = self.narrow(parent or Segment(0.0, search.duration_seconds), target, is_video=parent is None)
        while window.duration_seconds > most:
            window, where = self.narrow(window, _around(_middle(target), most / 2, window), is_video=False)
        start = round(window.start_seconds, 2)
        end = min(round(window.end_seconds, 2), math.floor(100.0 * search.duration_seconds) / 100)
        if end - start < _LEAST_SECONDS:
            return ""
        least = math.ceil(100.0 / (end - start)) / 100  # one frame
        fps = max(least, math.floor(100.0 * min(_MOST_FPS, (frames - 0.5) / (end - start))) / 100)
        try:
            return f"<think>{_finding(search)}{where}</think>{format_zoom((start, end), fps)}"
        except ConfigError:  # a video so short that two decimals leave nothing of the window
            return ""


class EvidenceTeacher(SearchTeacher):
    """Looks at each span of the evidence, about 2 frames a second; closer, where that showed nothing of it."""

    name = "EvidenceGuided"

    def narrow(self, parent: Segment, target: Segment, *, is_video: bool) -> tuple[Segment, str]:
        """The target with some seconds around it; half of the window that missed it."""
        wanted = max(_FINE_SECONDS, target.duration_seconds) if is_video else parent.duration_seconds / 2
        window = _around(_middle(target), wanted, parent)
        return window, f"look at {_span(window)}" if is_video else f"look closer at {_span(window)}"


class BinarySearchTeacher(SearchTeacher):
    """Halves the video, and the half that holds what is looked for, until it is seen."""

    name = "BinarySearch"

    def narrow(self, parent: Segment, target: Segment, *, is_video: bool) -> tuple[Segment, str]:
        """The half that holds the middle of the target."""
        middle = _middle(parent)
        if _middle(target) < middle:
            return Segment(parent.start_seconds, middle), f"first half of {_span(parent)}"
        return Segment(middle, parent.end_seconds), f"second half of {_span(parent)}"


class CoarseToFineTeacher(SearchTeacher):
    """Looks at a quarter of the video around what is looked for, then at a quarter of that, and so on."""

    name = "CoarseToFine"

    def narrow(self, parent: Segment, target: Segment, *, is_video: bool) -> tuple[Segment, str]:
        """A quarter of the window around the middle of the target, but no finer than need be."""
        length = parent.duration_seconds
        wanted = max(length / 4, min(_FINE_SECONDS, length / 2))
        window = _around(_middle(target), wanted, parent)
        return window, f"around {format_number(_middle(window))}s" if is_video else f"finer, {_span(window)}"


def _conclusion(search: _Search) -> str:
    """The answer, behind a note of what it rests on."""
    if search.hidden is not None:
        return _answer("it is not to be seen", spot_answer(search.observation))
    spans = search.evidence
    seen = next((frame for frame in reversed(search.frames) if any(frame.is_in(span) for span in spans)), None)
    seen = seen or best_frame(search.observation, search.frames)
    note = "I have looked" if seen is None else f"at {format_number(seen.time_seconds)}s"
    words = seen.words[:_MOST_QUOTED] if seen is not None and not re.search("[<>]", seen.words) else ""
    note = f"{note}: {words}" if words else note
    right = right_answer(search.key)
    indices, episode = search.key.answer_indices, search.observation.episode
    if indices:  # a note says more in words; where an option's words cannot be an answer, its letter can
        text = episode.options[indices[0]]
        if not re.search("[<>]", text) and score_answer(text, episode, search.key).is_correct:
            return _answer(note, text)
    return _answer(note, right)


def _answer(note: str, answer: str) -> str:
    """A note that ends in the answer, and the answer, as the other scripted teachers write them."""
    return f"<think>{note}, so {answer}</think>{format_answer(f' {answer}')}"


def _finding(search: _Search) -> str:
    """What the looks so far have come to, for the note of the next one."""
    if search.own_looks == 0:
        return "it was shown and misread, " if search.hidden is None and search.evidence else "not where I looked, "
    return "not yet, " if search.looks and search.evidence else ""


def _segment_of(action: str, duration_seconds: float) -> Segment | None:
    """The part of the video that a zoom asked for; None for anything else."""
    zoom = parse_action(action)
    if not isinstance(zoom, Zoom):
        return None
    start, end = max(0.0, zoom.segment[0]), min(zoom.segment[1], duration_seconds)
    return Segment(start, end) if start < end else None


def _around(moment: float, length: float, inside: Segment) -> Segment:
    """A window of a length around a moment, moved so that it lies inside another one."""
    length = min(length, inside.duration_seconds)
    start = min(max(moment - length / 2, inside.start_seconds), inside.end_seconds - length)
    return Segment(max(inside.start_seconds, start), max(inside.start_seconds, start) + length)


def _middle(span: Segment) -> float:
    return (span.start_seconds + span.end_seconds) / 2


def _length(span: Segment) -> float:
    return span.duration_seconds


def _span(span: Segment) -> str:
    return f"{format_number(span.start_seconds)}s to {format_number(span.end_seconds)}s"
