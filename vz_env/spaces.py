"""Spaces for what Gymnasium's own cannot hold: any text, and stacks of frames of varying number and size.

Each implements the whole Space contract (sample, contains, seed, equality, repr, JSON). Vector environments carry them
as tuples, one item an environment; how processes share them is told in `shared_spaces`.
"""

from __future__ import annotations

import math
import string
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from .errors import ConfigError

if TYPE_CHECKING:
    from .action_types import Grammar
    from .budget import Budget

__all__ = ["MAX_OBSERVATION_CHARS", "FrameStack", "Timestamps", "Unicode", "make_observation_space"]

MAX_OBSERVATION_CHARS: Final = 1 << 20

_SAMPLE_LETTERS: Final = tuple(string.printable + "äßéλжあ漢🎬")
_SAMPLE_CHARS, _SAMPLE_FRAMES, _SAMPLE_SIDE = 64, 4, 16  # samples stay small: they are for checks, not for learning


class Unicode(Space[str]):
    """Any Python text of at most `max_length` characters.

    `gymnasium.spaces.Text` wants every allowed character listed: all of Unicode takes seconds to build and megabytes to
    pickle.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Refuse a `max_length` below 1."""
        if max_length < 1:
            raise ConfigError(f"max_length must be at least 1, got {max_length}")
        self.max_length = int(max_length)
        super().__init__(dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: text has no fixed length."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draw a short text; masks are not supported."""
        _refuse_mask(mask, probability)
        length = int(self.np_random.integers(0, min(self.max_length, _SAMPLE_CHARS), endpoint=True))
        return "".join(_SAMPLE_LETTERS[i] for i in self.np_random.integers(0, len(_SAMPLE_LETTERS), size=length))

    def contains(self, x: Any) -> bool:
        """Whether x is a str that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        """Show the bound."""
        return f"Unicode({self.max_length})"

    def __eq__(self, other: object) -> bool:
        """Equal when the bounds are."""
        return isinstance(other, Unicode) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]  # as every Gymnasium space: equal by value and mutable


class FrameStack(Space[NDArray[np.uint8]]):
    """uint8 RGB stacks of shape (n, height, width, 3), 0 <= n <= max_frames, 1 <= height * width <= max_pixels."""

    def __init__(self, max_frames: int, max_pixels: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Refuse bounds below zero frames or one pixel."""
        if max_frames < 0 or max_pixels < 1:
            raise ConfigError(f"want max_frames >= 0 and max_pixels >= 1, got {max_frames} and {max_pixels}")
        self.max_frames, self.max_pixels = int(max_frames), int(max_pixels)
        super().__init__(dtype=np.uint8, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: the number and the size of frames vary."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> NDArray[np.uint8]:
        """Draw a small stack of noise; masks are not supported."""
        _refuse_mask(mask, probability)
        side = min(_SAMPLE_SIDE, math.isqrt(self.max_pixels))
        count = int(self.np_random.integers(0, min(self.max_frames, _SAMPLE_FRAMES), endpoint=True))
        height, width = self.np_random.integers(1, side, size=2, endpoint=True)
        return self.np_random.integers(0, 256, size=(count, int(height), int(width), 3), dtype=np.uint8)

    def contains(self, x: Any) -> bool:
        """Whether x is a stack within the bounds."""
        return (
            isinstance(x, np.ndarray)
            and x.dtype == np.uint8
            and x.ndim == 4
            and x.shape[3] == 3
            and x.shape[0] <= self.max_frames
            and 1 <= x.shape[1] * x.shape[2] <= self.max_pixels
        )

    def to_jsonable(self, sample_n: Any) -> list[Any]:
        """Write stacks as {"shape", "data"}: a stack without frames still has a size."""
        return [{"shape": list(stack.shape), "data": stack.ravel().tolist()} for stack in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[NDArray[np.uint8]]:
        """Read what `to_jsonable` wrote."""
        return [np.array(item["data"], dtype=np.uint8).reshape(item["shape"]) for item in sample_n]

    def __repr__(self) -> str:
        """Show the bounds."""
        return f"FrameStack({self.max_frames}, {self.max_pixels})"

    def __eq__(self, other: object) -> bool:
        """Equal when the bounds are."""
        return isinstance(other, FrameStack) and (self.max_frames, self.max_pixels) == (
            other.max_frames,
            other.max_pixels,
        )

    __hash__ = None  # type: ignore[assignment]


class Timestamps(Space[NDArray[np.float64]]):
    """float64 arrays of shape (n,), 0 <= n <= max_frames: finite seconds, none negative."""

    def __init__(self, max_frames: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Refuse a negative bound."""
        if max_frames < 0:
            raise ConfigError(f"max_frames must not be negative, got {max_frames}")
        self.max_frames = int(max_frames)
        super().__init__(dtype=np.float64, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: the number of frames varies."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> NDArray[np.float64]:
        """Draw ascending seconds within an hour; masks are not supported."""
        _refuse_mask(mask, probability)
        count = int(self.np_random.integers(0, self.max_frames, endpoint=True))
        return np.sort(self.np_random.uniform(0.0, 3600.0, size=count))

    def contains(self, x: Any) -> bool:
        """Whether x is such an array."""
        return (
            isinstance(x, np.ndarray)
            and x.dtype == np.float64
            and x.ndim == 1
            and len(x) <= self.max_frames
            and bool(np.isfinite(x).all() and (x >= 0).all())
        )

    def to_jsonable(self, sample_n: Any) -> list[Any]:
        """Write arrays as lists."""
        return [stamps.tolist() for stamps in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[NDArray[np.float64]]:
        """Read what `to_jsonable` wrote."""
        return [np.array(item, dtype=np.float64) for item in sample_n]

    def __repr__(self) -> str:
        """Show the bound."""
        return f"Timestamps({self.max_frames})"

    def __eq__(self, other: object) -> bool:
        """Equal when the bounds are."""
        return isinstance(other, Timestamps) and self.max_frames == other.max_frames

    __hash__ = None  # type: ignore[assignment]


def make_observation_space(
    budget: Budget,
    frame_size: tuple[int, int] | None,
    grammar: Grammar,
    *,
    may_overdraw: bool = False,
    most_pictures: int = 0,
) -> Dict:
    """Bounds that every observation of `VideoZoomEnv` keeps.

    Args:
        budget: the limits of an episode; `seconds` are counted where it bounds them.
        frame_size: (width, height) of every frame, None when `budget.max_pixels` bounds them.
        grammar: the eyes that are switched on; searches are counted where they are.
        may_overdraw: whether the last zoom may show more frames than the episode has left.
        most_pictures: how many pictures a question has at most; they come with the overview.
    """
    zooms_a_turn = budget.max_zooms if grammar.several_zooms else 1
    most_zoomed = budget.max_frames_per_zoom * zooms_a_turn
    most_overview = budget.overview_frames + most_pictures
    most_frames = max(most_overview, most_zoomed if may_overdraw else min(most_zoomed, budget.max_frames))
    limits = {
        "turns": budget.max_turns,
        "zooms": budget.max_zooms,
        "frames": budget.max_frames,
        "frames_per_zoom": budget.max_frames_per_zoom,
    }
    limits |= {"searches": budget.max_turns} if grammar.subtitle_search else {}
    # A limit of 0 is legal, a Box of one value is not: Gymnasium's checker warns of it.
    left: dict[str, Space[Any]] = {n: Box(0, max(1, limit), shape=(), dtype=np.int64) for n, limit in limits.items()}
    if budget.max_seconds is not None:
        left["seconds"] = Box(0.0, max(1.0, float(budget.max_seconds)), shape=(), dtype=np.float64)
    most_pixels = frame_size[0] * frame_size[1] if frame_size else budget.max_pixels
    return Dict(
        {
            "text": Unicode(MAX_OBSERVATION_CHARS),
            "frames": FrameStack(most_frames, most_pixels),
            "timestamps": Timestamps(most_frames),
            "budget": Dict(left),
        }
    )


def _refuse_mask(mask: Any | None, probability: Any | None) -> None:
    """Say so when a mask is given: silently ignoring it would be worse."""
    if mask is not None or probability is not None:
        raise ConfigError("these spaces sample without mask and probability, got one: leave it out")
