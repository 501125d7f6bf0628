"""Policies without training that every report compares against: Blind, RandomZoom, UniformSampling and Oracle.

Blind shows what the questions give away by themselves, UniformSampling what the same number of frames buys without
looking anywhere in particular, RandomZoom what zooming buys without knowing where, and Oracle, which reads the answer
key and is marked as cheating, that every question can be answered within the grammar and the budget.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from vz_env.actions import format_answer, format_zoom
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError

from .policy import Observation

if TYPE_CHECKING:
    from vz_env.budget import Budget
    from vz_env.datasets.dataset import Dataset

__all__ = [
    "Answerer",
    "Blind",
    "Oracle",
    "RandomZoom",
    "UniformSampling",
    "guess_answer",
    "letter_of",
    "right_answer",
    "spot_answer",
]

Answerer = Callable[[Observation], str]
"""From everything observed so far to the text of an answer, without the tags."""

UNKNOWN: Final = "unknown"
# The `new` of a palette line marks a change and is no word that was seen; a caption's own `new` stays.
_FRAME_LINE: Final = re.compile(r"^\d+(?:\.\d+)?s: (?:new (?=\w+ \d+%))?(?P<description>.+)$", re.MULTILINE)


def _generator(seed: int, episode: Episode, turn: int = 0) -> np.random.Generator:
    """A generator of the episode's own: the same draws in whatever order, process or batch the episodes are played."""
    digest = hashlib.sha256(f"{seed}\x00{turn}\x00{episode.id}".encode("utf-8", "backslashreplace")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def letter_of(index: int) -> str:
    """The letter shown before an option: 0 is A."""
    return chr(ord("A") + index)


def guess_answer(observation: Observation, *, seed: int = 0) -> str:
    """A uniformly random option by its letter; a question without options gets "unknown"."""
    options = observation.episode.options
    return letter_of(int(_generator(seed, observation.episode).integers(len(options)))) if options else UNKNOWN


def spot_answer(observation: Observation) -> str:
    """The option that the fewest described frames mention, but at least one: what is rare is what was asked for.

    Options that the question itself names do not count, for they are its setting. Falls back to `guess_answer` when no
    frame mentions an option or several are equally rare.
    """
    episode = observation.episode
    lines = [found["description"].casefold() for found in _FRAME_LINE.finditer(observation.all_text)]
    mentions = {}
    for index, option in enumerate(episode.options):
        words = re.compile(rf"\b{re.escape(option.casefold())}\b")
        if not words.search(episode.question.casefold()):
            mentions[index] = sum(words.search(line) is not None for line in lines)
    fewest = min((count for count in mentions.values() if count), default=0)
    rarest = [index for index, count in mentions.items() if count == fewest and count]
    return letter_of(rarest[0]) if len(rarest) == 1 else guess_answer(observation)


class Blind:
    """Answers a random option without looking; its accuracy is what chance gives."""

    name = "Blind"
    needs_frames = False

    def __init__(self, *, seed: int = 0) -> None:
        """`seed` picks the guesses, which also depend on the episode's id."""
        self.seed = seed
        self.fingerprint = f"blind-1-seed{seed}"

    def budget_for(self, budget: Budget) -> Budget:
        """One turn and no frames: blind is blind."""
        return dataclasses.replace(budget, overview_frames=0, max_turns=1, max_zooms=0, max_frames=0)

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Answer at once."""
        return [format_answer(guess_answer(observation, seed=self.seed)) for observation in observations]


class UniformSampling:
    """Sees a number of frames spread evenly over the video and answers from them, without any zoom."""

    def __init__(self, *, frames: int = 32, answerer: Answerer = spot_answer, name: str = "") -> None:
        """Build the baseline.

        Args:
            frames: how many frames it sees, in place of the environment's overview.
            answerer: what reads the observation; a trained reader goes here.
            name: shown in tables; tells the number of frames when empty.

        Raises:
            ConfigError: `frames` is not positive.
        """
        if frames < 1:
            raise ConfigError(f"uniform sampling wants at least 1 frame, got {frames}")
        self.frames, self.answerer = frames, answerer
        self.name = name or f"UniformSampling-{frames}"
        self.needs_frames = answerer is not spot_answer and bool(getattr(answerer, "needs_frames", True))
        self.fingerprint = f"uniform-1-{frames}-{getattr(answerer, 'fingerprint', _qualified_name(answerer))}"

    def budget_for(self, budget: Budget) -> Budget:
        """One turn, no zooms, an overview of `frames` frames."""
        return dataclasses.replace(
            budget, overview_frames=self.frames, max_turns=1, max_zooms=0, max_frames=self.frames
        )

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Answer from the frames shown."""
        return [format_answer(self.answerer(observation)) for observation in observations]


class RandomZoom:
    """Spends its zooms on random places of the video, then answers from everything seen."""

    def __init__(
        self,
        *,
        zooms: int = 5,
        frames_per_zoom: int = 16,
        fps: float = 1.6,
        seed: int = 0,
        answerer: Answerer = spot_answer,
    ) -> None:
        """Build the baseline.

        Args:
            zooms: how many zooms it wants, fewer when the budget gives fewer.
            frames_per_zoom: frames of each zoom.
            fps: sampling rate of each zoom; its length in seconds is `frames_per_zoom / fps`.
            seed: picks the places, which also depend on the episode's id.
            answerer: what reads the observations.

        Raises:
            ConfigError: a number is not positive.
        """
        if zooms < 0 or frames_per_zoom < 1 or not 0 < fps < math.inf:
            raise ConfigError(
                f"random zooms want zooms >= 0, frames and fps > 0, got {zooms}, {frames_per_zoom}, {fps}"
            )
        self.zooms, self.frames_per_zoom, self.fps, self.seed, self.answerer = (
            zooms,
            frames_per_zoom,
            fps,
            seed,
            answerer,
        )
        self.name = "RandomZoom"
        self.needs_frames = answerer is not spot_answer and bool(getattr(answerer, "needs_frames", True))
        self.fingerprint = f"random-1-{zooms}-{frames_per_zoom}-{fps:g}-{seed}-{_qualified_name(answerer)}"

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Zoom while there is something to spend, else answer."""
        return [self._act(observation) for observation in observations]

    def _act(self, observation: Observation) -> str:
        budget = observation.budget
        frames = observation.frames_granted(self.frames_per_zoom)
        if observation.turn >= self.zooms or budget["zooms"] < 1 or budget["turns"] < 2 or frames < 1:
            return format_answer(self.answerer(observation))
        duration = observation.episode.duration_seconds or 0.0
        # Rounded up: the two decimals of a zoom must not cost it its only frame.
        length = math.ceil(100.0 * frames / self.fps) / 100.0
        length = min(length, duration) if duration else length
        if observation.turn and duration and length >= duration:  # it saw all of it: the same again is not granted
            return format_answer(self.answerer(observation))
        generator = _generator(self.seed, observation.episode, observation.turn)
        start = round(float(generator.uniform(0.0, max(0.0, duration - length))), 2)
        return format_zoom(Segment(start, round(start + length, 2)), self.fps)


class Oracle:
    """Reads the answer key: zooms to the evidence once, then gives the right answer. Marked as cheating everywhere."""

    name = "Oracle"
    needs_frames = False
    reads_key = True

    def __init__(self, dataset: Dataset, *, frames_per_zoom: int = 16) -> None:
        """`dataset` gives the keys; `frames_per_zoom` bounds its one zoom."""
        self.dataset, self.frames_per_zoom = dataset, frames_per_zoom
        self.fingerprint = f"oracle-1-{frames_per_zoom}-{dataset.revision}"

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Zoom to the first evidence where the budget allows it, else answer."""
        return [self._act(observation, self.dataset.key(observation.episode.id)) for observation in observations]

    def _act(self, observation: Observation, key: AnswerKey) -> str:
        budget = observation.budget
        frames = observation.frames_granted(self.frames_per_zoom)
        wants_look = key.evidence and observation.turn == 0 and budget["zooms"] > 0 and budget["turns"] > 1
        if not (wants_look and frames > 0):
            return format_answer(right_answer(key))
        evidence = key.evidence[0]
        length = min(evidence.duration_seconds, 50.0 * frames)  # the text of a zoom can say no fps below 0.01
        # Rounded down, and half a frame below the limit: the two decimals of a zoom must not buy a frame too many.
        fps = max(math.ceil(100.0 / length), math.floor(100.0 * (frames - 0.5) / length)) / 100.0
        return format_zoom((evidence.start_seconds, evidence.start_seconds + length), fps)


def right_answer(key: AnswerKey) -> str:
    """The answer text that a key calls right."""
    if key.answer_indices:
        return letter_of(key.answer_indices[0])
    if key.answer_texts:
        return key.answer_texts[0]
    return ", ".join(f"{span.start_seconds:g}-{span.end_seconds:g}" for span in key.answer_segments)


def _qualified_name(function: Answerer) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
