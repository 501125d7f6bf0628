from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.ppo_config import PPOConfig
from vz_agents.schedules import FLOOR, rate_scale
from vz_env.errors import ConfigError

shares = st.floats(0.0, 1.0)


@given(st.sampled_from(["constant", "linear", "cosine"]), shares, shares, shares)
def test_a_rate_falls_with_the_run_and_rises_with_the_warm_up(schedule, one, other, rise):
    early, late = sorted((one, other))
    assert FLOOR - 1e-12 <= rate_scale(schedule, late) <= rate_scale(schedule, early) <= 1.0
    assert rate_scale(schedule, early, rise=rise) == min(rise, rate_scale(schedule, early))


@pytest.mark.parametrize(("schedule", "half"), [("constant", 1.0), ("linear", 0.51), ("cosine", 0.51)])
def test_schedules_go_from_the_whole_rate_to_the_floor(schedule, half):
    end = 1.0 if schedule == "constant" else FLOOR
    assert [rate_scale(schedule, done) for done in (-1.0, 0.0, 0.5, 1.0, 9.0)] == pytest.approx([1, 1, half, end, end])


def test_a_line_and_a_cosine_differ_between_start_and_middle():
    assert rate_scale("linear", 0.25) == pytest.approx(0.755)
    assert rate_scale("cosine", 0.25) == pytest.approx(0.8565, abs=1e-4)


def test_ppo_rises_from_the_policys_first_update_and_falls_over_all_iterations():
    config = PPOConfig(iterations=10, schedule="linear", warmup_iterations=2, critic_warmup=1)
    scales = [config.rate_scale(iteration) for iteration in range(10)]
    assert scales[:4] == pytest.approx([0.0, 1 / 3, 2 / 3, 1 - 0.98 * 0.3])
    assert scales[-1] == pytest.approx(1 - 0.98 * 0.9)
    falls = [config.critic_rate_scale(iteration) for iteration in range(10)]
    assert falls == pytest.approx([1 - 0.98 * iteration / 10 for iteration in range(10)])


@pytest.mark.parametrize("estimator", ["gae", "grpo"])
def test_ppo_keeps_its_rate_by_default(estimator):
    config = PPOConfig(estimator=estimator)
    assert {config.rate_scale(iteration) for iteration in range(1, 99)} == {1.0}
    assert config.rate_scale(0) == (0.0 if estimator == "gae" else 1.0)  # the critic alone is trained then


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ConfigError, match=r"one of constant, linear, cosine, got 'warm'"):
        PPOConfig(schedule="warm")
    with pytest.raises(ConfigError, match="PPO wants warmup_iterations of 0 or more, got -1"):
        PPOConfig(warmup_iterations=-1)
