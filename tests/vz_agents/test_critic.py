"""The critic inside PPO: when it is trained, what it is kept from, and what a broken gradient of it does."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_trainer import changed, weights

from vz_agents import critic as module


def test_the_critics_warm_up_leaves_the_policy_alone(trainer):
    ppo = trainer(critic_warmup=2, epochs=2, estimator="gae")
    before = weights(ppo.model)

    ppo.step()
    ppo.step()
    assert not changed(before, ppo.model, "lm.")
    assert changed(before, ppo.model, "value_head.")

    ppo.step()
    assert changed(before, ppo.model, "lm.")
    assert all(torch.equal(w, before[name]) for name, w in ppo.reference.state_dict().items())  # frozen


@pytest.mark.parametrize("estimator", ["grpo", "rloo"])
def test_estimators_without_a_critic_leave_it_alone(trainer, estimator):
    ppo = trainer(estimator=estimator, critic_warmup=5, group_filter="off", kl_coef=0.1, entropy_coef=0.01, epochs=2)
    before = weights(ppo.model)
    _, metrics = ppo.step()
    assert changed(before, ppo.model, "lm.")
    assert not changed(before, ppo.model, "value_head.")
    assert "train/value_loss" not in metrics


def test_a_critic_whose_gradients_are_not_finite_is_skipped_and_counted(trainer, monkeypatch):
    ppo = trainer(critic_steps=2)
    loss = module.clipped_value_loss
    monkeypatch.setattr(module, "clipped_value_loss", lambda *a, **g: loss(*a, **g) * math.nan)
    before = weights(ppo.model)
    _, metrics = ppo.step()
    assert not changed(before, ppo.model, "value_head.")
    assert metrics["train/skipped_steps"] == ppo.skipped_steps == 2
