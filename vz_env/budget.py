"""What an episode may cost: the limits (`Budget`) and what has been spent of them (`BudgetState`).

Nothing here knows of videos or text. A turn is one action of the policy, right or wrong; a zoom is an accepted zoom; a
frame is one picture shown, those of the overview included; a second of video is one that a zoom reached over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from .errors import ConfigError

__all__ = ["PUBLISHED_BUDGET", "Budget", "BudgetState", "as_budget"]

_SECONDS_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of one episode.

    `overview_frames` are shown at the start; `max_frames` bounds the overview and all zooms together; `max_pixels`
    bounds width * height of every frame; more than `max_invalid` mistakes end the episode.

    Limits that are off while they are None: `max_seconds` bounds the seconds of video that all zooms together reach
    over; `min_overview_frames` lets the seeded generator draw the overview of every episode, from so many frames up to
    `overview_frames`; `max_searches` bounds the searches in subtitles, where these are switched on.
    """

    overview_frames: int = 32
    max_turns: int = 6
    max_zooms: int = 5
    max_frames_per_zoom: int = 16
    max_frames: int = 112
    max_pixels: int = 100_352
    max_invalid: int = 3
    max_seconds: float | None = None
    min_overview_frames: int | None = None
    max_searches: int | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are no whole numbers, too small, or in conflict."""
        least = {"max_turns": 1, "max_frames_per_zoom": 1, "max_pixels": 4}
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name == "max_seconds" or (value is None and limit.default is None):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least.get(limit.name, 0):
                raise ConfigError(
                    f"{limit.name} must be a whole number of at least {least.get(limit.name, 0)}, got {value!r}"
                )
        if self.overview_frames > self.max_frames:
            raise ConfigError(
                f"overview_frames must not exceed max_frames (the whole episode), got {self.overview_frames} > "
                f"{self.max_frames}: raise max_frames"
            )
        if (self.min_overview_frames or 0) > self.overview_frames:
            raise ConfigError(
                f"min_overview_frames must not exceed overview_frames, got {self.min_overview_frames} > "
                f"{self.overview_frames}"
            )
        seconds = self.max_seconds
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (is_number and 0 <= seconds < math.inf):
            raise ConfigError(f"max_seconds must be a finite number of at least 0 or None, got {seconds!r}")

    def limits(self) -> dict[str, int | float | None]:
        """What an episode may cost in all, by what is counted; None where nothing is counted."""
        return {
            "turns": self.max_turns,
            "zooms": self.max_zooms,
            "frames_per_zoom": self.max_frames_per_zoom,
            "frames": self.max_frames,
            "pixels": self.max_pixels,
            "mistakes": self.max_invalid,
            "seconds": self.max_seconds,
            "searches": self.max_searches,
        }


PUBLISHED_BUDGET: Final = Budget(overview_frames=64, max_turns=5, max_zooms=4, max_frames=128, max_invalid=5)
"""The limits of the published VideoZoomer system: 5 rounds, 64 frames at first and 16 a zoom; mistakes end nothing."""


def as_budget(budget: Budget | Mapping[str, Any] | None, default: Budget | None = None) -> Budget:
    """Read a budget, some of its limits as a mapping, or None for the default.

    Args:
        budget: what the caller gave.
        default: where limits come from that the caller did not give; `Budget()` when left out.

    Raises:
        ConfigError: for an unknown limit or a value that is not legal.
    """
    if isinstance(budget, Budget):
        return budget
    known = {limit.name for limit in fields(Budget)}
    if unknown := set(budget or {}) - known:
        raise ConfigError(f"budget limits must be among {sorted(known)}, got {sorted(unknown)}")
    return replace(default or Budget(), **(budget or {}))


@dataclass(slots=True)
class BudgetState:
    """What one episode has spent so far; only `spend` changes it, and nothing ever comes back.

    `has_several_zooms` says that a turn may hold more than one zoom, `has_searches` that subtitles may be searched;
    `may_overdraw` lets the last zoom show more frames, or reach over more seconds, than are left, as a system does that
    looks at its limits before a zoom and not after it.
    """

    budget: Budget
    has_several_zooms: bool = False
    has_searches: bool = False
    may_overdraw: bool = False
    turns_used: int = field(default=0, init=False)
    zooms_used: int = field(default=0, init=False)
    frames_used: int = field(default=0, init=False)
    invalid_used: int = field(default=0, init=False)
    searches_used: int = field(default=0, init=False)
    seconds_used: float = field(default=0.0, init=False)

    def spend(
        self,
        *,
        turns: int = 0,
        zooms: int = 0,
        frames: int = 0,
        invalid: int = 0,
        searches: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Take from the budget.

        Args:
            turns: actions taken.
            zooms: zooms that returned frames.
            frames: pictures shown.
            invalid: mistakes made.
            searches: searches in the subtitles.
            seconds: seconds of video that zooms reached over.

        Raises:
            ConfigError: when an amount is negative or more than is left; the state is unchanged then.
        """
        legal = (
            0 <= turns <= self.turns_left
            and 0 <= zooms <= self.budget.max_zooms - self.zooms_used
            and frames >= 0
            and (frames <= self.frames_left or self.may_overdraw)
            and min(invalid, searches, seconds) >= 0
            and (seconds == 0 or self.has_seconds_for(seconds) or self.may_overdraw)
        )
        if not legal:
            raise ConfigError(
                f"cannot spend turns={turns} zooms={zooms} frames={frames} invalid={invalid}, left are "
                f"turns={self.turns_left} zooms={self.budget.max_zooms - self.zooms_used} frames={self.frames_left}"
            )
        self.turns_used += turns
        self.zooms_used += zooms
        self.frames_used += frames
        self.invalid_used += invalid
        self.searches_used += searches
        self.seconds_used += seconds

    @property
    def turns_left(self) -> int:
        """Actions the policy may still take."""
        return self.budget.max_turns - self.turns_used

    @property
    def frames_left(self) -> int:
        """Pictures that may still be shown."""
        return max(0, self.budget.max_frames - self.frames_used)

    @property
    def seconds_left(self) -> float | None:
        """Seconds of video that zooms may still reach over; None when there is no such limit."""
        limit = self.budget.max_seconds
        return None if limit is None else max(0.0, limit - self.seconds_used)

    def has_seconds_for(self, seconds: float) -> bool:
        """Whether a zoom of this length fits in, forgiving what sums of floats lose."""
        return self.seconds_left is None or seconds <= self.seconds_left + _SECONDS_TOLERANCE

    @property
    def searches_left(self) -> int:
        """Searches that can still be made: the last turn is kept for the answer."""
        limit = self.budget.max_searches
        most = self.turns_left - 1
        return max(0, most if limit is None else min(most, limit - self.searches_used))

    @property
    def zooms_left(self) -> int:
        """Zooms that can still be made: the last turn is kept for the answer, and a zoom wants a frame."""
        if self.frames_left < 1 or (self.seconds_left is not None and self.seconds_left < _SECONDS_TOLERANCE):
            return 0
        if self.has_several_zooms:
            return max(0, self.budget.max_zooms - self.zooms_used) if self.turns_left > 1 else 0
        return max(0, min(self.budget.max_zooms - self.zooms_used, self.turns_left - 1))

    @property
    def frames_per_zoom(self) -> int:
        """Frames the next zoom may return; 0 when no zoom is left."""
        return min(self.budget.max_frames_per_zoom, self.frames_left) if self.zooms_left else 0

    @property
    def is_over_invalid(self) -> bool:
        """Whether more mistakes were made than the budget forgives."""
        return self.invalid_used > self.budget.max_invalid
