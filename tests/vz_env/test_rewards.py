"""Reward terms and presets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_env.errors import ConfigError
from vz_env.rewards import (
    REWARD_PRESETS,
    EndValues,
    EpisodeEnd,
    RewardConfig,
    TrainingProgress,
    annealed_bonus,
    end_terms,
    reward_config,
    step_terms,
    weigh_end,
)
from vz_env.scoring import Score


def end(value: float | None = 1.0, **changes: object) -> EpisodeEnd:
    plain = {"score": Score(value, 1), "is_answered": True, "invalid_actions": 0, "new_zooms": 0}
    return EpisodeEnd(**{**plain, **changes})


@pytest.mark.parametrize(
    ("preset", "ending", "expected"),
    [
        ("strict", end(), 1.0),
        ("strict", end(0.0), 0.0),
        ("strict", end(None), 0.0),
        ("strict", end(0.5), 0.5),
        ("strict", end(new_zooms=3), 1.0),
        ("videozoomer", end(), 1.0),
        ("videozoomer", end(new_zooms=1), 1.5),
        ("videozoomer", end(0.0, new_zooms=1), 0.1),
        ("videozoomer", end(new_zooms=1, invalid_actions=1), 1.4),
        ("videozoomer", end(0.0, is_answered=False, new_zooms=2), 0.0),
    ],
)
def test_end_terms_of_presets(preset, ending, expected):
    assert sum(end_terms(REWARD_PRESETS[preset], ending).values()) == pytest.approx(expected)


def test_presets_of_the_published_system_differ_in_the_bonus_alone():
    paper, script = REWARD_PRESETS["videozoomer"], REWARD_PRESETS["videozoomer-script"]

    assert (paper.zoom_bonus, script.zoom_bonus) == (0.5, 0.0)
    assert replace(paper, zoom_bonus=0.0) == script
    assert reward_config(None, default="videozoomer-script") == script
    assert reward_config(None) == RewardConfig()


def test_weigh_end_leaves_out_what_is_zero():
    values = EndValues(accuracy=1.0, is_correct=True, has_zoom_credit=True, zooms=1)

    assert weigh_end(REWARD_PRESETS["videozoomer"], values) == {"accuracy": 0.9, "zoom_bonus": 0.5}


def zoom_terms(is_correct: bool, zooms: int, frames: int, **weights: object) -> float:
    """What zooms alone change at the end of an episode, as the published reward was seen to compute it."""
    values = EndValues(is_correct=is_correct, has_zoom_credit=zooms > 0, zooms=zooms, zoom_frames=frames)
    return sum(weigh_end(RewardConfig(**{"zoom_bonus": 0.5, **weights}), values).values())


@pytest.mark.parametrize(
    ("weights", "zooms", "frames", "is_correct", "expected"),
    [
        ({}, 1, 4, True, 0.5),
        ({}, 2, 32, True, 0.5),  # their number does not matter
        ({}, 1, -6, True, 0.5),
        ({}, 0, 0, True, 0.0),
        ({}, 1, 4, False, 0.0),
        ({"zoom_bonus": 0.0}, 1, 4, True, 0.0),  # what the published script sets
        ({"zoom_scope": "incorrect"}, 1, 4, False, 0.5),
        ({"zoom_scope": "incorrect"}, 1, 4, True, 0.0),
        ({"zoom_scope": "all"}, 1, 4, True, 0.5),
        ({"zoom_scope": "all"}, 1, 4, False, 0.5),
        ({"zoom_bonus": -0.3}, 1, 4, True, -0.3),
        ({"zoom_bonus": 0.0, "penalty_per_zoom": 0.1}, 2, 32, True, -0.2),
        ({"penalty_per_zoom": 0.1}, 2, 32, True, 0.3),
        ({"penalty_per_zoom": 0.1}, 2, 32, False, 0.0),
        ({"zoom_bonus": 0.0, "penalty_of_frames": 0.4, "most_zoom_frames": 32}, 2, 32, True, -0.4),
        ({"zoom_bonus": 0.0, "penalty_of_frames": 0.4, "most_zoom_frames": 33}, 2, 32, True, 0.0),
        ({"penalty_of_frames": 0.4, "most_zoom_frames": 0}, 0, 0, True, 0.0),  # no zoom, no term
    ],
)
def test_bonus_and_penalties_of_zooms(weights, zooms, frames, is_correct, expected):
    assert zoom_terms(is_correct, zooms, frames, **weights) == pytest.approx(expected)


def test_zooms_change_nothing_while_they_are_common_enough():
    config = RewardConfig(zoom_bonus=0.5, penalty_per_zoom=0.1, target_zoom_rate=0.6)
    values = EndValues(is_correct=True, has_zoom_credit=True, zooms=1)
    paid = [sum(weigh_end(config, values, TrainingProgress(zoom_rate=rate)).values()) for rate in (0.0, 0.6, 0.7)]

    assert paid == pytest.approx([0.4, 0.4, 0.0])


@given(st.integers(-5, 500), st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 300))
def test_the_bonus_goes_to_its_end_in_a_straight_line_and_stays_there(step, start, end, steps):
    config = RewardConfig(zoom_bonus=start, zoom_bonus_end=end, anneal_steps=steps)
    paid = annealed_bonus(config, step)

    assert min(start, end) - 1e-12 <= paid <= max(start, end) + 1e-12
    assert paid == pytest.approx(float(np.interp(step, [0, steps], [start, end])))


def test_a_bonus_without_an_end_stays():
    assert [annealed_bonus(RewardConfig(zoom_bonus=0.5), step) for step in (0, 10**6)] == [0.5, 0.5]


def test_penalties_are_terms_where_they_have_a_weight():
    assert "zoom_penalty" not in RewardConfig().terms
    assert RewardConfig(penalty_per_zoom=0.1, penalty_of_frames=0.2).terms[-2:] == ("zoom_penalty", "frames_penalty")


def test_every_zoom_of_a_turn_has_its_cost():
    assert step_terms(RewardConfig(cost_per_zoom=0.5), is_invalid=False, zoom_frames=9, zooms=3) == {"zooms": -1.5}


def test_step_terms_take_costs_at_once():
    config = RewardConfig(cost_per_zoom=0.5, cost_per_frame=0.01)

    assert step_terms(config, is_invalid=True, zoom_frames=0) == {"invalid": -0.1}
    assert step_terms(config, is_invalid=False, zoom_frames=16) == {"zooms": -0.5, "frames": -0.16}
    assert step_terms(RewardConfig(), is_invalid=False, zoom_frames=16) == {}


def test_reward_config_reads_all_forms():
    assert reward_config("strict") == RewardConfig()
    assert reward_config({"format": 0.1}) == RewardConfig(format=0.1)
    assert reward_config({"zoom_bonus": 0.2}, default="videozoomer") == replace(
        REWARD_PRESETS["videozoomer"], zoom_bonus=0.2
    )
    assert reward_config(RewardConfig(format=0.1)) == RewardConfig(format=0.1)


@pytest.mark.parametrize(
    ("reward", "match"),
    [
        ("lenient", "reward must be one of"),
        ({"speed": 1.0}, "reward weights must be among"),
        ({"accuracy": math.nan}, "accuracy must be a finite number"),
        ({"accuracy": True}, "accuracy must be a finite number"),
        ({"zoom_scope": "some"}, "zoom_scope must be"),
        ({"zoom_bonus_end": 0.0}, "annealing wants both"),
        ({"anneal_steps": 10}, "annealing wants both"),
        ({"zoom_bonus_end": math.inf, "anneal_steps": 10}, "zoom_bonus_end must be a finite number"),
    ],
)
def test_reward_config_refuses(reward, match):
    with pytest.raises(ConfigError, match=match):
        reward_config(reward)
