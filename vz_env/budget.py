"""What an episode may cost: the limits (`Budget`) and what has been spent of them (`BudgetState`).

Nothing here knows of videos or text. A turn is one action of the policy, right or wrong; a zoom is an accepted zoom; a
frame is one picture shown, those of the overview included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from .errors import ConfigError

__all__ = ["Budget", "BudgetState", "as_budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of one episode.

    `overview_frames` are shown at the start; `max_frames` bounds the overview and all zooms together; `max_pixels`
    bounds width * height of every frame; more than `max_invalid` mistakes end the episode.
    """

    overview_frames: int = 32
    max_turns: int = 6
    max_zooms: int = 5
    max_frames_per_zoom: int = 16
    max_frames: int = 112
    max_pixels: int = 100_352
    max_invalid: int = 3

    def __post_init__(self) -> None:
        """Refuse limits that are no whole numbers, too small, or in conflict."""
        least = {"max_turns": 1, "max_frames_per_zoom": 1, "max_pixels": 4}
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least.get(limit.name, 0):
                raise ConfigError(
                    f"{limit.name} must be a whole number of at least {least.get(limit.name, 0)}, got {value!r}"
                )
        if self.overview_frames > self.max_frames:
            raise ConfigError(
                f"overview_frames must not exceed max_frames (the whole episode), got {self.overview_frames} > "
                f"{self.max_frames}: raise max_frames"
            )


def as_budget(budget: Budget | Mapping[str, int] | None) -> Budget:
    """Read a budget, some of its limits as a mapping, or None for the default.

    Raises:
        ConfigError: for an unknown limit or a value that is not legal.
    """
    if isinstance(budget, Budget):
        return budget
    known = {limit.name for limit in fields(Budget)}
    if unknown := set(budget or {}) - known:
        raise ConfigError(f"budget limits must be among {sorted(known)}, got {sorted(unknown)}")
    return Budget(**(budget or {}))


@dataclass(slots=True)
class BudgetState:
    """What one episode has spent so far; only `spend` changes it, and nothing ever comes back."""

    budget: Budget
    turns_used: int = field(default=0, init=False)
    zooms_used: int = field(default=0, init=False)
    frames_used: int = field(default=0, init=False)
    invalid_used: int = field(default=0, init=False)

    def spend(self, *, turns: int = 0, zooms: int = 0, frames: int = 0, invalid: int = 0) -> None:
        """Take from the budget.

        Args:
            turns: actions taken.
            zooms: zooms that returned frames.
            frames: pictures shown.
            invalid: mistakes made.

        Raises:
            ConfigError: when an amount is negative or more than is left; the state is unchanged then.
        """
        legal = (
            0 <= turns <= self.turns_left
            and 0 <= zooms <= self.budget.max_zooms - self.zooms_used
            and 0 <= frames <= self.frames_left
            and invalid >= 0
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

    @property
    def turns_left(self) -> int:
        """Actions the policy may still take."""
        return self.budget.max_turns - self.turns_used

    @property
    def frames_left(self) -> int:
        """Pictures that may still be shown."""
        return self.budget.max_frames - self.frames_used

    @property
    def zooms_left(self) -> int:
        """Zooms that can still be made: the last turn is kept for the answer, and a zoom wants a frame."""
        if self.frames_left < 1:
            return 0
        return max(0, min(self.budget.max_zooms - self.zooms_used, self.turns_left - 1))

    @property
    def frames_per_zoom(self) -> int:
        """Frames the next zoom may return; 0 when no zoom is left."""
        return min(self.budget.max_frames_per_zoom, self.frames_left) if self.zooms_left else 0

    @property
    def is_over_invalid(self) -> bool:
        """Whether more mistakes were made than the budget forgives."""
        return self.invalid_used > self.budget.max_invalid
