"""What stops a run at the first minibatch of an iteration: a sampler and a trainer that see different things."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tiny_trainer import changed, weights

from vz_agents import policy_loss
from vz_agents import ppo as module
from vz_agents.ppo import TrainingDiverged


def test_tampered_log_probs_stop_the_run_before_an_update(trainer, tamper, monkeypatch):
    ppo = trainer()
    before = weights(ppo.model)
    sample = module.sample_episodes
    monkeypatch.setattr(module, "sample_episodes", lambda *args, **given: tamper(sample(*args, **given)))
    with pytest.raises(TrainingDiverged, match=r"differ from the trainer's by 0\.01 on average, more than 0\.0001"):
        ppo.step()
    assert not changed(before, ppo.model, "")


def say_nan(ppo, monkeypatch):
    """Let the policy say nothing of what it wrote, and the reference something."""
    score = policy_loss.score_tokens

    def broken(model, *rows, **given):
        scores = score(model, *rows, **given)
        return replace(scores, log_probs=scores.log_probs * math.nan) if model is ppo.model else scores

    monkeypatch.setattr(policy_loss, "score_tokens", broken)


def test_log_probs_that_are_nan_stop_the_run(trainer, monkeypatch):
    ppo = trainer()
    say_nan(ppo, monkeypatch)
    with pytest.raises(TrainingDiverged, match="by nan on average"):
        ppo.step()


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_guard_takes_no_pass_of_its_own_and_comes_before_any_update(trainer, monkeypatch, epochs):
    ppo = trainer(kl_coef=0.0, epochs=epochs)
    score, passes = policy_loss.score_tokens, []
    monkeypatch.setattr(policy_loss, "score_tokens", lambda *a, **given: passes.append(1) or score(*a, **given))
    _, metrics = ppo.step()
    assert len(passes) == epochs
    assert 0.0 < metrics["train/log_prob_gap"] < 1e-5


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_the_guard_knows_of_the_temperature(trainer, temperature):
    assert trainer(temperature=temperature).step()[1]["train/log_prob_gap"] < 1e-5


def test_dropout_would_not_part_sampler_and_trainer(trainer):
    ppo = trainer()
    ppo.model.lm.config.attention_dropout = 0.5
    for layer in ppo.model.lm.model.layers:
        layer.self_attn.attention_dropout = 0.5
    for _ in range(2):
        assert ppo.step()[1]["train/log_prob_gap"] < 1e-5


def test_a_run_that_stops_leaves_what_it_was_looking_at(trainer, monkeypatch, tmp_path):
    ppo = trainer()
    ppo.out = tmp_path
    say_nan(ppo, monkeypatch)
    before = weights(ppo.model)
    with pytest.raises(TrainingDiverged):
        ppo.step()
    assert not changed(before, ppo.model, "")
    lines = (tmp_path / "diverged" / "trajectories.jsonl").read_text().splitlines()
    assert len(lines) == 8
    assert "by nan on average" in (tmp_path / "diverged" / "reason.json").read_text()
