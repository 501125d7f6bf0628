"""Proximal policy optimisation for a policy that writes tokens over many turns. Reads from top to bottom.

One iteration: draw questions and sample each several times, side by side (`sampler`); drop the questions that teach
nothing; estimate advantages of the sampled tokens, with a critic or against the question's other samples
(`ppo_batch`, `advantages`); then a few epochs of clipped updates (`policy_loss`), and the critic's (`critic`). The old
log-probabilities are those of sampling, so no extra forward pass is made for them; a guard compares them with those of
the first minibatch, before any update, and stops the run when sampler and trainer disagree, which is how blindness and
drift show (`first_look`). Every random choice derives from (seed, iteration), so a run that is resumed from a
checkpoint goes on as if it had never stopped.

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
from typing import Any

import gymnasium as gym
import torch

from vz_env.errors import ConfigError
from vz_env.rewards import TrainingProgress

from .critic import CriticStates, fit_critic
from .first_look import FirstLook, Look
from .frames import RowFrames
from .guards import DUMP_FOLDER, SkipCounter, TrainingDiverged, write_dump
from .losses import token_weights
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw
from .policy_loss import policy_loss, score_rows
from .ppo_batch import Batch, differing, make_batch, scorable
from .ppo_config import PPOConfig
from .processes import ALONE, Processes
from .rollout_metrics import PhaseClock, iteration_metrics, model_flops_utilisation, token_rates
from .sampler import Rollout, SamplerConfig, sample_episodes

__all__ = ["PPO", "PPOConfig", "TrainingDiverged"]


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
        self._first_look = FirstLook(model, processes)

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
        metrics |= iteration_metrics(rollouts)
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
        batch = make_batch(chosen or scorable(rollouts), self.config, self.model.device)
        if not chosen:  # whitening has blown the critic's errors up to advantages: nothing was learned
            batch.advantages.zero_()
        with clock.phase("reference"):
            self.processes.gather(partial(self._refer, batch))
        with clock.phase("update"):
            metrics = self._update(batch, random)
        tokens = {"trained": metrics.pop("packed_tokens"), "forwarded": float(sum(batch.lengths))}
        seconds = clock.seconds
        train_seconds = seconds["reference"] + seconds["update"]
        metrics |= clock.metrics() | clock.idle_metrics(self.model.device)
        metrics |= {
            "train/skipped_steps": float(self.skipped.count),
            "train/episodes": float(len(chosen)),
            "time/train_seconds": train_seconds,
        }
        metrics |= token_rates(rollouts, self.config.epochs * sum(batch.lengths), seconds["rollout"], train_seconds)
        device_seconds = self.processes.count * (seconds["rollout"] + train_seconds)
        return metrics | model_flops_utilisation(self.model.num_parameters, tokens, device_seconds, self.model.device)

    @torch.no_grad()
    def _refer(self, batch: Batch) -> None:
        """Fill in the reference's log-probabilities, once for all epochs."""
        if self.config.kl_coef == 0.0:
            batch.reference.copy_(batch.log_probs)
            return
        for run in batch.micro_batches(batch.own(range(len(batch))), self.config.micro_tokens):
            rows = batch.rows(run)
            log_probs = score_rows(self.reference, rows, self.config).log_probs
            filled = torch.zeros_like(rows.mask).masked_scatter(rows.mask.bool(), log_probs)
            batch.reference[run, : filled.shape[1]] = filled

    def _update(self, batch: Batch, random: Random) -> dict[str, float]:
        """A few epochs over the iteration's episodes."""
        config = self.config
        self.model.eval()  # gradients flow all the same; dropout would make these log-probabilities others than sampled
        sums: dict[str, float] = {}
        norms: list[float] = []
        gap, scale = 0.0, config.rate_scale(self.iteration)
        states = CriticStates()
        for epoch in range(config.epochs):
            for chosen in batch.minibatches(config.minibatches, random):
                self._weigh(batch, chosen)
                kept = states if epoch == 0 else None
                looks = self.processes.gather(partial(self._accumulate, batch, batch.own(chosen), sums, kept))
                if not norms:  # the model is still the one that sampled
                    gap = self._first_look.check(batch, looks, partial(score_rows, self.model, config=config))
                norms.append(0.0 if self._is_warming_up else self._take_step(self.policy_optimizer, scale, "policy"))
        sums = self.processes.total(sums)
        packed = sums.pop("packed_tokens")
        tokens = float(batch.mask.sum()) * config.epochs
        metrics = {f"train/{name}": value / tokens for name, value in sums.items()}
        metrics |= {"train/grad_norm": sum(norms) / len(norms), "train/log_prob_gap": gap, "packed_tokens": packed}
        metrics["train/learning_rate"] = config.lr * scale
        if not config.uses_critic:
            return metrics
        scale = config.critic_rate_scale(self.iteration)
        step = partial(self._take_step, self.value_optimizer, scale, "critic")
        return metrics | fit_critic(self.model, states, batch, config, take_step=step, processes=self.processes)

    def _accumulate(
        self, batch: Batch, rows: list[int], sums: dict[str, float], states: CriticStates | None
    ) -> Look | None:
        """Add up gradients, terms and states of some rows, micro-batch by micro-batch; a look at the first of them."""
        look: Look | None = None
        learns = not self._is_warming_up  # the critic alone needs no gradient below its head
        for part in map(batch.rows, batch.micro_batches(rows, self.config.micro_tokens)):
            loss, terms, scores = policy_loss(self.model, part, self.config, learns=learns)
            if learns:
                loss.backward()
            look = look or Look.at(part, scores)
            if states is not None:
                states.add(part, scores.hidden)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
        return look

    def _take_step(self, optimizer: OptimizerGroup, scale: float, of: str) -> float:
        """One step on the gradients of all processes; returns their norm, and 0 for a step that is skipped by all."""
        self.processes.sum_gradients(optimizer.weights)
        return self.skipped.check(optimizer.step(scale=scale), of)

    def _weigh(self, batch: Batch, chosen: list[int]) -> None:
        """Fill in how much each token of a minibatch counts in the loss, which is summed over processes."""
        kind, parts = self.config.aggregation, 1
        if kind == "token":  # every process by itself, and the mean of them
            chosen, parts = batch.own(chosen), self.processes.count
        mask, length = batch.mask[chosen], self.config.max_new_tokens
        batch.weights[chosen] = token_weights(mask, kind, tokens=mask.sum(), length=length) / parts

    @property
    def _is_warming_up(self) -> bool:
        """Whether this iteration trains the critic alone."""
        return self.config.uses_critic and self.iteration < self.config.critic_warmup


def _derive(seed: int, iteration: int) -> int:
    """A seed for one iteration that no other iteration shares."""
    return int.from_bytes(hashlib.sha256(f"ppo {seed} {iteration}".encode()).digest()[:8], "big")
