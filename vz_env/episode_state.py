"""What has happened in a running episode, and how it is shown. Holds nothing of the key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import prompts
from .actions import InvalidAction
from .budget import BudgetState
from .episode import Episode
from .observer import Look, no_frames
from .rewards import TERMS
from .zoom_rules import ZoomPlan

__all__ = ["EpisodeState"]


@dataclass(slots=True, kw_only=True, eq=False)
class EpisodeState:
    """One episode under way.

    `terms` sums the weighted reward terms so far; `end_reason` is None while the episode goes on.
    """

    episode: Episode
    duration_seconds: float
    state: BudgetState
    overview: Look
    zooms: list[ZoomPlan] = field(default_factory=list)
    new_zooms: int = 0
    terms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 0.0))
    end_reason: str | None = None

    def add_zoom(self, plan: ZoomPlan) -> int:
        """Spend a zoom, keep it, and return how many of its moments were not shown before (to the millisecond)."""
        looks = [self.overview.timestamps_seconds, *(zoom.timestamps_seconds for zoom in self.zooms)]
        seen = {round(time, 3) for times in looks for time in times.tolist()}
        moments = {round(time, 3) for time in plan.timestamps_seconds.tolist()}
        new = len(moments - seen)
        self.state.spend(turns=1, zooms=1, frames=len(plan.timestamps_seconds))
        self.zooms.append(plan)
        self.new_zooms += new > 0
        return new

    def close_step(self, *, is_answered: bool) -> None:
        """Set `end_reason` when the step just spent ends the episode."""
        if is_answered:
            self.end_reason = "answered"
        elif self.state.is_over_invalid:
            self.end_reason = "invalid_limit"
        elif self.state.turns_left == 0:
            self.end_reason = "out_of_turns"

    def zoomed_seconds(self) -> list[float]:
        """Every moment that a zoom showed."""
        return [time for plan in self.zooms for time in plan.timestamps_seconds.tolist()]

    def overview_observation(self) -> dict[str, Any]:
        """The first observation."""
        episode, look = self.episode, self.overview
        text = prompts.overview_message(
            question=episode.question,
            options=episode.options,
            duration_seconds=self.duration_seconds,
            timestamps_seconds=look.timestamps_seconds.tolist(),
            descriptions=look.descriptions,
            context_text=episode.context_text,
            zooms_left=self.state.zooms_left,
            frames_per_zoom=self.state.frames_per_zoom,
        )
        return self._observation(text, look)

    def zoom_observation(self, plan: ZoomPlan, look: Look) -> dict[str, Any]:
        """The reply to a zoom."""
        text = prompts.zoom_message(
            segment=plan.segment,
            timestamps_seconds=look.timestamps_seconds.tolist(),
            descriptions=look.descriptions,
            zooms_left=self.state.zooms_left,
            frames_per_zoom=self.state.frames_per_zoom,
            is_start_clamped=plan.is_start_clamped,
            is_end_clamped=plan.is_end_clamped,
        )
        return self._observation(text, look)

    def error_observation(self, invalid: InvalidAction) -> dict[str, Any]:
        """The reply to a mistake."""
        left = {"zooms_left": self.state.zooms_left, "frames_per_zoom": self.state.frames_per_zoom}
        return self._observation(prompts.error_message(invalid, **left), None)

    def final_observation(self) -> dict[str, Any]:
        """What comes with the end: nothing to see."""
        return self._observation(prompts.EPISODE_OVER, None)

    def _observation(self, text: str, look: Look | None) -> dict[str, Any]:
        """Put an observation together, of new arrays each time."""
        left = {
            "turns": self.state.turns_left,
            "zooms": self.state.zooms_left,
            "frames": self.state.frames_left,
        }
        return {
            "text": text,
            "frames": look.frames if look else no_frames(),
            "timestamps": look.timestamps_seconds.copy() if look else np.zeros(0),
            "budget": {name: np.array(value, dtype=np.int64) for name, value in left.items()},
        }
