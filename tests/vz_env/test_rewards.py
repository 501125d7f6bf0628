"""Reward terms and presets."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vz_env.errors import ConfigError
from vz_env.rewards import (
    REWARD_PRESETS,
    EndValues,
    EpisodeEnd,
    RewardConfig,
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
    values = EndValues(accuracy=1.0, format=0.0, zoom_bonus=1.0)

    assert weigh_end(REWARD_PRESETS["videozoomer"], values) == {"accuracy": 0.9, "zoom_bonus": 0.5}


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
    assert reward_config(RewardConfig(format=0.1)) == RewardConfig(format=0.1)


@pytest.mark.parametrize(
    ("reward", "match"),
    [
        ("lenient", "reward must be one of"),
        ({"speed": 1.0}, "reward weights must be among"),
        ({"accuracy": math.nan}, "accuracy must be a finite number"),
        ({"accuracy": True}, "accuracy must be a finite number"),
    ],
)
def test_reward_config_refuses(reward, match):
    with pytest.raises(ConfigError, match=match):
        reward_config(reward)
