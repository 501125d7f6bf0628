"""The budget never goes below zero and always keeps a turn for the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_env.budget import PUBLISHED_BUDGET, Budget, BudgetState, as_budget
from vz_env.errors import ConfigError


def test_default_budget_fits_together():
    budget = Budget()

    assert budget.max_frames == budget.overview_frames + budget.max_zooms * budget.max_frames_per_zoom
    assert budget.max_turns == budget.max_zooms + 1


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"max_turns": 0}, "max_turns must be a whole number of at least 1, got 0"),
        ({"max_zooms": -1}, "max_zooms must be a whole number of at least 0, got -1"),
        ({"max_frames_per_zoom": 1.5}, "max_frames_per_zoom must be a whole number"),
        ({"max_pixels": 3}, "max_pixels must be a whole number of at least 4"),
        ({"max_invalid": True}, "max_invalid must be a whole number"),
        ({"overview_frames": 113}, "raise max_frames"),
        ({"max_seconds": -1}, "max_seconds must be a finite number of at least 0"),
        ({"max_seconds": float("inf")}, "max_seconds must be a finite number"),
        ({"max_seconds": True}, "max_seconds must be a finite number"),
        ({"max_searches": 1.5}, "max_searches must be a whole number"),
        ({"min_overview_frames": 33}, "min_overview_frames must not exceed overview_frames"),
        ({"frames": 3}, "budget limits must be among"),
    ],
)
def test_budget_refuses_limits(limits, match):
    with pytest.raises(ConfigError, match=match):
        as_budget(limits)


def test_as_budget_reads_all_forms():
    assert as_budget(None) == Budget()
    assert as_budget({"max_zooms": 2}) == Budget(max_zooms=2)
    assert as_budget(Budget(max_zooms=2)) == Budget(max_zooms=2)


def test_last_turn_and_missing_frames_leave_no_zoom():
    state = BudgetState(Budget(overview_frames=4, max_turns=3, max_zooms=5, max_frames=10, max_frames_per_zoom=8))
    state.spend(frames=4)

    assert (state.zooms_left, state.frames_per_zoom) == (2, 6)

    state.spend(turns=1, zooms=1, frames=6)

    assert (state.zooms_left, state.frames_per_zoom, state.turns_left) == (0, 0, 2)


def test_as_budget_fills_up_from_a_default_of_the_callers():
    assert as_budget({"max_turns": 3}, PUBLISHED_BUDGET) == replace(PUBLISHED_BUDGET, max_turns=3)
    assert as_budget(None, PUBLISHED_BUDGET) == PUBLISHED_BUDGET
    assert as_budget(Budget(), PUBLISHED_BUDGET) == Budget()


def test_seconds_are_spent_and_end_the_zooms():
    state = BudgetState(Budget(max_seconds=10))
    state.spend(zooms=1, seconds=9.5)

    assert state.seconds_left == 0.5
    assert (state.has_seconds_for(0.5), state.has_seconds_for(0.6)) == (True, False)
    with pytest.raises(ConfigError, match="cannot spend"):
        state.spend(seconds=0.6)
    state.spend(seconds=0.5)

    assert (state.seconds_left, state.zooms_left, state.frames_per_zoom) == (0.0, 0, 0)
    assert BudgetState(Budget()).seconds_left is None


def test_searches_keep_a_turn_for_the_answer():
    free, bounded = BudgetState(Budget(max_turns=4)), BudgetState(Budget(max_turns=4, max_searches=2))
    found = []
    for _ in range(4):
        found.append((free.searches_left, bounded.searches_left))
        free.spend(turns=1, searches=1)
        bounded.spend(turns=1, searches=1)

    assert found == [(3, 2), (2, 1), (1, 0), (0, 0)]


def test_several_zooms_need_one_turn_besides_the_answer():
    state = BudgetState(Budget(max_turns=2, max_zooms=5), has_several_zooms=True)
    assert state.zooms_left == 5
    state.spend(turns=1, zooms=3, frames=3)
    assert state.zooms_left == 0


def test_overdrawing_is_for_who_looks_before_a_zoom_alone():
    state = BudgetState(Budget(overview_frames=0, max_frames=10), may_overdraw=True)
    state.spend(frames=16)

    assert (state.frames_left, state.zooms_left) == (0, 0)
    seconds = BudgetState(Budget(max_seconds=3), may_overdraw=True)
    seconds.spend(zooms=1, seconds=10.0)
    assert (seconds.seconds_left, seconds.zooms_left) == (0.0, 0)
    with pytest.raises(ConfigError, match="cannot spend"):
        BudgetState(Budget(overview_frames=0, max_frames=10)).spend(frames=16)


def test_is_over_invalid_after_one_mistake_more():
    state = BudgetState(Budget(max_invalid=1))
    state.spend(invalid=1)

    assert not state.is_over_invalid

    state.spend(invalid=1)

    assert state.is_over_invalid


amounts = st.integers(min_value=-2, max_value=20)


@given(st.lists(st.tuples(amounts, amounts, amounts, amounts), max_size=20))
def test_budget_is_never_negative(spendings):
    state = BudgetState(Budget())
    for turns, zooms, frames, invalid in spendings:
        before = (state.turns_used, state.zooms_used, state.frames_used, state.invalid_used)
        try:
            state.spend(turns=turns, zooms=zooms, frames=frames, invalid=invalid)
        except ConfigError:
            assert before == (state.turns_used, state.zooms_used, state.frames_used, state.invalid_used)

        assert min(state.turns_left, state.zooms_left, state.frames_left, state.frames_per_zoom) >= 0
