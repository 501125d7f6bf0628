"""One person playing: the episode under way, its turns with their frames, and the outcome once it has ended.

Knows neither terminal nor browser. Until the end it holds nothing of the answer key.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_env.actions import format_answer, format_zoom
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError, ResetNeeded
from vz_env.prompts import format_seconds, option_letter
from vz_env.wrappers.discrete_zoom import fps_for

__all__ = ["Outcome", "PlaySession", "PlayedTurn"]

_JPEG_QUALITY: Final = 85


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlayedTurn:
    """What one turn showed: `frames` uint8 (n, height, width, 3) at `timestamps` seconds, and the message.

    `action` is what was written to get here, "" for the overview; `kind` is overview, zoom, answer, invalid or what
    else the environment calls it; `segment` is the one shown, of a zoom.
    """

    kind: str
    action: str
    text: str
    frames: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    segment: tuple[float, float] | None = None

    def jpeg(self, index: int) -> bytes:
        """One frame as a JPEG file.

        Raises:
            ConfigError: there is no such frame.
        """
        if not 0 <= index < len(self.frames):
            raise ConfigError(f"this turn has {len(self.frames)} frames, wanted number {index}")
        file = io.BytesIO()
        Image.fromarray(self.frames[index]).save(file, "JPEG", quality=_JPEG_QUALITY)
        return file.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an episode ended; `truth` is what would have been right, `evidence` where it could be seen.

    `right_letters` are those of the right options; `score` is None when the answer cannot be graded.
    """

    end_reason: str
    answer: str | None
    score: float | None
    reward: float
    truth: str
    right_letters: tuple[str, ...]
    evidence: tuple[Segment, ...]
    is_evidence_hit: bool | None
    frames_used: int


@dataclass(slots=True, kw_only=True, eq=False)
class PlaySession:
    """Plays episodes of an environment, one after the other.

    Attributes:
        env: a `VideoZoomEnv`, wrapped or not, whose observations are its own.
        number: counts episodes from 1; 0 before the first.
        turns: of the running or just ended episode, the overview first.
        outcome: None while the episode goes on.
    """

    env: gym.Env[dict[str, Any], str]
    number: int = 0
    turns: list[PlayedTurn] = field(default_factory=list)
    outcome: Outcome | None = None
    budget: dict[str, int] = field(default_factory=dict)
    duration_seconds: float = 0.0
    _reward: float = 0.0
    _episode: Episode | None = None

    @property
    def episode(self) -> Episode:
        """The public half of the episode.

        Raises:
            ResetNeeded: none has begun.
        """
        if self._episode is None:
            raise ResetNeeded("no episode has begun: call begin() first")
        return self._episode

    @property
    def frames_per_zoom(self) -> int:
        """Frames the next zoom may show, 0 when none is left."""
        most = int(self.env.get_wrapper_attr("budget").max_frames_per_zoom)
        return min(most, self.budget["frames"]) if self.budget["zooms"] > 0 else 0

    def begin(self, episode_id: str | None = None, *, seed: int | None = None) -> None:
        """Begin an episode: the one named, or any.

        Raises:
            UnknownEpisode: no such id; the running episode goes on.
            VideoError: its video cannot be read; what was played stays to be seen.
        """
        if episode_id is not None:
            self.env.get_wrapper_attr("dataset").episode(episode_id)
        options = {"episode_id": episode_id} if episode_id is not None else None
        observation, info = self.env.reset(seed=seed, options=options)
        self.number, self._episode = self.number + 1, self.env.get_wrapper_attr("episode")
        self.duration_seconds, self.outcome, self._reward = float(info["duration_seconds"]), None, 0.0
        self.turns = [self._turn("overview", "", observation, None)]

    def zoom(self, start: float, end: float, fps: float | None = None) -> PlayedTurn:
        """Zoom; without fps as closely as the budget allows.

        Raises:
            ConfigError: times that are not in order.
        """
        if not (math.isfinite(start) and math.isfinite(end) and start < end):
            raise ConfigError(f"a zoom wants a start before its end, got {start:g} and {end:g}")
        return self.act(
            format_zoom((start, end), fps_for(max(1, self.frames_per_zoom), end - start) if fps is None else fps)
        )

    def answer(self, text: str) -> PlayedTurn:
        """Answer with an option's letter or text.

        Raises:
            ConfigError: the text cannot stand in an answer.
        """
        return self.act(format_answer(text))

    def act(self, action: str) -> PlayedTurn:
        """Take an action in the words of a policy; a mistake is an outcome as it is for one.

        Raises:
            ResetNeeded: the episode has ended.
            VideoError: the video cannot be read; nothing is spent then.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._reward += float(reward)
        self.turns.append(self._turn(info["action"], action, observation, info.get("segment")))
        if terminated or truncated:
            self._end(info)
        return self.turns[-1]

    def _turn(self, kind: str, action: str, observation: dict[str, Any], segment: Sequence[float] | None) -> PlayedTurn:
        self.budget = {name: int(left) for name, left in observation["budget"].items()}
        return PlayedTurn(
            kind=kind,
            action=action,
            text=observation["text"],
            frames=observation["frames"],
            timestamps=observation["timestamps"],
            segment=(float(segment[0]), float(segment[1])) if segment else None,
        )

    def _end(self, info: dict[str, Any]) -> None:
        """Read the key, now that the episode is over."""
        key: AnswerKey = self.env.get_wrapper_attr("dataset").key(self.episode.id)
        self.outcome = Outcome(
            end_reason=info["end_reason"],
            answer=info["answer"],
            score=info["score"],
            reward=self._reward,
            truth=_truth(self.episode, key),
            right_letters=tuple(map(option_letter, key.answer_indices)),
            evidence=key.evidence,
            is_evidence_hit=info["evidence_hit"],
            frames_used=info["frames_used"],
        )


def _truth(episode: Episode, key: AnswerKey) -> str:
    """What would have been right, in words."""
    if key.answer_indices:
        return ", ".join(f"{option_letter(index)}. {episode.options[index]}" for index in key.answer_indices)
    spans = [f"{format_seconds(s.start_seconds)} to {format_seconds(s.end_seconds)}" for s in key.answer_segments]
    return ", ".join([*key.answer_texts, *spans])
