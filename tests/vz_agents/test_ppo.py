from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny_trainer import FAST, IDS, changed, remembered, weights

from vz_agents import policy_loss, ppo_batch
from vz_agents import ppo as module
from vz_agents.batching import Example
from vz_agents.checkpoint import Checkpoints
from vz_agents.ppo import PPO, TrainingDiverged
from vz_agents.sft import SFTConfig, train_sft
from vz_env.errors import ConfigError


def test_before_any_update_the_ratio_is_1(trainer):
    rollouts, metrics = trainer().step()

    assert len(rollouts) == 8
    assert metrics["train/log_prob_gap"] < 1e-5
    assert metrics["train/approx_kl"] < 1e-9
    assert metrics["train/kl_to_reference"] < 1e-9
    assert metrics["train/clip_fraction"] == 0.0
    assert 0.0 < metrics["time/model_idle_share"] < 1.0
    assert all(math.isfinite(value) for value in metrics.values())


def test_after_an_update_it_is_not(trainer):
    _, metrics = trainer(epochs=3, lr=3e-3, estimator="gae").step()
    assert metrics["train/approx_kl"] > 1e-6
    assert metrics["train/kl_to_reference"] > 1e-6


def test_error_trajectories_are_counted_and_left_out(trainer, monkeypatch):
    ppo = trainer(ids=("q0", "broken1", "q2", "broken3"))
    seen = []
    make_batch = module.make_batch
    monkeypatch.setattr(module, "make_batch", lambda rollouts, *a: seen.extend(rollouts) or make_batch(rollouts, *a))

    rollouts, metrics = ppo.step()

    assert len(rollouts) == 8
    assert {rollout.trajectory.episode_id for rollout in seen} == {"q0", "q2"}
    assert metrics["rollout/error_rate"] == 0.5
    assert metrics["rollout/accuracy"] == 0.0


def test_errors_alone_stop_the_run(trainer):
    with pytest.raises(
        TrainingDiverged, match=r"all of the iteration's failed: error:VideoDecodeError \(broken1.mp4 is empty\)"
    ):
        trainer(ids=("broken1", "broken2")).step()


def test_gradients_that_are_not_finite_are_skipped_and_then_stop_the_run(trainer, monkeypatch):
    ppo = trainer(epochs=2)
    before = weights(ppo.model)
    surrogate = policy_loss.clipped_surrogate
    monkeypatch.setattr(
        policy_loss, "clipped_surrogate", lambda *a, **g: (surrogate(*a, **g)[0] * math.nan, surrogate(*a, **g)[1])
    )

    ppo.step()
    assert not changed(before, ppo.model, "lm.")
    assert ppo.skipped_steps == 2
    with pytest.raises(TrainingDiverged, match="3 steps had gradients that are not finite"):
        ppo.step()


@pytest.mark.parametrize(("schedule", "shares"), [("constant", [0, 1, 1, 1]), ("cosine", [0, 1 / 3, 0.51, 0.163518])])
def test_two_steps_and_two_after_a_resume_are_four_bit_for_bit(trainer, tmp_path, schedule, shares):
    config = replace(FAST, critic_warmup=1, minibatches=2)  # both optimisers have a past at the checkpoint
    if schedule != "constant":
        config = replace(config, schedule=schedule, iterations=4, warmup_iterations=2)
    straight, first = trainer(config), trainer(config)
    expected = [straight.step() for _ in range(4)]
    assert [told["train/learning_rate"] / config.lr for _, told in expected] == pytest.approx(shares, abs=1e-6)
    for _ in range(2):
        first.step()
    first.skipped.count = 2
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(first.iteration, first.model, first.optimizers, first.state())

    torch.rand(7)  # a new process draws from another place
    resumed = trainer(config)
    resumed.load_state(checkpoints.restore(checkpoints.latest(), resumed.model, resumed.optimizers))
    assert (resumed.iteration, resumed.skipped_steps) == (2, 2)
    again = [resumed.step() for _ in range(2)]

    assert resumed.iteration == straight.iteration == 4
    assert not changed(weights(straight.model), resumed.model, "")
    assert remembered(resumed.optimizers) == remembered(straight.optimizers) != {}
    for (rollouts, metrics), (others, wanted) in zip(again, expected[2:], strict=True):
        told = [name for name in wanted if not name.startswith(("time/", "memory/", "train/skipped"))]
        assert {name: metrics[name] for name in told} == {name: wanted[name] for name in told}
        assert [one.trajectory.tokens for one in rollouts] == [one.trajectory.tokens for one in others]


