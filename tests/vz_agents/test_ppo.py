from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from vz_agents import ppo as module
from vz_agents import ppo_batch
from vz_agents.batching import Example
from vz_agents.checkpoint import Checkpoints
from vz_agents.ppo import PPO, PPOConfig, TrainingDiverged
from vz_agents.sft import SFTConfig, train_sft
from vz_env.errors import ConfigError

IDS = tuple(f"q{number}" for number in range(4))
FAST = PPOConfig(prompts=4, samples=2, epochs=1, minibatches=1, critic_warmup=0, max_new_tokens=8, seed=5)


@pytest.fixture
def trainer(make_model, scripted_env):
    """A maker of trainers over the scripted environment, from one random model."""

    def make(config=FAST, *, ids=IDS, model=None, **changes):
        config = replace(config, **changes)
        model = model or make_model(end_bias=3.0)
        envs = [scripted_env(*ids) for _ in range(config.prompts * config.samples)]
        return PPO(model, copy.deepcopy(model), envs, ids, config)

    return make


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def changed(before, model, part):
    return any(not torch.equal(w, before[name]) for name, w in model.state_dict().items() if name.startswith(part))


def remembered(optimizers):
    """Every number that optimisers remember, by optimiser, weight and kind."""
    return {
        (name, number, weight, kind): torch.as_tensor(kept).tolist()
        for name, group in optimizers.items()
        for number, state in enumerate(group.state_dict())
        for weight, kinds in state["state"].items()
        for kind, kept in kinds.items()
    }


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


def test_dropout_would_not_part_sampler_and_trainer(trainer):
    ppo = trainer()
    ppo.model.lm.config.attention_dropout = 0.5
    for layer in ppo.model.lm.model.layers:
        layer.self_attn.attention_dropout = 0.5
    for _ in range(2):
        assert ppo.step()[1]["train/log_prob_gap"] < 1e-5


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


def test_tampered_log_probs_stop_the_run_before_an_update(trainer, monkeypatch):
    ppo = trainer()
    before = weights(ppo.model)
    sample = module.sample_episodes

    def tampered(*args, **given):
        rollouts = sample(*args, **given)
        for rollout in rollouts:
            tokens = rollout.trajectory.tokens
            tokens.log_probs = [p - 0.01 * mask for p, mask in zip(tokens.log_probs, tokens.mask, strict=True)]
        return rollouts

    monkeypatch.setattr(module, "sample_episodes", tampered)
    with pytest.raises(TrainingDiverged, match=r"differ from the trainer's by 0\.01 on average, more than 0\.0001"):
        ppo.step()
    assert not changed(before, ppo.model, "")


def say_nan(ppo, monkeypatch):
    """Let the policy say nothing of what it wrote, and the reference something."""
    score = ppo._score

    def broken(model, rows):
        scores = score(model, rows)
        return replace(scores, log_probs=scores.log_probs * math.nan) if model is ppo.model else scores

    monkeypatch.setattr(ppo, "_score", broken)


def test_log_probs_that_are_nan_stop_the_run(trainer, monkeypatch):
    ppo = trainer()
    say_nan(ppo, monkeypatch)
    with pytest.raises(TrainingDiverged, match="by nan on average"):
        ppo.step()


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_guard_takes_no_pass_of_its_own_and_comes_before_any_update(trainer, monkeypatch, epochs):
    ppo = trainer(kl_coef=0.0, epochs=epochs)
    score, passes = ppo._score, []
    monkeypatch.setattr(ppo, "_score", lambda *given: passes.append(1) or score(*given))
    _, metrics = ppo.step()
    assert len(passes) == epochs
    assert 0.0 < metrics["train/log_prob_gap"] < 1e-5


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
    surrogate = module.clipped_surrogate
    monkeypatch.setattr(
        module, "clipped_surrogate", lambda *a, **g: (surrogate(*a, **g)[0] * math.nan, surrogate(*a, **g)[1])
    )

    ppo.step()
    assert not changed(before, ppo.model, "lm.")
    assert ppo.skipped_steps == 2
    with pytest.raises(TrainingDiverged, match="3 steps had gradients that are not finite"):
        ppo.step()


def test_two_steps_and_two_after_a_resume_are_four_bit_for_bit(trainer, tmp_path):
    config = replace(FAST, critic_warmup=1, minibatches=2)  # both optimisers have a past at the checkpoint
    straight, first = trainer(config), trainer(config)
    expected = [straight.step() for _ in range(4)]
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
        ppo._loss(batch)[0].backward()
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


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_the_guard_knows_of_the_temperature(trainer, temperature):
    assert trainer(temperature=temperature).step()[1]["train/log_prob_gap"] < 1e-5


def test_no_reference_is_needed_without_a_kl_term(trainer):
    ppo = trainer(kl_coef=0.0)
    ppo.reference = None
    assert ppo.step()[1]["train/log_prob_gap"] < 1e-5


def test_each_turns_reward_lies_on_its_last_sampled_token(trainer):
    ppo = trainer(prompts=1, samples=2)
    (rollout, _), _ = ppo.step()
    for number, turn in enumerate(rollout.trajectory.turns):
        turn.reward = number + 1.0
    tokens = rollout.trajectory.tokens

    (rewards,) = ppo_batch.token_rewards([rollout])

    assert len(rollout.trajectory.turns) == 3
    assert sum(rewards) == 6.0
    for turn in range(3):
        last = max(at for at, number in enumerate(tokens.turn) if number == turn)
        assert rewards[last] == turn + 1.0


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


@pytest.mark.parametrize("estimator", ["grpo", "rloo"])
def test_estimators_without_a_critic_leave_it_alone(trainer, estimator):
    ppo = trainer(estimator=estimator, critic_warmup=5, group_filter="off", kl_coef=0.1, entropy_coef=0.01, epochs=2)
    before = weights(ppo.model)
    _, metrics = ppo.step()
    assert changed(before, ppo.model, "lm.")
    assert not changed(before, ppo.model, "value_head.")
    assert "train/value_loss" not in metrics


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


@pytest.mark.parametrize("aggregation", ["dapo", "token", "sequence", "constant"])
def test_micro_batches_add_up_in_every_aggregation(trainer, aggregation):
    options = {"aggregation": aggregation, "estimator": "rloo", "group_filter": "off", "kl_coef": 0.1}
    whole, parts = trainer(**options), trainer(micro_tokens=1, **options)
    _, one = whole.step()
    _, other = parts.step()
    for name in ("train/policy_loss", "train/grad_norm", "train/entropy"):
        assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-7)


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


def test_a_critic_whose_gradients_are_not_finite_is_skipped_and_counted(trainer, monkeypatch):
    ppo = trainer(critic_steps=2)
    loss = module.clipped_value_loss
    monkeypatch.setattr(module, "clipped_value_loss", lambda *a, **g: loss(*a, **g) * math.nan)
    before = weights(ppo.model)
    _, metrics = ppo.step()
    assert not changed(before, ppo.model, "value_head.")
    assert metrics["train/skipped_steps"] == ppo.skipped_steps == 2
