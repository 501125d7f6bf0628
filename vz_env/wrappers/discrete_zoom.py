"""`DiscreteZoom`: the environment in numbers, for libraries that want `MultiDiscrete` actions and `Box` shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from ..actions import Answer, Zoom, format_answer, format_zoom, parse_action
from ..budget import Budget
from ..episode import Episode
from ..errors import ConfigError
from ..prompts import option_letter
from ..scoring import extract_choice
from .bin_features import NUM_COLORS, NUM_WORDS, BinMemory, hashed_words, named_colors, named_number
from .fixed_frames import budget_vector

__all__ = ["ANSWER", "ZOOM", "DiscreteZoom", "fps_for"]

ZOOM, ANSWER = 0, 1
"""The two values of an action's first number."""

_HUNDREDTH: Final = 100

Observation = dict[str, NDArray[Any]]


class DiscreteZoom(gym.Wrapper[Any, Any, dict[str, Any], str], RecordConstructorArgs):
    """Choice questions with `MultiDiscrete` actions and a `Dict` of `Box` observations.

    An action is five numbers: zoom (0) or answer (1); the bin the zoom starts at; its length, an index into
    `lengths`; its frames, an index into `shares` of what one zoom may show; the option to answer. A zoom reads the
    middle three, an answer the last. Every action is legal but for the budget and for an option that is not there.

    The observation, float32 in [0, 1] unless said otherwise, with B bins, 16 palette colours and O options:

    - `features="palette"`: `overview`, `zoomed`, `early`, `runs`, each (B, 16): see `BinMemory.palette_arrays`; from
      the pixels, or without frames from the words of the `palette` describer.
    - `features="thumbnails"`: `thumbnails` uint8 (B, height, width, 3), the latest picture of each bin.
    - `seen` (B, 2): the overview showed the bin; zoomed frames in it.
    - `question_colors` (2, 16), `question_words` (64,); `option_colors` (O, 2, 16), `option_words` (O, 64),
      `option_numbers` (O,), `option_mask` (O,): which options there are.
    - `budget` (3,): the share of the turns, zooms and frames that is left.
    - with `text_bytes`: `text` uint8 (text_bytes,): all messages so far in UTF-8, padded with 0; from the middle of a
      longer text bytes are left out.

    Args:
        env: a `VideoZoomEnv`.
        bins: B; as many as overview frames makes each bin begin at one.
        lengths: lengths of a zoom, in bins.
        shares: of the most frames of a zoom, in (0, 1].
        options: O; questions with more are refused.
        features: what is shown of the video.
        thumbnail_size: (height, width).
        text_bytes: length of `text`, 0 for none.

    Raises:
        ConfigError: arguments out of range; at reset, a question without options or with too many.
    """

    def __init__(
        self,
        env: gym.Env[dict[str, Any], str],
        *,
        bins: int = 32,
        lengths: Sequence[int] = (1, 2, 4, 8),
        shares: Sequence[float] = (1.0, 0.5, 0.25),
        options: int = 4,
        features: Literal["palette", "thumbnails"] = "palette",
        thumbnail_size: tuple[int, int] = (16, 24),
        text_bytes: int = 0,
    ) -> None:
        """Replace both spaces."""
        if bins < 1 or options < 2 or text_bytes < 0 or min(thumbnail_size) < 1:
            raise ConfigError(
                f"wanted bins >= 1, options >= 2, text_bytes >= 0 and a thumbnail of pixels, "
                f"got {bins}, {options}, {text_bytes} and {thumbnail_size}"
            )
        if not lengths or min(lengths) < 1 or not shares or not 0.0 < min(shares) <= max(shares) <= 1.0:
            raise ConfigError(f"wanted lengths of at least 1 bin and shares in (0, 1], got {lengths} and {shares}")
        if features not in ("palette", "thumbnails"):
            raise ConfigError(f"features must be 'palette' or 'thumbnails', got {features!r}")
        RecordConstructorArgs.__init__(
            self,
            bins=bins,
            lengths=tuple(lengths),
            shares=tuple(shares),
            options=options,
            features=features,
            thumbnail_size=tuple(thumbnail_size),
            text_bytes=text_bytes,
        )
        gym.Wrapper.__init__(self, env)
        self.bins, self.lengths, self.shares, self.options = bins, tuple(lengths), tuple(shares), options
        self.text_bytes = text_bytes
        height, width = thumbnail_size
        self._thumbnail_size = (height, width) if features == "thumbnails" else None
        self._budget: Budget = env.get_wrapper_attr("budget")
        self.action_space = MultiDiscrete([2, bins, len(self.lengths), len(self.shares), options])
        self.observation_space = Dict(self._spaces())
        self._memory = BinMemory(bins=bins, duration_seconds=1.0)
        self.text_observation: dict[str, Any] = {}
        """The latest observation of the environment itself, for a teacher that reads text."""
        self._said: list[str] = []
        self._frames_left = 0
        self._question: Observation = {}

    def _spaces(self) -> dict[str, gym.Space[Any]]:
        """A Box for each array of the observation."""
        shapes: dict[str, tuple[int, ...]] = {
            "seen": (self.bins, 2),
            "question_colors": (2, NUM_COLORS),
            "question_words": (NUM_WORDS,),
            "option_colors": (self.options, 2, NUM_COLORS),
            "option_words": (self.options, NUM_WORDS),
            "option_numbers": (self.options,),
            "option_mask": (self.options,),
            "budget": (3,),
        }
        if self._thumbnail_size is None:
            shapes |= dict.fromkeys(("overview", "zoomed", "early", "runs"), (self.bins, NUM_COLORS))
        spaces: dict[str, gym.Space[Any]] = {name: Box(0.0, 1.0, shape) for name, shape in shapes.items()}
        if self._thumbnail_size is not None:
            spaces["thumbnails"] = Box(0, 255, (self.bins, *self._thumbnail_size, 3), np.uint8)
        if self.text_bytes:
            spaces["text"] = Box(0, 255, (self.text_bytes,), np.uint8)
        return spaces

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        episode: Episode = self.get_wrapper_attr("episode")
        if episode.answer_kind != "choice" or len(episode.options) > self.options:
            raise ConfigError(
                f"DiscreteZoom(options={self.options}) wants questions with at most so many options, episode "
                f"{episode.id!r} is of kind {episode.answer_kind!r} with {len(episode.options)}"
            )
        self._question = self._question_arrays(episode)
        self._memory = BinMemory(
            bins=self.bins, duration_seconds=info["duration_seconds"], thumbnail_size=self._thumbnail_size
        )
        self._said = []
        return self.observe(observation, is_overview=True), info

    def step(self, action: NDArray[np.int64]) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Say the action in words, and show what came of it in numbers; `info["text_action"]` holds the words."""
        text = self.to_text(action)
        observation, reward, terminated, truncated, info = self.env.step(text)
        return (
            self.observe(observation, is_overview=False),
            reward,
            terminated,
            truncated,
            {**info, "text_action": text},
        )

    def to_text(self, action: Sequence[int] | NDArray[np.int64]) -> str:
        """The action as the environment reads it.

        Args:
            action: five whole numbers within the action space.

        Raises:
            ConfigError: it is not in the action space.
        """
        numbers = np.asarray(action, dtype=np.int64)
        if not self.action_space.contains(numbers):
            raise ConfigError(f"an action must be in {self.action_space}, got {action!r}")
        kind, start, length, share, option = numbers.tolist()
        if kind == ANSWER:
            return format_answer(option_letter(option))
        width = self._memory.duration_seconds / self.bins
        first, last = round(start * width, 2), round(min(self.bins, start + self.lengths[length]) * width, 2)
        frames = max(1, round(self.shares[share] * max(1, min(self._budget.max_frames_per_zoom, self._frames_left))))
        return format_zoom((first, max(last, first + 0.01)), fps_for(frames, max(last - first, 0.01)))

    def from_text(self, text: str) -> NDArray[np.int64] | None:
        """The discrete action nearest to a text action; None when that is invalid or answers none of the options."""
        parsed = parse_action(text)
        if isinstance(parsed, Answer):
            option = extract_choice(parsed.text, self.get_wrapper_attr("episode").options)
            return None if option is None else np.array([ANSWER, 0, 0, 0, option], dtype=np.int64)
        if not isinstance(parsed, Zoom):
            return None
        width = self._memory.duration_seconds / self.bins
        start, end = max(0.0, parsed.segment[0]), min(self._memory.duration_seconds, parsed.segment[1])
        most = min(self._budget.max_frames_per_zoom, max(1, self._frames_left))
        first = max(0, min(self.bins - 1, round(start / width)))
        reached = [min(length, self.bins - first) for length in self.lengths]  # the end of the video cuts them
        length = _nearest(reached, (end - start) / width)
        return np.array(
            [ZOOM, first, length, _nearest(self.shares, (end - start) * parsed.fps / most), 0], dtype=np.int64
        )

    def observe(self, observation: dict[str, Any], *, is_overview: bool) -> Observation:
        """Take in an observation of the environment itself, and show all that is known, in new arrays.

        `reset` and `step` call it; so does who steps the environment in text and wants the numbers beside.
        """
        self.text_observation = observation
        self._memory.add(observation, is_overview=is_overview)
        self._frames_left = int(observation["budget"]["frames"])
        limits = np.array([self._budget.max_turns, self._budget.max_zooms, self._budget.max_frames])
        shown: Observation = {name: array.copy() for name, array in self._question.items()}
        shown["seen"] = self._memory.seen_mask(self._budget.max_frames_per_zoom)
        shown["budget"] = (budget_vector(observation) / np.maximum(limits, 1)).astype(np.float32)
        if self._thumbnail_size is None:
            shown |= self._memory.palette_arrays()
        else:
            shown["thumbnails"] = self._memory.thumbnails()
        if self.text_bytes:
            self._said.append(observation["text"])
            shown["text"] = _fit_bytes("\n".join(self._said), self.text_bytes)
        return shown

    def _question_arrays(self, episode: Episode) -> Observation:
        """The question and its options in numbers."""
        texts = [*episode.options, *[""] * (self.options - len(episode.options))]
        return {
            "question_colors": named_colors(episode.question),
            "question_words": hashed_words(episode.question),
            "option_colors": np.stack([named_colors(text) for text in texts]),
            "option_words": np.stack([hashed_words(text) for text in texts]),
            "option_numbers": np.array([named_number(text) for text in texts], dtype=np.float32),
            "option_mask": np.array([bool(text) for text in texts], dtype=np.float32),
        }


def fps_for(frames: int, seconds: float) -> float:
    """The rate, of two decimals as actions are written, that shows so many frames of a segment.

    Args:
        frames: at least 1.
        seconds: length of the segment.

    Returns:
        Frames a second: those that show exactly so many frames where there are such, else the highest that shows fewer.
    """
    up = math.ceil(frames / seconds * _HUNDREDTH - 1e-6) / _HUNDREDTH
    down = math.floor(frames / seconds * _HUNDREDTH + 1e-6) / _HUNDREDTH
    return up if math.floor(up * seconds + 1e-9) <= frames or down <= 0 else down


def _nearest(values: Sequence[float], wanted: float) -> int:
    """Index of the value nearest to the one wanted, by ratio."""
    return min(range(len(values)), key=lambda index: abs(math.log(values[index] / max(wanted, 1e-6))))


def _fit_bytes(text: str, length: int) -> NDArray[np.uint8]:
    """UTF-8 of a text, padded with 0; of a longer one its beginning and its end, half each: uint8 (length,)."""
    data = text.encode("utf-8", "replace")
    if len(data) > length:
        tail = length // 2
        data = data[: length - tail] + (data[-tail:] if tail else b"")
    fitted = np.zeros(length, dtype=np.uint8)
    fitted[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    return fitted
