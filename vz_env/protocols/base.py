"""What a protocol decides, so that one state machine can play several.

The environment owns the video, the key, the clock of turns and the budget. A protocol says which moments the overview
shows, what a reply means, in which words the environment speaks, when an episode is over, and what its end is worth. It
keeps nothing: all it knows of an episode is in the `EpisodeState` that it is given.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..actions import Answer, InvalidAction, SubtitleSearch
from ..budget import Budget
from ..episode import AnswerKey
from ..episode_state import EpisodeState
from ..look import Look, VideoClock
from ..rewards import EndValues
from ..scoring import Score
from ..subtitles import SubtitleLine
from ..zoom_rules import ZoomPlan

__all__ = ["Decision", "Moments", "Protocol", "Stop"]


@dataclass(frozen=True, slots=True)
class Stop:
    """The policy or the protocol ends the episode without an answer in its tags.

    `reason` becomes `info["end_reason"]`; `is_truncated` says that a limit ended it, not the policy; `invalid` is the
    mistake that did, where one did.
    """

    reason: str
    is_truncated: bool = False
    invalid: InvalidAction | None = None


Decision = tuple[ZoomPlan, ...] | SubtitleSearch | Answer | InvalidAction | Stop
"""What a reply comes to: zooms to show, a search, an answer, a mistake, or the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """float64 (n,) seconds: `named` as the text calls them, `read_at` as they are decoded."""

    named: NDArray[np.float64]
    read_at: NDArray[np.float64]


class Protocol(abc.ABC):
    """The rules of one way to play; see the module."""

    name: ClassVar[str]
    wants_clock: ClassVar[bool] = False
    """Whether `overview` and `read` count frames, and so want the average rate of the video."""
    may_overdraw: ClassVar[bool] = False
    """Whether the last zoom may show more frames than are left."""

    @abc.abstractmethod
    def system_text(self, budget: Budget) -> str:
        """The rules and the grammar, for chat models that have not been trained on them."""

    @abc.abstractmethod
    def overview(self, clock: VideoClock, frames: int, fps: float | None) -> Moments:
        """The moments of the overview: at most `frames`, and at most `fps` a second where that is given."""

    @abc.abstractmethod
    def read(self, text: str, run: EpisodeState) -> Decision:
        """What a reply means now; changes nothing and never raises."""

    @abc.abstractmethod
    def end_reason(self, run: EpisodeState) -> str | None:
        """Why the episode is over after a step that did not end it by itself; None while it goes on."""

    @abc.abstractmethod
    def overview_text(self, run: EpisodeState) -> str:
        """The first message."""

    @abc.abstractmethod
    def zoom_text(self, run: EpisodeState, plans: Sequence[ZoomPlan], looks: Sequence[Look]) -> str:
        """The reply to the zooms of a turn, which are spent already."""

    @abc.abstractmethod
    def error_text(self, run: EpisodeState, invalid: InvalidAction) -> str:
        """The reply to a mistake, which is spent already."""

    @abc.abstractmethod
    def search_text(self, run: EpisodeState, words: str, lines: Sequence[SubtitleLine], found: int) -> str:
        """The reply to a search: the lines shown, and how many were found in all."""

    @abc.abstractmethod
    def grade(self, run: EpisodeState, answer: Answer | None, key: AnswerKey) -> tuple[Score, EndValues]:
        """The score of an ended episode, and what each term of its reward is worth before it is weighted."""
