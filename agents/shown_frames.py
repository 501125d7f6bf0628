"""What the messages of an episode have shown so far: frames by their times, with the words beside them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from vz_env.episode import Segment

from .policy import Observation

__all__ = ["ShownFrame", "best_frame", "largest_gap", "shown_frames"]

# A line of the strict protocol (`130.62s: teal 60%`), or of the published one (`<frame3_time130.62s> teal 60%`).
_LINE: Final = re.compile(r"^(?:<frame\d+_time)?(\d+(?:\.\d+)?)s(?:>|(?=:|$))(?:: | )?(.*)$", re.MULTILINE)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_ROUNDING: Final = 0.005  # seconds: texts tell times to two decimals


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame that was shown: its time as the text tells it, and what describes it, if anything does."""

    time_seconds: float
    words: str

    def is_in(self, span: Segment) -> bool:
        """Whether it lies in a span, as far as a rounded time can tell."""
        return span.start_seconds - _ROUNDING <= self.time_seconds < span.end_seconds + _ROUNDING


def shown_frames(texts: Iterable[str]) -> list[ShownFrame]:
    """Every frame that the messages name, in their order."""
    return [ShownFrame(float(time), words) for text in texts for time, words in _LINE.findall(text)]


def best_frame(observation: Observation, frames: Sequence[ShownFrame]) -> ShownFrame | None:
    """The described frame that shares most with the question and its options, rare words counting more.

    None where no description shares a word that another one lacks: then the words say nothing about where to look.
    """
    episode = observation.episode
    wanted = _words(" ".join([episode.question, *episode.options]))
    described = [_words(frame.words) for frame in frames]
    rarity = Counter(word for words in described for word in words)
    scores = [
        sum(math.log(len(frames) / rarity[word]) for word in sorted(words & wanted) if rarity[word] < len(frames))
        for words in described
    ]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    return frames[best] if best is not None and scores[best] > 0.0 else None


def largest_gap(frames: Iterable[ShownFrame], duration_seconds: float) -> Segment:
    """The longest stretch of the video in which no frame has been shown; the first of several."""
    times = sorted({0.0, duration_seconds, *(min(frame.time_seconds, duration_seconds) for frame in frames)})
    start, end = max(pairwise(times), key=lambda pair: pair[1] - pair[0])
    return Segment(start, end)


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}
