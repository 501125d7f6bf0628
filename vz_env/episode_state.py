"""What has happened in a running episode. Holds nothing of the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .action_types import Crop
from .budget import BudgetState
from .episode import Episode, Segment
from .look import Look, VideoClock, no_frames
from .zoom_rules import ZoomPlan

__all__ = ["EpisodeState"]


@dataclass(slots=True, kw_only=True, eq=False)
class EpisodeState:
    """One episode under way.

    `pictures` belong to the question and are no part of the video. `zooms` are in order, and `zoom_turns` the turns
    (from 1) that asked for them; `replies` are the policy's own texts, as long as they are read; `terms` sums the
    weighted reward terms so far; `end_reason` is None while the episode goes on.
    """

    episode: Episode
    clock: VideoClock
    state: BudgetState
    overview: Look
    pictures: Look
    zooms: list[ZoomPlan] = field(default_factory=list)
    zoom_turns: list[int] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    new_zooms: int = 0
    new_frames: int = 0
    terms: dict[str, float] = field(default_factory=dict)
    end_reason: str | None = None

    @property
    def duration_seconds(self) -> float:
        """Length of the video."""
        return self.clock.duration_seconds

    def opening_lines(self) -> tuple[list[float], tuple[str, ...]]:
        """What the first message shows: times and descriptions of the overview and of the pictures behind it."""
        times = [*self.overview.timestamps_seconds.tolist(), *self.pictures.timestamps_seconds.tolist()]
        return times, (*self.overview.descriptions, *self.pictures.descriptions)

    def opening_info(self, *, dataset: str, split: str) -> dict[str, Any]:
        """What `info` says at the beginning."""
        return {
            "episode_id": self.episode.id,
            "dataset": dataset,
            "split": split,
            "video_id": self.episode.video_id,
            "duration_seconds": self.duration_seconds,
            "frames_used": self.state.frames_used,
            "turn": 0,
            "budget": self.state.budget.limits(),
        }

    def add_zooms(self, plans: Sequence[ZoomPlan]) -> int:
        """Spend a turn and its zooms, keep them, and return how many of their frames were not shown before.

        A frame was shown before when its moment was, to the millisecond, in the same crop.
        """
        self.state.spend(turns=1)
        new = sum(self._add_zoom(plan) for plan in plans)
        self.new_frames += new
        return new

    def _add_zoom(self, plan: ZoomPlan) -> int:
        """Spend and keep one zoom."""
        moments = set(_moments(plan.timestamps_seconds.tolist(), plan.crop))
        new = len(moments - self._seen())
        self.state.spend(zooms=1, frames=len(plan.timestamps_seconds), seconds=plan.segment.duration_seconds)
        self.zooms.append(plan)
        self.zoom_turns.append(self.state.turns_used)
        self.new_zooms += new > 0
        return new

    def _seen(self) -> set[tuple[float, Crop | None]]:
        """Every moment shown so far."""
        seen = set(_moments(self.overview.timestamps_seconds.tolist(), None))
        return seen.union(*(_moments(plan.timestamps_seconds.tolist(), plan.crop) for plan in self.zooms))

    def looks(self) -> list[tuple[int, Segment, list[float]]]:
        """Every zoom as metrics see it: its turn, its segment, the moments it showed."""
        return [
            (turn, plan.segment, plan.timestamps_seconds.tolist())
            for turn, plan in zip(self.zoom_turns, self.zooms, strict=True)
        ]

    def observation(self, text: str, looks: Sequence[Look] = ()) -> dict[str, Any]:
        """Put an observation together, of new arrays each time.

        Args:
            text: what the environment says.
            looks: what it shows, frames of one size.
        """
        state = self.state
        left: dict[str, Any] = {
            "turns": state.turns_left,
            "zooms": state.zooms_left,
            "frames": state.frames_left,
            "frames_per_zoom": state.frames_per_zoom,
        }
        budget = {name: np.array(value, dtype=np.int64) for name, value in left.items()}
        if state.seconds_left is not None:
            budget["seconds"] = np.array(state.seconds_left, dtype=np.float64)
        if state.has_searches:
            budget["searches"] = np.array(state.searches_left, dtype=np.int64)
        return {
            "text": text,
            "frames": _joined([look.frames for look in looks if len(look.frames)]),
            "timestamps": np.concatenate([look.timestamps_seconds for look in looks]) if looks else np.zeros(0),
            "budget": budget,
        }


def _moments(times: Sequence[float], crop: Crop | None) -> list[tuple[float, Crop | None]]:
    """Moments to the millisecond, each in its crop."""
    return [(round(time, 3), crop) for time in times]


def _joined(stacks: Sequence[Any]) -> Any:
    """Stacks of frames as one; a single one is handed on as it is."""
    if not stacks:
        return no_frames()
    return stacks[0] if len(stacks) == 1 else np.concatenate(stacks)