def test_no_number_of_a_token_that_was_not_sampled_reaches_the_gradient(trainer):
    ppo = trainer(kl_coef=0.1, entropy_coef=0.1)
    rollouts, _ = ppo.step()

    def gradient(noise):
        batch = ppo_batch.make_batch(rollouts, ppo.config, ppo.model.device)
        ppo._weigh(batch, list(range(len(batch))))
        for column in (batch.log_probs, batch.reference, batch.advantages, batch.values, batch.returns, batch.weights):
            column[batch.mask == 0] += noise
        ppo.model.zero_grad()
        policy_loss.policy_loss(ppo.model, batch, ppo.config, learns=True)[0].backward()
        return torch.cat([weight.grad.flatten() for weight in ppo.model.lm.parameters()])

    assert (gradient(0.0) != 0).any()
    assert torch.equal(gradient(0.0), gradient(7.0))


def test_micro_batches_add_up_to_the_minibatch(trainer):
    whole, parts = trainer(), trainer(micro_tokens=1)
    _, one = whole.step()
    _, other = parts.step()
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], weight, atol=2e-5, rtol=0)
    assert one["train/value_loss"] == pytest.approx(other["train/value_loss"], rel=1e-4)


def test_no_reference_is_needed_without_a_kl_term(trainer):
    ppo = trainer(kl_coef=0.0)
    ppo.reference = None
    assert ppo.step()[1]["train/log_prob_gap"] < 1e-5


def test_too_few_environments_or_no_episodes_are_refused(make_model, scripted_env):
    model = make_model()
    with pytest.raises(ConfigError, match="PPO wants 8 environments and some episodes, got 1, 4"):
        PPO(model, copy.deepcopy(model), [scripted_env(*IDS)], IDS, FAST)
    with pytest.raises(ConfigError, match="got 8, 0"):
        PPO(model, copy.deepcopy(model), [scripted_env(*IDS) for _ in range(8)], (), FAST)


def test_iterations_and_seeds_draw_different_episodes(trainer):
    def drawn(ppo):
        return [(r.trajectory.episode_id, r.trajectory.seed) for r in ppo.step()[0]]

    ppo = trainer(prompts=2)
    first, second = drawn(ppo), drawn(ppo)
    assert first != second
    assert first == drawn(trainer(prompts=2))
    assert first != drawn(trainer(prompts=2, seed=6))


def test_the_reward_rises_where_one_letter_is_always_right(trainer, make_model, scripted_env):
    # Cold start: the four letters equally often, so a quarter of the answers are right. "B" alone is ever paid.
    model = make_model(seed=1)
    prompt = model.chat.first(scripted_env("q0").reset(options={"episode_id": "q0"})[0]["text"])
    examples = []
    for letter in "ABCD":
        reply = model.chat.reply_ids(f"<answer>{letter}</answer>")
        examples.append(Example(prompt + reply, [0] * len(prompt) + [1] * len(reply)))
    train_sft(model, examples, SFTConfig(epochs=150, lr=3e-3))
    ppo = trainer(
        model=model, ids=("q0", "q1"), prompts=2, samples=16, epochs=2, minibatches=2, lr=2e-3, max_new_tokens=6
    )

    rewards = [ppo.step()[1]["rollout/ep_rew_mean"] for _ in range(20)]

    assert rewards[0] < 0.6, rewards
    assert sum(rewards[-3:]) / 3 > 0.9, rewards


@pytest.mark.parametrize("aggregation", ["dapo", "token", "sequence", "constant"])
def test_micro_batches_add_up_in_every_aggregation(trainer, aggregation):
    options = {"aggregation": aggregation, "estimator": "rloo", "group_filter": "off", "kl_coef": 0.1}
    whole, parts = trainer(**options), trainer(micro_tokens=1, **options)
    _, one = whole.step()
    _, other = parts.step()
    for name in ("train/policy_loss", "train/grad_norm", "train/entropy"):
        assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-7)
