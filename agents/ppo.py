"""Proximal policy optimisation for a policy that writes tokens over many turns. Reads from top to bottom.

One iteration: draw questions and sample each several times, side by side (`sampler`); drop the questions that teach
nothing; estimate advantages of the sampled tokens, with a critic or against the question's other samples
(`ppo_batch`, `advantages`); then a few epochs of clipped updates (`losses`). The old log-probabilities are those of
sampling, so no extra forward pass is made for them; a guard recomputes some before the first update of every iteration
and stops the run when sampler and trainer disagree, which is how blindness and drift show. Every random choice derives
from (seed, iteration), so a run that is resumed from a checkpoint goes on as if it had never stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor

from vz_env.errors import ConfigError

from .guards import DUMP_FOLDER, SkipCounter, TrainingDiverged, check_sight, log_prob_gap, permuted, write_dump
from .losses import clipped_surrogate, clipped_value_loss, kl_estimate, token_weights
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw
from .ppo_batch import Batch, differing, make_batch
from .ppo_config import PPOConfig
from .rollout_metrics import PhaseClock, group_metrics, memory_metrics, model_flops_utilisation, rollout_metrics
from .sampler import Rollout, SamplerConfig, sample_episodes
from .token_scores import TokenScores, score_tokens

__all__ = ["PPO", "PPOConfig", "TrainingDiverged"]

GUARDED_EPISODES = 4


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
        *,
        out: Path | None = None,
    ) -> None:
        """Join the parts.

        Args:
            model: the policy and its critic; trained.
            reference: where the KL is measured to; frozen, usually the policy as SFT left it.
            envs: at least `prompts * samples` environments over the training episodes.
            episode_ids: the episodes to draw from.
            config: hyper-parameters.
            out: a folder in which `diverged/` shows what a run that had to stop was looking at.

        Raises:
            ConfigError: too few environments or no episodes.
        """
        wanted = config.prompts * config.samples
        if len(envs) < wanted or not episode_ids:
            raise ConfigError(f"PPO wants {wanted} environments and some episodes, got {len(envs)}, {len(episode_ids)}")
        self.model, self.reference, self.config = model, reference.eval().requires_grad_(False), config
        self.envs, self.episode_ids, self.out = list(envs[:wanted]), list(episode_ids), out
        settings = {"betas": config.betas, "weight_decay": config.weight_decay}
        self.policy_optimizer: OptimizerGroup = adamw(model.lm, lr=config.lr, **settings)
        self.value_optimizer: OptimizerGroup = adamw(model.value_head, lr=config.value_lr)
        self.iteration = 0
        self.skipped = SkipCounter()
        self._has_seen = not model.needs_frames

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        """The optimisers by name, as checkpoints hold them."""
        return {"policy": self.policy_optimizer, "value": self.value_optimizer}

    @property
    def skipped_steps(self) -> int:
        """Optimiser steps that were skipped since the run began, because their gradients were not finite."""
        return self.skipped.count

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides weights and optimisers."""
        return {"step": self.iteration, "skipped_steps": self.skipped.count}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.iteration, self.skipped = int(state["step"]), SkipCounter(int(state.get("skipped_steps", 0)))

    def step(self) -> tuple[list[Rollout], dict[str, float]]:
        """One iteration: rollouts, advantages, updates.

        Returns:
            The rollouts, and metrics by TensorBoard name.

        Raises:
            TrainingDiverged: sampler and trainer disagree, or too many steps had no finite gradient.
        """
        random = Random(_derive(self.config.seed, self.iteration))
        clock = PhaseClock()
        with clock.phase("rollout"):
            rollouts, chosen = self._collect(random)
        try:
            metrics = self._learn(chosen, rollouts, random, clock)
        except TrainingDiverged as reason:
            if self.out is not None:
                trajectories = [rollout.trajectory for rollout in rollouts]
                write_dump(self.out / DUMP_FOLDER, str(reason), trajectories, self.state())
            raise
        metrics |= rollout_metrics(rollouts) | group_metrics(rollouts) | memory_metrics()
        self.iteration += 1
        return rollouts, metrics

    def _collect(self, random: Random) -> tuple[list[Rollout], list[Rollout]]:
        """Play until enough questions tell their samples apart, or `refills` are used up.

        Returns:
            All rollouts, and those of at most `prompts` questions that tell their samples apart.
        """
        config = self.config
        left = list(self.episode_ids)
        rollouts: list[Rollout] = []
        chosen: list[Rollout] = []
        for _ in range(1 + config.refills):
            names = random.sample(left, min(config.prompts, len(left)))
            left = [name for name in left if name not in set(names)]
            played = self._play([name for name in names for _ in range(config.samples)], random)
            rollouts += played
            chosen += differing([rollout for rollout in played if not rollout.trajectory.is_error], config)
            if not left or len({rollout.trajectory.episode_id for rollout in chosen}) >= config.prompts:
                break
        kept = set(list(dict.fromkeys(rollout.trajectory.episode_id for rollout in chosen))[: config.prompts])
        return rollouts, [rollout for rollout in chosen if rollout.trajectory.episode_id in kept]

    def _play(self, names: list[str], random: Random) -> list[Rollout]:
        seeds = [random.getrandbits(31) for _ in names]
        sampling = SamplerConfig(temperature=self.config.temperature, max_new_tokens=self.config.max_new_tokens)
        return sample_episodes(self.model, self.envs[: len(names)], names, seeds, config=sampling, policy_name="PPO")

    def _learn(
        self, chosen: list[Rollout], rollouts: list[Rollout], random: Random, clock: PhaseClock
    ) -> dict[str, float]:
        """Advantages and updates from the chosen rollouts; where none was chosen, the critic alone may still learn."""
        batch = make_batch(chosen or _scorable(rollouts), self.config, self.model.device)
        if not chosen:  # whitening has blown the critic's errors up to advantages: nothing was learned
            batch.advantages.zero_()
        with clock.phase("guard"):
            gap = self._guard(batch)
        with clock.phase("reference"):
            self._refer(batch)
        with clock.phase("update"):
            metrics = self._update(batch, random)
        tokens = {"trained": metrics.pop("packed_tokens"), "forwarded": float(sum(batch.lengths))}
        seconds = clock.seconds
        train_seconds = sum(seconds[name] for name in ("guard", "reference", "update"))
        total = sum(len(rollout.trajectory.tokens or ()) for rollout in rollouts)
        sampled = sum(sum(rollout.trajectory.tokens.mask) for rollout in rollouts if rollout.trajectory.tokens)
        metrics |= clock.metrics() | {
            "train/log_prob_gap": gap,
            "train/skipped_steps": float(self.skipped.count),
            "train/episodes": float(len(chosen)),
            "time/train_seconds": train_seconds,
            "time/sampled_tokens_per_second": sampled / seconds["rollout"],
            "time/total_tokens_per_second": total / (seconds["rollout"] + train_seconds),
            "time/trained_tokens_per_second": self.config.epochs * sum(batch.lengths) / train_seconds,
        }
        return metrics | model_flops_utilisation(
            self.model.num_parameters, tokens, seconds["rollout"] + train_seconds, self.model.device
        )

    @torch.no_grad()
    def _guard(self, batch: Batch) -> float:
        """Mean gap between log-probabilities of sampling and of training on a few episodes, before any update."""
        self.model.eval()
        few = batch.rows(range(min(GUARDED_EPISODES, len(batch))))
        log_probs = self._score(self.model, few).log_probs
        gap = log_prob_gap(log_probs, few.log_probs[few.mask.bool()], self.model.lm.dtype)
        others = [permuted(seen) for seen in few.frames]
        if not self._has_seen and [seen.placed for seen in others] != [seen.placed for seen in few.frames]:
            check_sight(log_probs, self._score(self.model, replace(few, frames=others)).log_probs)
            self._has_seen = True  # once a process: how frames reach the model does not change while it runs
        return gap

    @torch.no_grad()
    def _refer(self, batch: Batch) -> None:
        """Fill in the reference's log-probabilities, once for all epochs."""
        if self.config.kl_coef == 0.0:
            batch.reference.copy_(batch.log_probs)
            return
        for run in batch.micro_batches(range(len(batch)), self.config.micro_tokens):
            rows = batch.rows(run)
            log_probs = self._score(self.reference, rows).log_probs
            filled = torch.zeros_like(rows.mask).masked_scatter(rows.mask.bool(), log_probs)
            batch.reference[run, : filled.shape[1]] = filled

    def _score(self, model: LanguageModel, rows: Batch) -> TokenScores:
        return score_tokens(model, rows.ids, rows.mask, temperature=self.config.temperature, frames=rows.frames)

    def _update(self, batch: Batch, random: Random) -> dict[str, float]:
        """A few epochs over the iteration's episodes."""
        config = self.config
        self.model.eval()  # gradients flow all the same; dropout would make these log-probabilities others than sampled
        sums: dict[str, float] = {}
        norms = []
        states: list[_States] = []
        for epoch in range(config.epochs):
            for chosen in batch.minibatches(config.minibatches, random):
                self._weigh(batch, chosen)
                for rows in map(batch.rows, batch.micro_batches(chosen, config.micro_tokens)):
                    loss, terms, scores = self._loss(rows)
                    if not self._is_warming_up:
                        loss.backward()
                    if epoch == 0:
                        sampled = rows.mask.bool()
                        states.append(_States(scores.hidden.detach(), rows.values[sampled], rows.returns[sampled]))
                    for name, value in terms.items():
                        sums[name] = sums.get(name, 0.0) + value
                norms.append(0.0 if self._is_warming_up else self.skipped.check(self.policy_optimizer.step(), "policy"))
        packed = sums.pop("packed_tokens")
        tokens = float(batch.mask.sum()) * config.epochs
        metrics = {f"train/{name}": value / tokens for name, value in sums.items()}
        metrics |= {"train/grad_norm": sum(norms) / len(norms), "packed_tokens": packed}
        return metrics | (self._fit_critic(states, batch) if config.uses_critic else {})

    def _weigh(self, batch: Batch, chosen: list[int]) -> None:
        """Fill in how much each token of a minibatch counts in its loss."""
        mask, length = batch.mask[chosen], self.config.max_new_tokens
        batch.weights[chosen] = token_weights(mask, self.config.aggregation, tokens=mask.sum(), length=length)

    def _loss(self, rows: Batch) -> tuple[Tensor, dict[str, float], TokenScores]:
        """The policy's loss of one micro-batch, its part of the minibatch's; sums of its terms; the scores."""
        config = self.config
        sampled = rows.mask.bool()
        old_log_probs, advantages = rows.log_probs[sampled], rows.advantages[sampled]
        with torch.set_grad_enabled(not self._is_warming_up):  # the critic needs no gradient below its head
            scores = self._score(self.model, rows)
        surrogate, clipped = clipped_surrogate(
            scores.log_probs,
            old_log_probs,
            advantages,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            dual_clip=config.dual_clip,
        )
        kl = kl_estimate(scores.log_probs, rows.reference[sampled], config.kl_kind)
        terms = surrogate + config.kl_coef * kl - config.entropy_coef * scores.entropy
        with torch.no_grad():
            sums = {
                "policy_loss": surrogate.sum(),
                "kl_to_reference": kl.sum(),
                "approx_kl": kl_estimate(scores.log_probs, old_log_probs).sum(),
                "entropy": scores.entropy.sum(),
                "clip_fraction": clipped.sum(),
                "packed_tokens": scores.forwarded,
            }
        return (terms * rows.weights[sampled]).sum(), {name: float(term) for name, term in sums.items()}, scores

    def _fit_critic(self, states: Sequence[_States], batch: Batch) -> dict[str, float]:
        """Fit the critic to the iteration's returns; its loss before that, and how much of the returns it explained."""
        hidden, old, returns = (torch.cat(parts) for parts in zip(*states, strict=True))
        first = 0.0
        for step in range(self.config.critic_steps):
            loss = clipped_value_loss(self.model.value_head(hidden), old, returns, clip=self.config.value_clip).mean()
            first = loss.item() if step == 0 else first
            loss.backward()
            self.skipped.check(self.value_optimizer.step(), "critic")
        sampled = batch.mask.bool()
        variance = float(batch.returns[sampled].var(correction=0))
        error = float((batch.returns - batch.values)[sampled].var(correction=0))
        explained = 1.0 - error / variance if variance > 0 else 0.0
        return {"train/value_loss": first, "train/explained_variance": explained}

    @property
    def _is_warming_up(self) -> bool:
        """Whether this iteration trains the critic alone."""
        return self.config.uses_critic and self.iteration < self.config.critic_warmup


def _scorable(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The episodes that came to an end; a fault of the infrastructure is never a reward of 0."""
    ended = [rollout for rollout in rollouts if not rollout.trajectory.is_error]
    if not ended:
        faults = {f"{rollout.trajectory.status} ({rollout.trajectory.error})" for rollout in rollouts}
        raise TrainingDiverged(f"wanted episodes to train on, but all of the iteration's failed: {sorted(faults)[0]}")
    return ended


def _derive(seed: int, iteration: int) -> int:
    """A seed for one iteration that no other iteration shares."""
    return int.from_bytes(hashlib.sha256(f"ppo {seed} {iteration}".encode()).digest()[:8], "big")
