from __future__ import annotations

from random import Random

import pytest
import torch

from vz_agents.guards import TrainingDiverged
from vz_agents.ppo_batch import differing, make_batch, token_rewards
from vz_agents.ppo_config import PPOConfig
from vz_agents.sampler import Rollout
from vz_agents.trajectory import TokenRecord, Trajectory, TurnRecord
from vz_env.errors import ConfigError

CPU = torch.device("cpu")


def rollout(name, *rewards, score=None, prompt=3, values=0.0):
    """An episode of a turn for each reward, two sampled tokens each, an observation of two tokens between them."""
    tokens = TokenRecord()
    tokens.observe(list(range(1, prompt + 1)))
    for number in range(len(rewards)):
        if number:
            tokens.observe([8, 9])
        for token in (5, 6):
            tokens.sample(token, -0.5, number)
    turns = [TurnRecord(observation="", timestamps=[], action="", reward=reward) for reward in rewards]
    trajectory = Trajectory(episode_id=name, turns=turns, reward=sum(rewards), score=score, tokens=tokens)
    return Rollout(trajectory, [values] * (2 * len(rewards)))


GROUPS = [rollout("a", 0.0, 1.0), rollout("a", 0.0), rollout("a", 0.1), rollout("b", 0.5), rollout("b", 0.0, 0.0)]


def advantages(rollouts, **options):
    batch = make_batch(rollouts, PPOConfig(**options), CPU)
    return batch, [row[mask.bool()].tolist() for row, mask in zip(batch.advantages, batch.mask, strict=True)]


def test_grpo_gives_every_token_of_an_episode_its_groups_verdict():
    batch, rows = advantages(GROUPS, estimator="grpo")
    mean, std = 1.1 / 3, torch.tensor([1.0, 0.0, 0.1]).std().item()
    assert rows[0] == pytest.approx([(1.0 - mean) / std] * 4, rel=1e-4)
    assert rows[1] == pytest.approx([-mean / std] * 2, rel=1e-4)
    assert rows[4] == pytest.approx([-(0.5**0.5)] * 4, rel=1e-4)
    assert float((batch.advantages * (1 - batch.mask)).abs().max()) == 0.0


def test_rloo_compares_with_the_others():
    _, rows = advantages(GROUPS, estimator="rloo")
    assert [row[0] for row in rows] == pytest.approx([1.0 - 0.05, -0.55, 0.1 - 0.5, 0.5, -0.5], abs=1e-6)


def test_dr_grpo_leaves_the_deviation_out():
    _, rows = advantages(GROUPS, estimator="grpo", scale_by_std=False)
    assert [row[0] for row in rows[3:]] == pytest.approx([0.25, -0.25], abs=1e-6)


@pytest.mark.parametrize("estimator", ["group_gae", "gae"])
def test_the_critics_estimators_are_whitened_and_give_returns(estimator):
    batch, rows = advantages(GROUPS, estimator=estimator)
    flat = torch.tensor([value for row in rows for value in row])
    assert float(flat.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(flat.std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    expected = [1.0, 0.0, 0.1] if estimator == "gae" else [0.95, -0.55, -0.4]
    last = [float(row[length - 1]) for row, length in zip(batch.returns, batch.lengths, strict=True)]
    assert last[:3] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("estimator", ["group_gae", "gae", "grpo", "rloo"])
def test_episodes_without_any_reward_are_fine(estimator):
    batch, _ = advantages([rollout("a", 0.0, 0.0), rollout("a", 0.0)], estimator=estimator)
    assert torch.isfinite(batch.advantages).all()
    assert float(batch.advantages.abs().max()) < 1e-3
    assert float(batch.returns.abs().max()) == 0.0


def test_the_filter_looks_at_accuracy_or_at_the_whole_reward():
    both = [rollout("a", 1.1, score=1.0), rollout("a", 0.0, score=0.0)]
    form = [rollout("b", 0.1, score=0.0), rollout("b", 0.0, score=0.0)]
    same = [rollout("c", 1.0, score=1.0), rollout("c", 1.0, score=1.0)]
    everything = both + form + same

    def kept(**options):
        return {one.trajectory.episode_id for one in differing(everything, PPOConfig(**options))}

    assert kept(estimator="grpo", group_filter="total") == kept(estimator="rloo") == kept() == {"a", "b"}
    assert kept(estimator="grpo", group_filter="accuracy") == {"a"}
    assert kept(group_filter="off") == kept(estimator="gae") == {"a", "b", "c"}
    assert kept(estimator="gae", group_filter="accuracy") == {"a"}


def test_the_filter_by_accuracy_takes_the_reward_of_what_cannot_be_graded():
    ungraded = [rollout("a", 1.0), rollout("a", 0.0)]
    assert differing(ungraded, PPOConfig(group_filter="accuracy")) == ungraded


def test_samples_of_a_question_stay_together_and_every_row_is_used_once():
    rollouts = [rollout(name, 0.0) for name in "abcdef" for _ in range(4)]
    batch = make_batch(rollouts, PPOConfig(), CPU)
    parts = list(batch.minibatches(3, Random(0)))
    assert [len(part) for part in parts] == [8, 8, 8]
    assert sorted(row for part in parts for row in part) == list(range(24))
    assert all(len({batch.groups[row] for row in part}) == 2 for part in parts)
    assert parts != list(batch.minibatches(3, Random(1)))


def test_micro_batches_count_what_is_shared_once():
    rollouts = [rollout("a", 0.0, prompt=20) for _ in range(5)] + [rollout("b", 0.0, prompt=19) for _ in range(5)]
    batch = make_batch(rollouts, PPOConfig(), CPU)
    (first, second) = batch.micro_batches(range(10), max_tokens=22)
    assert {batch.groups[row] for row in first} == {"b"}
    assert {batch.groups[row] for row in second} == {"a"}


def test_an_episode_without_sampled_tokens_is_refused():
    bare = rollout("a", 0.0)
    bare.trajectory.tokens = None
    with pytest.raises(TrainingDiverged, match="episode 'a' has none"):
        make_batch([bare], PPOConfig(), CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples of 1 or more, got 0"),
        ({"estimator": "grpo", "samples": 1}, "grpo compares samples of one question"),
        ({"dual_clip": 1.0}, "dual_clip above 1, or none, got 1.0"),
        ({"temperature": 0.0}, "temperature above 0"),
    ],
)
def test_what_cannot_train_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PPOConfig(**options)


def test_each_turns_reward_lies_on_its_last_sampled_token(trainer):
    ppo = trainer(prompts=1, samples=2)
    (rollout, _), _ = ppo.step()
    for number, turn in enumerate(rollout.trajectory.turns):
        turn.reward = number + 1.0
    tokens = rollout.trajectory.tokens

    (rewards,) = token_rewards([rollout])

    assert len(rollout.trajectory.turns) == 3
    assert sum(rewards) == 6.0
    for turn in range(3):
        last = max(at for at, number in enumerate(tokens.turn) if number == turn)
        assert rewards[last] == turn + 1.0
