"""Proximal policy optimisation for a policy that writes tokens over many turns. Reads from top to bottom.

One iteration: draw episodes, sample them side by side (`sampler`), estimate advantages of the sampled tokens with a
critic (`advantages.gae`), then a few epochs of clipped updates (`losses`). The old log-probabilities are those of
sampling, so no extra forward pass is made for them; a guard recomputes some before the first update of every
iteration and stops the run when sampler and trainer disagree, which is how blindness and drift show. Every random
choice derives from (seed, iteration), so a run that is resumed from a checkpoint goes on as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor

from vz_env.errors import ConfigError, VZError

from .advantages import Discounts, gae, leave_one_out, whiten
from .batching import TokenScores, pad, score_tokens, sharing_batches
from .losses import clipped_surrogate, clipped_value_loss, kl_k3
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw
from .sampler import Rollout, SamplerConfig, sample_episodes
from .trajectory import TokenRecord

__all__ = ["PPO", "PPOConfig", "TrainingDiverged"]

LOG_PROB_TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
MAX_SKIPPED_STEPS: Final = 3


class TrainingDiverged(VZError, RuntimeError):
    """Raised when going on would train on numbers that mean nothing; says which and where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Hyper-parameters; the clip bounds and the KL weight are the published ones (VideoZoomer, table 5b)."""

    iterations: int = 22
    prompts: int = 16
    """Distinct episodes an iteration."""
    samples: int = 6
    """Times each of them is played."""
    epochs: int = 1
    minibatches: int = 2
    """Optimiser steps an epoch."""
    micro_tokens: int = 16_000
    """Tokens a forward pass; what several samples have in common counts once, and is forwarded once."""
    lr: float = 5e-5
    value_lr: float = 1e-3
    critic_warmup: int = 1
    """First iterations that train the critic alone."""
    clip_low: float = 0.2
    clip_high: float = 0.27
    value_clip: float = 0.2
    critic_steps: int = 8
    """Optimiser steps of the critic an iteration. It reads detached hidden states, so these cost next to nothing."""
    kl_coef: float = 0.001
    entropy_coef: float = 0.0
    group_baseline: bool = True
    """Whether rewards count from the mean of the question's other samples, as in RLOO; the critic learns the rest."""
    discounts: Discounts = field(default_factory=Discounts)
    temperature: float = 0.8
    """Of sampling, and of every log-probability. Below 1.0 a tiny model slips less in its long actions."""
    max_new_tokens: int = 32
    seed: int = 0


@dataclass(slots=True)
class _Batch:
    """An iteration's rollouts as padded tensors, all (episodes, length)."""

    ids: Tensor
    mask: Tensor
    log_probs: Tensor
    reference: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    lengths: list[int]
    groups: list[str]
    """The episode that each row is a sample of."""

    @property
    def id_rows(self) -> list[list[int]]:
        """The ids without their padding."""
        return [row[:length] for row, length in zip(self.ids.tolist(), self.lengths, strict=True)]

    def rows(self, index: Sequence[int]) -> _Batch:
        """Some episodes, cut to the longest among them."""
        longest = max(self.lengths[row] for row in index)
        columns = (self.ids, self.mask, self.log_probs, self.reference, self.values, self.advantages, self.returns)
        picked = [column[list(index), :longest] for column in columns]
        kept = {"lengths": [self.lengths[row] for row in index], "groups": [self.groups[row] for row in index]}
        return _Batch(*picked, **kept)


class _States(NamedTuple):
    """What the critic is fitted to: hidden states (tokens, hidden_size), their old values and their returns."""

    hidden: Tensor
    values: Tensor
    returns: Tensor


