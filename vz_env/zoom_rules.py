"""When a zoom is legal, and what it will show: pure functions of the request, the video's length and the budget.

The rules, in the order in which they are checked: a zoom must be left (LAST_TURN); the segment must overlap the video
(OUT_OF_RANGE), and is then clamped to `[0, duration)`; it must not be longer than the seconds of video that are left,
if these are counted (OVER_BUDGET); `floor(duration * fps)` frames must be at least one (EMPTY_CLIP) and at most what is
left for one zoom (OVER_BUDGET); the same segment at the same fps and crop is shown once (REPEATED_ZOOM).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .action_types import Crop
from .actions import InvalidAction, Zoom, format_number
from .budget import BudgetState
from .episode import Segment
from .video.sampling import zoom_timestamps

__all__ = ["ZoomKey", "ZoomPlan", "plan_zoom", "plan_zooms"]

ZoomKey = tuple[Segment, float, Crop | None]
"""What makes two zooms the same: the effective segment, the fps, the crop."""


@dataclass(frozen=True, slots=True, eq=False)
class ZoomPlan:
    """A legal zoom: the effective segment, and the moments it shows, float64 (n,) with n >= 1.

    `read_at_seconds` are the moments to decode where these are not the ones that are named (None: they are); a
    published protocol names a frame by its number over the average rate, and may show none at all (n = 0).
    """

    segment: Segment
    fps: float
    timestamps_seconds: NDArray[np.float64]
    is_start_clamped: bool
    is_end_clamped: bool
    crop: Crop | None = None
    is_fps_fixed: bool = False
    read_at_seconds: NDArray[np.float64] | None = None

    @property
    def key(self) -> ZoomKey:
        """What another zoom must not share."""
        return (self.segment, self.fps, self.crop)

    @property
    def moments_to_read(self) -> NDArray[np.float64]:
        """The moments to decode, float64 (n,) seconds."""
        return self.timestamps_seconds if self.read_at_seconds is None else self.read_at_seconds

    @property
    def clamped(self) -> str | None:
        """Where the segment reached beyond the video: "start", "end", "both", or None."""
        if self.is_start_clamped and self.is_end_clamped:
            return "both"
        return "start" if self.is_start_clamped else "end" if self.is_end_clamped else None


def plan_zoom(
    zoom: Zoom,
    *,
    duration_seconds: float,
    state: BudgetState,
    made: Collection[ZoomKey],
    fixed_fps: float | None = None,
) -> ZoomPlan | InvalidAction:
    """Check a zoom and say which moments it shows.

    Args:
        zoom: what the policy asked for.
        duration_seconds: length of the video.
        state: what the budget still allows, this turn not yet spent.
        made: keys of the zooms already shown.
        fixed_fps: the rate of every zoom, whatever was asked for; None to do as asked.

    Returns:
        The plan, or the first rule that is broken with the legal range in its message.
    """
    allowed = state.frames_per_zoom
    if allowed < 1:
        return InvalidAction("LAST_TURN", "No zoom is left, only an answer is legal now.")
    segment = _clamped(zoom, duration_seconds, state)
    if isinstance(segment, InvalidAction):
        return segment
    fps = zoom.fps if fixed_fps is None else fixed_fps
    # First by arithmetic, which cannot allocate; then by the sampler's own count, which forgives a rounding error.
    is_over = segment.duration_seconds * fps >= allowed + 1
    timestamps = zoom_timestamps(segment, fps) if not is_over else np.zeros(0)
    if is_over or len(timestamps) > allowed:
        return InvalidAction("OVER_BUDGET", f"(end - start) * fps must be from 1 to {allowed}, this is more.")
    if not len(timestamps):
        return InvalidAction("EMPTY_CLIP", f"(end - start) * fps must be from 1 to {allowed}, this is less.")
    if (segment, fps, zoom.crop) in made:
        return InvalidAction("REPEATED_ZOOM", "This zoom was shown before, change the segment or the fps.")
    return ZoomPlan(segment, fps, timestamps, *_reaches(zoom, duration_seconds), zoom.crop, fixed_fps is not None)


def _clamped(zoom: Zoom, duration_seconds: float, state: BudgetState) -> Segment | InvalidAction:
    """The part of the segment that the video has, if there is one and the seconds last for it."""
    start, end = zoom.segment
    if end <= 0 or start >= duration_seconds:
        length = format_number(duration_seconds)
        return InvalidAction("OUT_OF_RANGE", f"The segment must overlap the video, which is from 0s to {length}s.")
    segment = Segment(max(start, 0.0), min(end, duration_seconds))
    if state.seconds_left is not None and not state.has_seconds_for(segment.duration_seconds):
        seconds = format_number(state.seconds_left)
        return InvalidAction("OVER_BUDGET", f"The segment must be at most {seconds}s long, this is longer.")
    return segment


def _reaches(zoom: Zoom, duration_seconds: float) -> tuple[bool, bool]:
    """Whether a zoom begins before the video, and whether it ends after it."""
    return zoom.segment[0] < 0, zoom.segment[1] > duration_seconds


def plan_zooms(
    zooms: Sequence[Zoom],
    *,
    duration_seconds: float,
    state: BudgetState,
    made: Collection[ZoomKey],
    fixed_fps: float | None = None,
) -> tuple[ZoomPlan, ...] | InvalidAction:
    """Check the zooms of one turn, each after what those before it spend; all of them are legal, or none is shown."""
    left, shown = copy.copy(state), set(made)
    plans: list[ZoomPlan] = []
    for number, zoom in enumerate(zooms, start=1):
        plan = plan_zoom(zoom, duration_seconds=duration_seconds, state=left, made=shown, fixed_fps=fixed_fps)
        if isinstance(plan, InvalidAction):
            return plan if len(zooms) == 1 else InvalidAction(plan.code, f"Zoom {number}: {plan.message}")
        left.spend(zooms=1, frames=len(plan.timestamps_seconds), seconds=plan.segment.duration_seconds)
        shown.add(plan.key)
        plans.append(plan)
    return tuple(plans)
