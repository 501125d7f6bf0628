"""Two more policies without training: FirstFrames sees the beginning alone, SubtitleSearch looks where the words are.

FirstFrames shows what a benchmark gives away to a model that never gets past the opening. SubtitleSearch reads the
whole text track, zooms to the line that shares most with the question, and answers with the option spoken of there.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vz_env.actions import format_answer, format_zoom
from vz_env.episode import Segment, SubtitleFile
from vz_env.errors import ConfigError
from vz_env.subtitles import SubtitleTrack, load_subtitles

from .baselines import Answerer, guess_answer, letter_of, spot_answer
from .policy import Observation

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = ["FirstFrames", "SubtitleSearch"]

_WORD: Final = re.compile(r"[^\W_]+")
_CONTEXT_SECONDS: Final = 10.0  # how far around the best line the words still count for an option


class FirstFrames:
    """Sees a number of frames from the start of the video, and nothing of the rest."""

    def __init__(self, *, frames: int = 32, fps: float = 1.0, answerer: Answerer = spot_answer) -> None:
        """Build the baseline.

        Args:
            frames: how many frames it sees.
            fps: how many a second.
            answerer: what reads the observation.

        Raises:
            ConfigError: a number is not positive.
        """
        if frames < 1 or not 0 < fps < math.inf:
            raise ConfigError(f"first frames want frames and fps > 0, got {frames} and {fps}")
        self.frames, self.fps, self.answerer = frames, fps, answerer
        self.name = f"FirstFrames-{frames}"
        self.needs_frames = answerer is not spot_answer and bool(getattr(answerer, "needs_frames", True))
        reader = getattr(answerer, "fingerprint", f"{answerer.__module__}.{getattr(answerer, '__qualname__', '')}")
        self.fingerprint = f"first-1-{frames}-{fps:g}-{reader}"

    def budget_for(self, budget: Budget) -> Budget:
        """No overview, and one zoom that takes every frame."""
        frames = self.frames
        return dataclasses.replace(
            budget,
            **{"overview_frames": 0, "max_turns": 2, "max_zooms": 1, "max_frames": frames},
            max_frames_per_zoom=frames,
            min_overview_frames=None,
        )

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Zoom to the start, then answer."""
        return [self._act(observation) for observation in observations]

    def _act(self, observation: Observation) -> str:
        if observation.turn > 0 or observation.budget["zooms"] < 1:
            return format_answer(self.answerer(observation))
        # Just enough for the last frame: the segment is half-open, and is clamped to a video that is shorter.
        return format_zoom(Segment(0.0, round(self.frames / self.fps, 2)), self.fps)


class SubtitleSearch:
    """Searches the subtitles for the words of the question and its options; without subtitles it guesses."""

    needs_frames = False

    def __init__(self, *, frames_per_zoom: int = 8, seed: int = 0) -> None:
        """Build the baseline.

        Args:
            frames_per_zoom: frames of its one zoom, around the line it found.
            seed: picks the guesses where the words decide nothing.
        """
        self.frames_per_zoom, self.seed = frames_per_zoom, seed
        self.name = "SubtitleSearch"
        self.fingerprint = f"subtitle-search-1-{frames_per_zoom}-{seed}"

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Zoom to the best line once where the budget allows it, then answer."""
        return [self._act(observation) for observation in observations]

    def _act(self, observation: Observation) -> str:
        file = observation.episode.subtitles
        track = _track(file) if file is not None else None
        moment = _best_moment(observation, track) if track is not None and len(track) else None
        if track is None or moment is None:
            return format_answer(guess_answer(observation, seed=self.seed))
        frames = observation.frames_granted(self.frames_per_zoom)
        if observation.turn == 0 and observation.budget["zooms"] > 0 and observation.budget["turns"] > 1 and frames:
            start = round(max(0.0, moment - frames / 2), 2)
            return format_zoom(Segment(start, round(start + frames, 2)), 1.0)
        return format_answer(self._answer(observation, track, moment))

    def _answer(self, observation: Observation, track: SubtitleTrack, moment: float) -> str:
        """The option whose rare words are spoken near the moment; a guess when none is, or several are alike."""
        near = Segment(max(0.0, moment - _CONTEXT_SECONDS), moment + _CONTEXT_SECONDS)
        spoken = {word for line in track.between(near) for word in _words(line.text)}
        texts = [set(_words(option)) for option in observation.episode.options]
        shared = Counter(word for text in texts for word in text)
        scores = [sum(1 / shared[word] for word in text & spoken) / max(1, len(text)) for text in texts]
        best = max(scores, default=0.0)
        if best <= 0.0 or scores.count(best) > 1:
            return guess_answer(observation, seed=self.seed)
        return letter_of(scores.index(best))


def _best_moment(observation: Observation, track: SubtitleTrack) -> float | None:
    """The middle of the line that shares most with the question and its options, rare words counting more."""
    episode = observation.episode
    wanted = set(_words(" ".join([episode.question, *episode.options])))
    lines = [set(_words(line.text)) for line in track.lines]
    rarity = Counter(word for line in lines for word in line)
    scores = [sum(math.log(1 + len(lines) / rarity[word]) for word in line & wanted) for line in lines]
    best = max(range(len(scores)), key=scores.__getitem__)
    if scores[best] <= 0.0:
        return None
    line = track.lines[best]
    return (line.start_seconds + min(line.end_seconds, line.start_seconds + 20.0)) / 2


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    return load_subtitles(file)
