from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from vz_agents.fixed_steps import FixedSteps, fixed_steps
from vz_agents.ppo import PPO, PPOConfig
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_env.errors import ConfigError

IDS = tuple(f"q{number}" for number in range(5))


@pytest.fixture(scope="module")
def model(make_model):
    """A model whose steps are compiled once for all tests here."""
    return make_model(end_bias=2.0)


def test_compiled_sampling_is_sampling(model, scripted_env, monkeypatch):
    config = SamplerConfig(max_new_tokens=8)
    runs, steps = [], []
    step = FixedSteps.step
    monkeypatch.setattr(FixedSteps, "step", lambda *given: steps.append(given[1].shape[0]) or step(*given))
    for is_compiled in (False, True):
        envs = [scripted_env(*IDS) for _ in IDS]
        given = {"config": replace(config, compile=is_compiled)}
        runs.append([rollout.trajectory.tokens for rollout in sample_episodes(model, envs, IDS, range(5), **given)])
        assert bool(steps) is is_compiled
    plain, compiled = runs
    assert len({len(tokens) for tokens in plain}) > 1  # ragged
    for one, other in zip(plain, compiled, strict=True):
        assert (one.ids, one.mask, one.turn) == (other.ids, other.mask, other.turn)
        assert other.log_probs == pytest.approx(one.log_probs, abs=1e-5)


def test_few_shapes_are_ever_compiled(model, scripted_env):
    counters = torch._dynamo.utils.counters["stats"]
    steps = fixed_steps(model)
    before = counters["unique_graphs"]
    for count in (1, 4, 3, 2):  # episodes of three turns, over which the cache grows
        envs = [scripted_env(*IDS) for _ in range(count)]
        sample_episodes(model, envs, IDS[:count], range(count), config=SamplerConfig(max_new_tokens=8, compile=True))
    assert counters["unique_graphs"] <= before + 2
    assert steps is fixed_steps(model)
    assert steps is not fixed_steps(copy.deepcopy(model))


def test_the_trainer_agrees_with_compiled_sampling_also_after_it_has_learned(model, scripted_env):
    config = PPOConfig(prompts=2, samples=2, estimator="gae", critic_warmup=0, max_new_tokens=8, lr=1e-3, compile=True)
    ppo = PPO(model, copy.deepcopy(model), [scripted_env(*IDS) for _ in range(4)], IDS, config)
    assert all(ppo.step()[1]["train/log_prob_gap"] < 1e-5 for _ in range(2))


def test_models_of_another_kind_are_refused(make_vlm):
    with pytest.raises(ConfigError, match="compiled sampling wants a model of text with full attention"):
        fixed_steps(make_vlm())
