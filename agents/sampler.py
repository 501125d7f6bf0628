"""Batched multi-turn sampling, token in and token out: what the model sampled is never re-rendered from text.

Every episode of a batch lives in one row of one key-value cache that is kept over its turns. Equal first prompts are
prefilled once and forked, and each distinct frame is read once by the vision tower, in whichever turn it arrives. Rows
that have ended their turn keep stepping with their new keys masked, rows whose episode is over leave the batch, and
environments step in threads: one that takes long is not waited for, one that takes too long fails alone. One uniform
number a token comes from a generator of the episode's own, so a trajectory depends on its seed and not on who shares
its batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from .decoder import ContextFull, Decoder, Row, SamplerConfig, context_full
from .env_threads import EnvThreads, Job
from .frames import Chunk, RowFrames
from .model import LanguageModel
from .rollout import EpisodeRun
from .trajectory import Trajectory

__all__ = ["ContextFull", "Rollout", "SamplerConfig", "complete", "sample_episodes"]


@dataclass(slots=True)
class Rollout:
    """A trajectory and, for each of its sampled tokens in order, the critic's value of the state it was sampled in.

    `frames` are those among its tokens, as a model that sees was shown them; no trajectory carries them on disk.
    Another process's rollout comes without them, and is not `is_own`.
    """

    trajectory: Trajectory
    values: list[float] = field(default_factory=list)
    frames: RowFrames = field(default_factory=RowFrames)
    is_own: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class _EpisodeRow(Row):
    """A row that plays an episode; `job` is its environment at work, and `turn` counts the turns that are over."""

    run: EpisodeRun
    job: Job | None = None

    def close(self) -> Rollout:
        """The finished record. Tokens that nothing was sampled after are cut, so it ends on a sampled token."""
        tokens = self.tokens
        while tokens.mask and not tokens.mask[-1]:
            for column in (tokens.ids, tokens.mask, tokens.log_probs, tokens.turn):
                column.pop()
        return Rollout(self.run.finish(tokens=tokens), self.values, self.frames.part(0, len(tokens)))


@torch.no_grad()
def sample_episodes(
    model: LanguageModel,
    envs: Sequence[gym.Env[Any, str]],
    episode_ids: Sequence[str],
    seeds: Sequence[int],
    *,
    config: SamplerConfig | None = None,
    policy_name: str = "LanguageModel",
    on_wait: Callable[[float], None] | None = None,
) -> list[Rollout]:
    """Play one episode in each environment, all in one batch.

    Args:
        model: whose replies are sampled; put in evaluation mode while sampling.
        envs: one environment an episode.
        episode_ids: what to play, one each.
        seeds: of the environment and of the sampling, one each.
        config: temperature and limits.
        policy_name: written into the trajectories.
        on_wait: called with the seconds of each wait for environments, in which the model's device had nothing to do.

    Returns:
        One rollout for each episode, in order. A video's fault is in its trajectory's status, as is a context that
        would overflow (`error:ContextFull`), refused before it is built, and a step that hangs (`error:TimeoutError`).
    """
    config = config or SamplerConfig()
    was_training = model.training
    model.eval()
    rows = [
        _EpisodeRow(run=EpisodeRun(env, policy=policy_name, episode_id=name, seed=seed), random=Random(seed))
        for env, name, seed in zip(envs, episode_ids, seeds, strict=True)
    ]
    threads = EnvThreads(config.env_threads)
    try:
        _Episodes(model, config, rows, threads, on_wait).play()
    finally:
        threads.close()
        model.train(was_training)
    return [row.close() for row in rows]


@torch.no_grad()
def complete(
    model: LanguageModel, prompts: Sequence[list[int] | Chunk], randoms: Sequence[Random], *, config: SamplerConfig
) -> list[list[int]]:
    """Sample one reply to each prompt, without an environment.

    Args:
        model: whose replies are sampled.
        prompts: token ids, or a chunk of ids and frames, one a row.
        randoms: one generator a row.
        config: temperature and length.

    Returns:
        The sampled ids of each reply, its end-of-turn token included when the model wrote one.

    Raises:
        ContextFull: a prompt and its reply would not fit the model's context.
    """
    if not prompts:
        return []
    wanted = max(map(len, prompts)) + config.max_new_tokens
    if wanted > model.max_length:
        raise context_full(wanted, model)
    was_training = model.training
    model.eval()
    chunks = [Chunk(prompt) if isinstance(prompt, list) else prompt for prompt in prompts]
    rows = [Row(random=random, chunk=chunk) for chunk, random in zip(chunks, randoms, strict=True)]
    try:
        decoder = Decoder(model, config, rows)
        decoder.reply(decoder.prefill(), [1] * len(rows))
    finally:
        model.train(was_training)
    return [row.reply for row in rows]


def _abandoned(run: EpisodeRun, deadline_seconds: float) -> EpisodeRun:
    """A copy of a run that failed, while a step of the run itself still hangs in a thread and may yet write to it."""
    ended = EpisodeRun(run.env, policy=run.trajectory.policy, episode_id=run.trajectory.episode_id, seed=run.seed)
    ended.started_at = run.started_at
    ended.trajectory = replace(run.trajectory, turns=list(run.trajectory.turns))
    ended.fail(TimeoutError(f"wanted the environment's step within {deadline_seconds:g} s"))
    return ended


class _Episodes(Decoder[_EpisodeRow]):
    """A decoder whose rows play episodes; environments work in threads."""

    def __init__(
        self,
        model: LanguageModel,
        config: SamplerConfig,
        rows: list[_EpisodeRow],
        threads: EnvThreads,
        on_wait: Callable[[float], None] | None,
    ) -> None:
        super().__init__(model, config, list(rows))
        self.threads, self.on_wait = threads, on_wait
        self.store = model.new_store()

    def play(self) -> None:
        """Reset, then prompt, reply, step, turn after turn, until no episode is under way."""
        for row in self.rows:
            row.job = self.threads.submit(row.run.env, lambda row=row, run=row.run: self._reset(row, run))
        self._wait(patience_seconds=self.config.deadline_seconds)
        self.keep(self._admitted())
        hidden = self.prefill() if self.rows else None
        while hidden is not None:
            self.reply(hidden, [int(row.job is None) for row in self.rows])
            for row in self.rows:
                if row.job is None:
                    self._begin_step(row)
            hidden = self._next_turn()

    def _next_turn(self) -> Tensor | None:
        """Wait for environments and show what they did; None when no episode is under way."""
        while self.rows:
            self._wait(patience_seconds=self.config.patience_seconds)
            self.keep(self._admitted())
            if any(row.job is None for row in self.rows):
                return self.forward([row.chunk if row.job is None else Chunk([]) for row in self.rows])
        return None

    def _wait(self, *, patience_seconds: float) -> None:
        """Wait for environments at work, until only the slow ones are left while another row could go on."""
        if self.model.device.type == "cuda":  # what is still queued there is no idleness
            torch.cuda.synchronize(self.model.device)
        started = time.monotonic()
        self.threads.wait(
            [row.job for row in self.rows if row.job is not None],
            patience_seconds=patience_seconds,
            deadline_seconds=self.config.deadline_seconds,
        )
        if self.on_wait is not None:
            self.on_wait(time.monotonic() - started)
        for row in self.rows:
            if row.job is None:
                continue
            if row.job.is_given_up:
                row.run = _abandoned(row.run, self.config.deadline_seconds)
                row.job = None
            elif row.job.is_done:
                row.job.result()
                row.job = None

    def _begin_step(self, row: _EpisodeRow) -> None:
        chat = self.model.chat
        text, is_turn_ended = chat.reply_text(row.reply), row.reply[-1] == chat.end_id
        row.turn += 1
        row.job = self.threads.submit(
            row.run.env, lambda run=row.run: self._step(row, run, text, is_turn_ended=is_turn_ended)
        )

    def _reset(self, row: _EpisodeRow, run: EpisodeRun) -> None:
        """In a thread: begin the episode and prepare what it shows."""
        run.reset()
        self._prepare(row, run, is_first=True)

    def _step(self, row: _EpisodeRow, run: EpisodeRun, text: str, *, is_turn_ended: bool) -> None:
        """In a thread: play an action and prepare what came of it."""
        run.step(text)
        self._prepare(row, run, is_first=False, is_turn_ended=is_turn_ended)

    def _prepare(self, row: _EpisodeRow, run: EpisodeRun, *, is_first: bool, is_turn_ended: bool = True) -> None:
        seen = run.observation
        if seen is not None:
            row.chunk = self.model.chunk(
                seen.text,
                seen.frames,
                seen.timestamps.tolist(),
                is_first=is_first,
                is_turn_ended=is_turn_ended,
                store=self.store,
            )

    def _admitted(self) -> list[int]:
        """Indices of rows at work, and of those whose episode goes on and whose next prompt and reply fit."""
        kept = []
        for index, row in enumerate(self.rows):
            if row.job is None:
                if row.run.is_over:
                    continue
                wanted = len(row.tokens) + len(row.chunk) + self.config.max_new_tokens
                if wanted > self.model.max_length:
                    row.run.fail(context_full(wanted, self.model))
                    continue
            kept.append(index)
        return kept