class PPO:
    """Trains a language model in place, one iteration a call of `step`."""

    def __init__(
        self,
        model: LanguageModel,
        reference: LanguageModel,
        envs: Sequence[gym.Env[Any, str]],
        episode_ids: Sequence[str],
        config: PPOConfig,
    ) -> None:
        """Join the parts.

        Args:
            model: the policy and its critic; trained.
            reference: where the KL is measured to; frozen, usually the policy as SFT left it.
            envs: at least `prompts * samples` environments over the training episodes.
            episode_ids: the episodes to draw from.
            config: hyper-parameters.

        Raises:
            ConfigError: too few environments or no episodes.
        """
        wanted = config.prompts * config.samples
        if len(envs) < wanted or not episode_ids:
            raise ConfigError(f"PPO wants {wanted} environments and some episodes, got {len(envs)}, {len(episode_ids)}")
        self.model, self.reference, self.config = model, reference.eval().requires_grad_(False), config
        self.envs, self.episode_ids = list(envs[:wanted]), list(episode_ids)
        self.policy_optimizer: OptimizerGroup = adamw(model.lm, lr=config.lr)
        self.value_optimizer: OptimizerGroup = adamw(model.value_head, lr=config.value_lr)
        self.iteration = 0
        self.skipped_steps = 0

    def step(self) -> tuple[list[Rollout], dict[str, float]]:
        """One iteration: rollouts, advantages, updates.

        Returns:
            The rollouts, and metrics by TensorBoard name.

        Raises:
            TrainingDiverged: sampler and trainer disagree, or too many steps had no finite gradient.
        """
        random = Random(_derive(self.config.seed, self.iteration))
        started = time.monotonic()
        rollouts = self._collect(random)
        sampled = time.monotonic()
        played = [rollout for rollout in rollouts if not rollout.trajectory.is_error]
        informative = self._informative(played)
        batch = self._batch(informative or played)
        if not informative:  # whitening has blown the critic's errors up to advantages: nothing was learned
            batch.advantages.zero_()
        guard = self._guard(batch)
        self._refer(batch)
        metrics = self._update(batch, random)
        trained = time.monotonic()
        metrics |= _rollout_metrics(rollouts)
        metrics |= {
            "train/log_prob_gap": guard,
            "time/rollout_seconds": sampled - started,
            "time/train_seconds": trained - sampled,
            "time/sampled_tokens_per_second": float(batch.mask.sum()) / (sampled - started),
            "time/trained_tokens_per_second": self.config.epochs * sum(batch.lengths) / (trained - sampled),
        }
        self.iteration += 1
        return rollouts, metrics

    def _collect(self, random: Random) -> list[Rollout]:
        config = self.config
        count = min(config.prompts, len(self.episode_ids))
        names = [name for name in random.sample(self.episode_ids, count) for _ in range(config.samples)]
        seeds = [random.getrandbits(31) for _ in names]
        sampling = SamplerConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        return sample_episodes(self.model, self.envs[: len(names)], names, seeds, config=sampling, policy_name="PPO")

    def _informative(self, rollouts: list[Rollout]) -> list[Rollout]:
        """Without the groups whose samples all earned the same: against each other they say nothing."""
        if not self.config.group_baseline:
            return rollouts
        earned: dict[str, set[float]] = {}
        for rollout in rollouts:
            earned.setdefault(rollout.trajectory.episode_id, set()).add(round(rollout.trajectory.reward, 6))
        return [rollout for rollout in rollouts if len(earned[rollout.trajectory.episode_id]) > 1]

    def _batch(self, rollouts: Sequence[Rollout]) -> _Batch:
        """Pad the rollouts, estimate advantages. Running out of budget ends an episode: nothing is bootstrapped."""
        if not rollouts:
            raise TrainingDiverged("wanted rollouts to train on, but every episode of the iteration ended in an error")
        tokens = [_tokens(rollout) for rollout in rollouts]
        for record in tokens:
            record.check()
        mask = pad([record.mask for record in tokens], dtype=torch.float32)
        values = torch.zeros_like(mask)
        values[mask.bool()] = torch.tensor([value for rollout in rollouts for value in rollout.values])
        advantages, returns = gae(
            pad(self._rewards(rollouts), dtype=torch.float32),
            values,
            mask,
            pad([record.turn for record in tokens], dtype=torch.long, fill=-1),
            discounts=self.config.discounts,
        )
        columns = {
            "ids": pad([record.ids for record in tokens], dtype=torch.long),
            "mask": mask,
            "log_probs": pad([record.log_probs for record in tokens], dtype=torch.float32),
            "reference": torch.zeros_like(mask),
            "values": values,
            "advantages": whiten(advantages, mask),
            "returns": returns,
        }
        device = self.model.device
        return _Batch(
            **{name: column.to(device) for name, column in columns.items()},
            lengths=[len(record) for record in tokens],
            groups=[rollout.trajectory.episode_id for rollout in rollouts],
        )

    def _rewards(self, rollouts: Sequence[Rollout]) -> list[list[float]]:
        """Rewards by token; with `group_baseline` they count from what the question's other samples earned."""
        rewards = [_token_rewards(rollout) for rollout in rollouts]
        if self.config.group_baseline:
            names = [rollout.trajectory.episode_id for rollout in rollouts]
            baselines = leave_one_out([sum(row) for row in rewards], names)
            for row, rollout, baseline in zip(rewards, rollouts, baselines, strict=True):
                row[max(position for position, turn in enumerate(_tokens(rollout).turn) if turn >= 0)] -= baseline
        return rewards

    @torch.no_grad()
    def _guard(self, batch: _Batch) -> float:
        """Mean gap between log-probabilities of sampling and of training on a few episodes, before any update."""
        self.model.eval()
        few = batch.rows(range(min(4, len(batch.lengths))))
        log_probs = self._score(self.model, few).log_probs
        gap = float((log_probs - few.log_probs[few.mask.bool()]).abs().mean())
        tolerance = LOG_PROB_TOLERANCE.get(self.model.lm.dtype, 5e-2)
        if not gap <= tolerance:
            raise TrainingDiverged(
                f"the sampler's log-probabilities differ from the trainer's by {gap:.2g} on average, more than "
                f"{tolerance:g}: look for positions, masks or frames that one of them sees and the other does not"
            )
        return gap

    @torch.no_grad()
    def _refer(self, batch: _Batch) -> None:
        """Fill in the reference's log-probabilities, once for all epochs."""
        if self.config.kl_coef == 0.0:
            batch.reference.copy_(batch.log_probs)
            return
        for run in self._micro_batches(batch, range(len(batch.lengths))):
            rows = batch.rows(run)
            log_probs = self._score(self.reference, rows).log_probs
            filled = torch.zeros_like(rows.mask).masked_scatter(rows.mask.bool(), log_probs)
            batch.reference[run, : filled.shape[1]] = filled

    def _score(self, model: LanguageModel, rows: _Batch) -> TokenScores:
        return score_tokens(model, rows.ids, rows.mask, temperature=self.config.temperature)

    def _update(self, batch: _Batch, random: Random) -> dict[str, float]:
        """A few epochs over the iteration's episodes."""
        config = self.config
        self.model.eval()  # gradients flow all the same; dropout would make these log-probabilities others than sampled
        sums: dict[str, float] = {}
        norms = []
        states: list[_States] = []
        for epoch in range(config.epochs):
            order = _shuffled(batch.groups, random)
            size = -(-len(order) // config.minibatches)
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                total = batch.mask[chosen].sum()
                for rows in map(batch.rows, self._micro_batches(batch, chosen)):
                    loss, terms, hidden = self._loss(rows, total)
                    if not self._is_warming_up:
                        loss.backward()
                    if epoch == 0:
                        sampled = rows.mask.bool()
                        states.append(_States(hidden.detach(), rows.values[sampled], rows.returns[sampled]))
                    for name, value in terms.items():
                        sums[name] = sums.get(name, 0.0) + value
                norms.append(self._optimize())
        value_loss = self._fit_critic(states)
        tokens = float(batch.mask.sum()) * config.epochs
        metrics = {f"train/{name}": value / tokens for name, value in sums.items()}
        metrics["train/value_loss"] = value_loss
        sampled = batch.mask.bool()
        variance = float(batch.returns[sampled].var(correction=0))
        error = float((batch.returns - batch.values)[sampled].var(correction=0))
        metrics["train/explained_variance"] = 1.0 - error / variance if variance > 0 else 0.0
        metrics["train/grad_norm"] = sum(norms) / len(norms)
        return metrics

    def _micro_batches(self, batch: _Batch, chosen: Sequence[int]) -> Iterator[list[int]]:
        return sharing_batches(batch.id_rows, max_tokens=self.config.micro_tokens, order=chosen)

    def _loss(self, rows: _Batch, total: Tensor) -> tuple[Tensor, dict[str, float], Tensor]:
        """The policy's loss of one micro-batch (a sum over tokens divided by the whole minibatch's), terms, states."""
        config = self.config
        sampled = rows.mask.bool()
        old_log_probs, advantages = rows.log_probs[sampled], rows.advantages[sampled]
        with torch.set_grad_enabled(not self._is_warming_up):  # the critic needs no gradient below its head
            scores = self._score(self.model, rows)
        log_probs, spread = scores.log_probs, scores.entropy
        surrogate, clipped = clipped_surrogate(
            log_probs, old_log_probs, advantages, clip_low=config.clip_low, clip_high=config.clip_high
        )
        kl = kl_k3(log_probs, rows.reference[sampled])
        loss = (surrogate + config.kl_coef * kl - config.entropy_coef * spread).sum() / total
        with torch.no_grad():
            terms = {
                "policy_loss": surrogate.sum(),
                "kl_to_reference": kl.sum(),
                "approx_kl": kl_k3(log_probs, old_log_probs).sum(),
                "entropy": spread.sum(),
                "clip_fraction": clipped.sum(),
            }
        return loss, {name: float(term) for name, term in terms.items()}, scores.hidden

    def _fit_critic(self, states: Sequence[_States]) -> float:
        """Fit the critic to the iteration's returns; the loss before that."""
        hidden, old, returns = (torch.cat(parts) for parts in zip(*states, strict=True))
        first = 0.0
        for step in range(self.config.critic_steps):
            loss = clipped_value_loss(self.model.value_head(hidden), old, returns, clip=self.config.value_clip).mean()
            first = loss.item() if step == 0 else first
            loss.backward()
            self.value_optimizer.step()
        return first

    @property
    def _is_warming_up(self) -> bool:
        """Whether this iteration trains the critic alone."""
        return self.iteration < self.config.critic_warmup

    def _optimize(self) -> float:
        """One optimiser step of the policy, once the critic has warmed up."""
        if self._is_warming_up:
            return 0.0
        norm = self.policy_optimizer.step()
        if not norm < float("inf"):
            self.skipped_steps += 1
            if self.skipped_steps >= MAX_SKIPPED_STEPS:
                raise TrainingDiverged(
                    f"{self.skipped_steps} steps had gradients that are not finite; the last checkpoint is untouched: "
                    "lower the learning rate and resume"
                )
        return norm if norm < float("inf") else 0.0


def _shuffled(groups: Sequence[str], random: Random) -> list[int]:
    """Rows in random order of their groups: samples that begin alike stay together, and share a forward pass."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    order = list(rows)
    random.shuffle(order)
    return [row for group in order for row in rows[group]]


def _tokens(rollout: Rollout) -> TokenRecord:
    record = rollout.trajectory.tokens
    if record is None:
        raise TrainingDiverged(f"wanted sampled tokens, episode {rollout.trajectory.episode_id!r} has none")
    return record


def _token_rewards(rollout: Rollout) -> list[float]:
    """Each turn's reward at the last token that the turn sampled; zero elsewhere."""
    record = _tokens(rollout)
    rewards = [0.0] * len(record)
    last = {turn: position for position, turn in enumerate(record.turn) if turn >= 0}
    for number, turn in enumerate(rollout.trajectory.turns):
        rewards[last[number]] += turn.reward
    return rewards


def _rollout_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means over the iteration's episodes, by the names that SB3 and this field use."""
    ended = [rollout.trajectory for rollout in rollouts if not rollout.trajectory.is_error]
    if not ended:
        return {"rollout/error_rate": 1.0}

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values) if values else 0.0

    def metric(name: str) -> float:
        return mean([float(value) for t in ended if (value := t.metrics.get(name)) is not None])

    turns = sum(len(trajectory.turns) for trajectory in ended)
    return {
        "rollout/ep_rew_mean": mean([trajectory.reward for trajectory in ended]),
        "rollout/accuracy": mean([trajectory.score or 0.0 for trajectory in ended]),
        "rollout/format": 1.0 - sum(t.metrics.get("invalid_actions") or 0.0 for t in ended) / max(1, turns),
        "rollout/zooms": metric("zooms"),
        "rollout/frames_used": metric("frames_used"),
        "rollout/evidence_hit": metric("evidence_hit"),
        "rollout/answered": mean([float(trajectory.status == "answered") for trajectory in ended]),
        "rollout/error_rate": 1.0 - len(ended) / len(rollouts),
        "rollout/tokens_per_episode": mean([float(len(t.tokens)) for t in ended if t.tokens is not None]),
    }


def _derive(seed: int, iteration: int) -> int:
    """A seed for one iteration that no other iteration shares."""
    return int.from_bytes(hashlib.sha256(f"ppo {seed} {iteration}".encode()).digest()[:8], "big")
