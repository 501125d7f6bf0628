"""Questions whose samples all fared alike: left out, drawn again, and nothing learned where none is left."""

from __future__ import annotations

import pytest
import torch
from tiny_trainer import IDS, changed, weights

from vz_agents import ppo as module
from vz_agents import ppo_batch


@pytest.mark.parametrize("estimator", ["group_gae", "gae"])
def test_groups_whose_samples_earned_the_same_are_left_out(trainer, monkeypatch, estimator):
    ppo = trainer(estimator=estimator, samples=3)
    sample, seen = module.sample_episodes, []

    def graded(*args, **given):
        """Two questions whose samples differ, two whose samples all earned the same."""
        rollouts = sample(*args, **given)
        for number, rollout in enumerate(rollouts):
            trajectory = rollout.trajectory
            for turn in trajectory.turns:
                turn.reward = 0.0
            trajectory.turns[-1].reward = float(number % 3 == 0) if number < 6 else 1.0
            trajectory.reward = trajectory.turns[-1].reward
        return rollouts

    estimate = ppo_batch.gae
    monkeypatch.setattr(module, "sample_episodes", graded)
    monkeypatch.setattr(ppo_batch, "gae", lambda rewards, *a, **g: seen.append(rewards) or estimate(rewards, *a, **g))
    ppo.step()
    totals = seen[0].sum(1).tolist()
    if estimator == "group_gae":  # 1 - (0 + 0) / 2, and 0 - (1 + 0) / 2
        assert totals == pytest.approx([1.0, -0.5, -0.5] * 2)
    else:
        assert totals == pytest.approx([1.0, 0.0, 0.0] * 2 + [1.0] * 6)


def test_an_iteration_whose_samples_all_earned_the_same_moves_nothing(trainer, monkeypatch):
    ppo = trainer(kl_coef=0.0, lr=1e-2)
    sample = module.sample_episodes

    def alike(*args, **given):
        rollouts = sample(*args, **given)
        for rollout in rollouts:
            for turn in rollout.trajectory.turns:
                turn.reward = 0.0
            rollout.trajectory.reward = 0.0
        return rollouts

    monkeypatch.setattr(module, "sample_episodes", alike)
    torch.nn.init.normal_(ppo.model.value_head.outer.weight)  # a critic that errs
    before = weights(ppo.model)
    ppo.step()
    assert not changed(before, ppo.model, "lm.")
    assert changed(before, ppo.model, "value_head.")


def graded_by(monkeypatch, grade):
    """Let a function of the episode's id and its number in the draw say what it earned."""
    sample, draws = module.sample_episodes, []

    def graded(*args, **given):
        rollouts = sample(*args, **given)
        draws.append([rollout.trajectory.episode_id for rollout in rollouts])
        for number, rollout in enumerate(rollouts):
            trajectory = rollout.trajectory
            for turn in trajectory.turns:
                turn.reward = 0.0
            trajectory.turns[-1].reward = trajectory.reward = trajectory.score = grade(trajectory.episode_id, number)
        return rollouts

    monkeypatch.setattr(module, "sample_episodes", graded)
    return draws


def test_questions_are_drawn_again_until_enough_tell_their_samples_apart(trainer, monkeypatch):
    ids = tuple(f"q{number}" for number in range(9))
    useless = {"q0", "q1", "q2", "q3", "q4"}
    draws = graded_by(monkeypatch, lambda name, number: 1.0 if name in useless else float(number % 2))
    ppo = trainer(estimator="grpo", ids=ids, prompts=3, samples=2, refills=5)
    seen = []
    make_batch = module.make_batch
    monkeypatch.setattr(module, "make_batch", lambda rollouts, *a: seen.extend(rollouts) or make_batch(rollouts, *a))

    rollouts, metrics = ppo.step()

    drawn = [name for draw in draws for name in draw]
    assert len(drawn) == len(rollouts) == 2 * len(set(drawn))  # no question twice
    assert len({rollout.trajectory.episode_id for rollout in seen} - useless) == 3 == len(seen) / 2
    assert metrics["train/episodes"] == 6.0
    assert metrics["group/zero_variance"] == pytest.approx(len(set(drawn) & useless) / len(set(drawn)))


def test_refills_end_when_the_questions_do(trainer, monkeypatch):
    draws = graded_by(monkeypatch, lambda name, number: 1.0)
    ppo = trainer(estimator="grpo", refills=50, prompts=3, samples=2, kl_coef=0.0)
    before = weights(ppo.model)
    _, metrics = ppo.step()
    assert sorted(name for draw in draws for name in draw) == sorted([*IDS, *IDS])
    assert metrics["train/episodes"] == 0.0
    assert not changed(before, ppo.model, "")
