"""Properties of legal zooms: whatever is asked for, what is shown lies in the video and within the budget."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.action_types import Zoom
from vz_env.actions import INVALID_CODES, InvalidAction
from vz_env.budget import Budget, BudgetState
from vz_env.episode import Segment
from vz_env.zoom_rules import ZoomPlan, plan_zoom, plan_zooms

DURATION = 20.0
# A machine that is busy with other work draws slowly; that says nothing about the code.
many = settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seconds = st.floats(-30, 60) | st.floats(allow_nan=False, allow_infinity=False)
rates = st.floats(0, exclude_min=True, allow_infinity=False)
crops = st.none() | st.just((0.0, 0.0, 0.5, 1.0))


@st.composite
def zooms(draw: st.DrawFn) -> Zoom:
    start, end = sorted((draw(seconds), draw(seconds)))
    return Zoom((start, end if end > start else start + 1.0), draw(rates | st.floats(0.1, 20)), draw(crops))


states = st.builds(
    lambda frames, turns, limit: BudgetState(
        Budget(overview_frames=0, max_turns=turns, max_frames=frames, max_seconds=limit), has_several_zooms=True
    ),
    st.integers(0, 40),
    st.integers(1, 6),
    st.none() | st.floats(0, 30),
)


@many
@given(zooms(), states)
def test_a_plan_lies_in_the_video_and_within_the_budget(zoom, state):
    plan = plan_zoom(zoom, duration_seconds=DURATION, state=state, made=())
    if isinstance(plan, InvalidAction):
        assert plan.code in INVALID_CODES
        return
    times = plan.timestamps_seconds

    assert 0 <= plan.segment.start_seconds < plan.segment.end_seconds <= DURATION
    assert 1 <= len(times) <= state.frames_per_zoom
    assert all(0 <= time < DURATION for time in times.tolist())
    assert all(plan.segment.contains(time) for time in times.tolist())
    assert state.has_seconds_for(plan.segment.duration_seconds)
    assert (plan.is_start_clamped, plan.is_end_clamped) == (zoom.segment[0] < 0, zoom.segment[1] > DURATION)


@many
@given(st.lists(zooms(), min_size=1, max_size=4), states)
def test_zooms_of_a_turn_leave_a_budget_that_is_not_negative(asked, state):
    plans = plan_zooms(asked, duration_seconds=DURATION, state=state, made=())
    if isinstance(plans, InvalidAction):
        assert (state.zooms_used, state.frames_used, state.seconds_used) == (0, 0, 0.0)  # asking spends nothing
        return
    for plan in plans:
        state.spend(zooms=1, frames=len(plan.timestamps_seconds), seconds=plan.segment.duration_seconds)

    assert state.frames_left >= 0
    assert state.zooms_left >= 0
    assert len({plan.key for plan in plans}) == len(plans)


@many
@given(zooms())
def test_a_plan_asked_for_again_is_the_same_and_is_not_shown_twice(zoom):
    state = BudgetState(Budget())
    plan = plan_zoom(zoom, duration_seconds=DURATION, state=state, made=())
    if isinstance(plan, ZoomPlan):
        effective = Zoom((plan.segment.start_seconds, plan.segment.end_seconds), plan.fps, plan.crop)
        again = plan_zoom(effective, duration_seconds=DURATION, state=state, made=())
        assert isinstance(again, ZoomPlan)
        assert again.key == plan.key
        assert again.timestamps_seconds.tolist() == plan.timestamps_seconds.tolist()
        repeated = plan_zoom(zoom, duration_seconds=DURATION, state=state, made=[plan.key])
        assert isinstance(repeated, InvalidAction)
        assert repeated.code == "REPEATED_ZOOM"


@pytest.mark.parametrize(
    ("start", "end", "clamped"), [(-1, 5, "start"), (15, 25, "end"), (-1, 25, "both"), (0, 20, None)]
)
def test_clamped_says_which_end(start, end, clamped):
    plan = plan_zoom(Zoom((start, end), 0.5), duration_seconds=DURATION, state=BudgetState(Budget()), made=())

    assert isinstance(plan, ZoomPlan)
    assert plan.clamped == clamped
    assert plan.moments_to_read is plan.timestamps_seconds
    assert plan.key == (Segment(max(0.0, start), min(20.0, end)), 0.5, None)
