"""Proximal policy optimisation for a policy that writes tokens over many turns. Reads from top to bottom.

One iteration: draw questions and sample each several times, side by side (`sampler`); drop the questions that teach
nothing; estimate advantages of the sampled tokens, with a critic or against the question's other samples
(`ppo_batch`, `advantages`); then a few epochs of clipped updates (`losses`). The old log-probabilities are those of
sampling, so no extra forward pass is made for them; a guard compares them with those of the first minibatch, before any
update, and stops the run when sampler and trainer disagree, which is how blindness and drift show. Every random choice
derives from (seed, iteration), so a run that is resumed from a checkpoint goes on as if it had never stopped.

Several `processes` divide the questions among them, and the passes over what was sampled. Between the two they tell one
another what they played, pixels left out, and from there on all decide alike, by the same numbers: what is left out and
drawn again, advantages, minibatches, weights. Each forwards its own rows, and gradients are summed. So the update is
that of one process on all episodes up to rounding, and none waits for a step that another does not take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch import Tensor

from vz_env.errors import ConfigError
from vz_env.rewards import TrainingProgress

from .frames import RowFrames
from .guards import DUMP_FOLDER, SkipCounter, TrainingDiverged, check_sight, log_prob_gap, permuted, write_dump
from .losses import clipped_surrogate, clipped_value_loss, kl_estimate, token_weights
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw
from .ppo_batch import Batch, differing, make_batch
from .ppo_config import PPOConfig
from .processes import ALONE, Processes
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


class _Look(NamedTuple):
    """Log-probabilities (tokens,) of a few episodes: in training, in sampling, and in training with frames permuted."""

    trained: Tensor
    sampled: Tensor
    permuted: Tensor | None


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
        processes: Processes = ALONE,
    ) -> None:
        """Join the parts.

        Args:
            model: the policy and its critic; trained.
            reference: where the KL is measured to; frozen, usually the policy as SFT left it.
            envs: at least `prompts * samples` environments over the training episodes, or this process's share of them.
            episode_ids: the episodes to draw from.
            config: hyper-parameters.
            out: a folder in which `diverged/` shows what a run that had to stop was looking at.
            processes: that train together; all hold the same weights and are given the same episodes and configuration.

        Raises:
            ConfigError: too few environments, no episodes, or more processes than questions.
        """
        if config.prompts < processes.count:
            raise ConfigError(
                f"PPO wants a question an iteration for each of {processes.count} processes, got {config.prompts}: "
                "raise --ppo.prompts, or start fewer processes"
            )
        wanted = processes.largest_share(config.prompts) * config.samples
        if len(envs) < wanted or not episode_ids:
            raise ConfigError(f"PPO wants {wanted} environments and some episodes, got {len(envs)}, {len(episode_ids)}")
        self.model, self.reference, self.config = model, reference.eval().requires_grad_(False), config
        self.envs, self.episode_ids, self.out = list(envs[:wanted]), list(episode_ids), out
        self.processes = processes
        settings = {"betas": config.betas, "weight_decay": config.weight_decay}
        self.policy_optimizer: OptimizerGroup = adamw(model.lm, lr=config.lr, **settings)
        self.value_optimizer: OptimizerGroup = adamw(model.value_head, lr=config.value_lr)
        self.iteration = 0
        self.zoom_rate = 0.0  # share of the latest iteration's episodes that zoomed
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
        return {"step": self.iteration, "skipped_steps": self.skipped.count, "zoom_rate": self.zoom_rate}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.iteration, self.skipped = int(state["step"]), SkipCounter(int(state.get("skipped_steps", 0)))
        self.zoom_rate = float(state.get("zoom_rate", 0.0))

    def step(self) -> tuple[list[Rollout], dict[str, float]]:
        """One iteration: rollouts, advantages, updates.

        Returns:
            The rollouts, and metrics by TensorBoard name.

        Raises:
            TrainingDiverged: sampler and trainer disagree, or too many steps had no finite gradient.
        """
        random = Random(_derive(self.config.seed, self.iteration))
        for env in self.envs:  # rewards may be annealed
            env.unwrapped.progress = TrainingProgress(step=self.iteration, zoom_rate=self.zoom_rate)
        clock = PhaseClock()
        with clock.phase("rollout"):
            rollouts, chosen = self._collect(random, clock)
        try:
            metrics = self._learn(chosen, rollouts, random, clock)
        except TrainingDiverged as reason:
            if self.out is not None and self.processes.is_main:
                trajectories = [rollout.trajectory for rollout in rollouts]
                write_dump(self.out / DUMP_FOLDER, str(reason), trajectories, self.state())
            raise
        metrics |= rollout_metrics(rollouts) | group_metrics(rollouts) | memory_metrics()
        self.iteration += 1
        self.zoom_rate = sum(bool(rollout.trajectory.metrics.get("zooms")) for rollout in rollouts) / len(rollouts)
        return rollouts, metrics

    def _collect(self, random: Random, clock: PhaseClock) -> tuple[list[Rollout], list[Rollout]]:
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
            played = self._play(names, random, clock)
            rollouts += played
            chosen += differing([rollout for rollout in played if not rollout.trajectory.is_error], config)
            if not left or len({rollout.trajectory.episode_id for rollout in chosen}) >= config.prompts:
                break
        kept = set(list(dict.fromkeys(rollout.trajectory.episode_id for rollout in chosen))[: config.prompts])
        return rollouts, [rollout for rollout in chosen if rollout.trajectory.episode_id in kept]

    def _play(self, names: Sequence[str], random: Random, clock: PhaseClock) -> list[Rollout]:
        """Play a process's share of the questions, each of them whole; all processes know of all rollouts then."""
        groups = [[(name, random.getrandbits(31)) for _ in range(self.config.samples)] for name in names]
        own = [played for group in self.processes.share(groups) for played in group]
        ids, seeds = [name for name, _ in own], [seed for _, seed in own]
        config = self.config
        sampling = SamplerConfig(
            temperature=config.temperature, max_new_tokens=config.max_new_tokens, compile=config.compile
        )
        rollouts: list[Rollout] = []

        def play() -> list[Rollout]:
            envs = self.envs[: len(ids)]
            given = {"config": sampling, "policy_name": "PPO", "on_wait": clock.add_idle}
            rollouts.extend(sample_episodes(self.model, envs, ids, seeds, **given))
            return [replace(rollout, frames=RowFrames(), is_own=False) for rollout in rollouts]

        told = self.processes.gather(play)
        told[self.processes.rank] = rollouts
        return [rollout for part in told for rollout in part]

    def _learn(
        self, chosen: list[Rollout], rollouts: list[Rollout], random: Random, clock: PhaseClock
    ) -> dict[str, float]:
        """Advantages and updates from the chosen rollouts; where none was chosen, the critic alone may still learn."""
        batch = make_batch(chosen or _scorable(rollouts), self.config, self.model.device)
        if not chosen:  # whitening has blown the critic's errors up to advantages: nothing was learned
            batch.advantages.zero_()
        with clock.phase("reference"):
            self.processes.gather(partial(self._refer, batch))
        with clock.phase("update"):
            metrics = self._update(batch, random)
        tokens = {"trained": metrics.pop("packed_tokens"), "forwarded": float(sum(batch.lengths))}
        seconds = clock.seconds
        train_seconds = seconds["reference"] + seconds["update"]
        total = sum(len(rollout.trajectory.tokens or ()) for rollout in rollouts)
        sampled = sum(sum(rollout.trajectory.tokens.mask) for rollout in rollouts if rollout.trajectory.tokens)
        metrics |= clock.metrics() | clock.idle_metrics(self.model.device)
        metrics |= {
            "train/skipped_steps": float(self.skipped.count),
            "train/episodes": float(len(chosen)),
            "time/train_seconds": train_seconds,
            "time/sampled_tokens_per_second": sampled / seconds["rollout"],
            "time/total_tokens_per_second": total / (seconds["rollout"] + train_seconds),
            "time/trained_tokens_per_second": self.config.epochs * sum(batch.lengths) / train_seconds,
        }
        return metrics | model_flops_utilisation(
            self.model.num_parameters,
            tokens,
            self.processes.count * (seconds["rollout"] + train_seconds),
            self.model.device,
        )

    def _guard(self, batch: Batch, looks: Sequence[_Look | None]) -> float:
        """Mean gap between log-probabilities of sampling and of training, before any update.

        Every process looked at some rows of its own, and all judge what each of them saw.
        """
        own = looks[self.processes.rank]
        told = [look for look in self.processes.gather(partial(self._look, batch, own)) if look is not None]
        gap = max(log_prob_gap(look.trained, look.sampled, self.model.lm.dtype) for look in told)
        for look in told:
            if look.permuted is not None:
                check_sight(look.trained, look.permuted)
        return gap

    @torch.no_grad()
    def _look(self, batch: Batch, seen: _Look | None) -> _Look | None:
        """What this process saw of its rows in the first minibatch; scores a few where it saw none, or is to be tried.

        A model that looks at frames is tried once a process: how frames reach it does not change while it runs.
        """
        few = batch.rows(batch.own(range(len(batch)))[:GUARDED_EPISODES])
        others = few.frames if self._has_seen else [permuted(frames) for frames in few.frames]
        is_trial = [frames.placed for frames in others] != [frames.placed for frames in few.frames]
        if not few.lengths or (seen is not None and not is_trial):
            return seen
        trained = self._score(self.model, few).log_probs.cpu()
        changed = self._score(self.model, replace(few, frames=others)).log_probs.cpu() if is_trial else None
        self._has_seen = self._has_seen or is_trial
        return _Look(trained, few.log_probs[few.mask.bool()].cpu(), changed)

    @torch.no_grad()
    def _refer(self, batch: Batch) -> None:
        """Fill in the reference's log-probabilities, once for all epochs."""
        if self.config.kl_coef == 0.0:
            batch.reference.copy_(batch.log_probs)
            return
        for run in batch.micro_batches(batch.own(range(len(batch))), self.config.micro_tokens):
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
        norms: list[float] = []
        gap = 0.0
        states: list[_States] = []
        for epoch in range(config.epochs):
            for chosen in batch.minibatches(config.minibatches, random):
                self._weigh(batch, chosen)
                kept = states if epoch == 0 else []
                looks = self.processes.gather(partial(self._accumulate, batch, batch.own(chosen), sums, kept))
                gap = gap if norms else self._guard(batch, looks)  # the model is still the one that sampled
                norms.append(0.0 if self._is_warming_up else self._take_step(self.policy_optimizer, "policy"))
        sums = _total(self.processes.gather(lambda: sums))
        packed = sums.pop("packed_tokens")
        tokens = float(batch.mask.sum()) * config.epochs
        metrics = {f"train/{name}": value / tokens for name, value in sums.items()}
        metrics |= {"train/grad_norm": sum(norms) / len(norms), "train/log_prob_gap": gap, "packed_tokens": packed}
        return metrics | (self._fit_critic(states, batch) if config.uses_critic else {})

    def _accumulate(self, batch: Batch, rows: list[int], sums: dict[str, float], states: list[_States]) -> _Look | None:
        """Add up gradients, terms and states of some rows, micro-batch by micro-batch; a look at the first of them."""
        look: _Look | None = None
        for part in map(batch.rows, batch.micro_batches(rows, self.config.micro_tokens)):
            loss, terms, scores = self._loss(part)
            if not self._is_warming_up:
                loss.backward()
            sampled = part.mask.bool()
            look = look or _Look(scores.log_probs.detach().cpu(), part.log_probs[sampled].cpu(), None)
            states.append(_States(scores.hidden.detach(), part.values[sampled], part.returns[sampled]))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
        return look

    def _take_step(self, optimizer: OptimizerGroup, of: str) -> float:
        """One step on the gradients of all processes; returns their norm, and 0 for a step that is skipped by all."""
        self.processes.sum_gradients(optimizer.weights)
        return self.skipped.check(optimizer.step(), of)

    def _weigh(self, batch: Batch, chosen: list[int]) -> None:
        """Fill in how much each token of a minibatch counts in the loss, which is summed over processes."""
        kind, parts = self.config.aggregation, 1
        if kind == "token":  # every process by itself, and the mean of them
            chosen, parts = batch.own(chosen), self.processes.count
        mask, length = batch.mask[chosen], self.config.max_new_tokens
        batch.weights[chosen] = token_weights(mask, kind, tokens=mask.sum(), length=length) / parts

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
        sampled = batch.mask.bool()
        count = int(sampled.sum())
        parts = [torch.cat(part) for part in zip(*states, strict=True)]
        first = 0.0
        for step in range(self.config.critic_steps):
            if parts:  # none where all questions of this process were left out
                hidden, old, returns = parts
                errors = clipped_value_loss(self.model.value_head(hidden), old, returns, clip=self.config.value_clip)
                loss = errors.sum() / count
                first = loss.item() if step == 0 else first
                loss.backward()
            self._take_step(self.value_optimizer, "critic")
        first = sum(self.processes.gather(lambda: first))
        variance = float(batch.returns[sampled].var(correction=0))
        error = float((batch.returns - batch.values)[sampled].var(correction=0))
        explained = 1.0 - error / variance if variance > 0 else 0.0
        return {"train/value_loss": first, "train/explained_variance": explained}

    @property
    def _is_warming_up(self) -> bool:
        """Whether this iteration trains the critic alone."""
        return self.config.uses_critic and self.iteration < self.config.critic_warmup


def _total(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The sums of all processes by name; one without episodes has none."""
    names = {name: None for part in parts for name in part}
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}


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
