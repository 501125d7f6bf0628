"""When a zoom is legal, and what it will show: pure functions of the request, the video's length and the budget.

The rules, in the order in which they are checked: a zoom must be left (LAST_TURN); the segment must overlap the video
(OUT_OF_RANGE), and is then clamped to `[0, duration)`; `floor(duration * fps)` frames must be at least one (EMPTY_CLIP)
and at most what is left for one zoom (OVER_BUDGET); the same segment at the same fps is shown once (REPEATED_ZOOM).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .actions import InvalidAction, Zoom, format_number
from .budget import BudgetState
from .episode import Segment
from .video.sampling import zoom_timestamps

__all__ = ["ZoomPlan", "plan_zoom"]


@dataclass(frozen=True, slots=True, eq=False)
class ZoomPlan:
    """A legal zoom: the effective segment, and the moments it shows, float64 (n,) with n >= 1."""

    segment: Segment
    fps: float
    timestamps_seconds: NDArray[np.float64]
    is_start_clamped: bool
    is_end_clamped: bool


def plan_zoom(
    zoom: Zoom, *, duration_seconds: float, state: BudgetState, made: Collection[tuple[Segment, float]]
) -> ZoomPlan | InvalidAction:
    """Check a zoom and say which moments it shows.

    Args:
        zoom: what the policy asked for.
        duration_seconds: length of the video.
        state: what the budget still allows, this turn not yet spent.
        made: effective segment and fps of the zooms already shown.

    Returns:
        The plan, or the first rule that is broken with the legal range in its message.
    """
    allowed = state.frames_per_zoom
    if allowed < 1:
        return InvalidAction("LAST_TURN", "No zoom is left, only an answer is legal now.")
    start, end = zoom.segment
    if end <= 0 or start >= duration_seconds:
        length = format_number(duration_seconds)
        return InvalidAction("OUT_OF_RANGE", f"The segment must overlap the video, which is from 0s to {length}s.")
    segment = Segment(max(start, 0.0), min(end, duration_seconds))
    # First by arithmetic, which cannot allocate; then by the sampler's own count, which forgives a rounding error.
    is_over = segment.duration_seconds * zoom.fps >= allowed + 1
    timestamps = zoom_timestamps(segment, zoom.fps) if not is_over else np.zeros(0)
    if is_over or len(timestamps) > allowed:
        return InvalidAction("OVER_BUDGET", f"(end - start) * fps must be from 1 to {allowed}, this is more.")
    if not len(timestamps):
        return InvalidAction("EMPTY_CLIP", f"(end - start) * fps must be from 1 to {allowed}, this is less.")
    if (segment, zoom.fps) in made:
        return InvalidAction("REPEATED_ZOOM", "This zoom was shown before, change the segment or the fps.")
    return ZoomPlan(segment, zoom.fps, timestamps, start < 0, end > duration_seconds)
