"""Batched multi-turn sampling, token in and token out: what the model sampled is never re-rendered from text.

Every episode of a batch lives in one row of one key-value cache that is kept over its turns. Equal first prompts are
prefilled once and forked. Rows that have ended their turn keep stepping with their new keys masked, rows whose episode
is over leave the batch, and environments step in threads. One uniform number a token comes from a generator of the
episode's own, so a trajectory depends on its seed and not on who shares its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, TypeVar

import gymnasium as gym
import torch
from torch import Tensor

from .kv_cache import GrowingCache
from .model import LanguageModel
from .rollout import EpisodeRun
from .trajectory import TokenRecord, Trajectory

__all__ = ["ContextFull", "Rollout", "SamplerConfig", "complete", "sample_episodes"]

RowT = TypeVar("RowT", bound="_Row")


class ContextFull(RuntimeError):
    """An episode's next prompt and reply would not fit the model's context; names the status of its trajectory."""


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """How replies are drawn.

    `temperature` 0 is greedy; `max_new_tokens` bounds one reply, which is then ended for the model with mask 0;
    `env_threads` step environments side by side.
    """

    temperature: float = 1.0
    max_new_tokens: int = 48
    env_threads: int = 2


@dataclass(slots=True)
class Rollout:
    """A trajectory and, for each of its sampled tokens in order, the critic's value of the state it was sampled in."""

    trajectory: Trajectory
    values: list[float] = field(default_factory=list)


@dataclass(slots=True, eq=False, kw_only=True)
class _Row:
    """One row of a batch: its tokens so far, the reply being sampled, the chunk to feed next."""

    random: Random
    tokens: TokenRecord = field(default_factory=TokenRecord)
    values: list[float] = field(default_factory=list)
    reply: list[int] = field(default_factory=list)
    chunk: list[int] = field(default_factory=list)
    turn: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class _EpisodeRow(_Row):
    """A row that plays an episode."""

    run: EpisodeRun

    def close(self) -> Rollout:
        """The finished record. Tokens that nothing was sampled after are cut, so it ends on a sampled token."""
        tokens = self.tokens
        while tokens.mask and not tokens.mask[-1]:
            for column in (tokens.ids, tokens.mask, tokens.log_probs, tokens.turn):
                column.pop()
        return Rollout(self.run.finish(tokens=tokens), self.values)


@torch.no_grad()
def sample_episodes(
    model: LanguageModel,
    envs: Sequence[gym.Env[Any, str]],
    episode_ids: Sequence[str],
    seeds: Sequence[int],
    *,
    config: SamplerConfig | None = None,
    policy_name: str = "LanguageModel",
) -> list[Rollout]:
    """Play one episode in each environment, all in one batch.

    Args:
        model: whose replies are sampled; put in evaluation mode while sampling.
        envs: one environment an episode.
        episode_ids: what to play, one each.
        seeds: of the environment and of the sampling, one each.
        config: temperature and limits.
        policy_name: written into the trajectories.

    Returns:
        One rollout for each episode, in order. A video's fault is in its trajectory's status, as is a context that
        would overflow (`error:ContextFull`), refused before it is built.
    """
    config = config or SamplerConfig()
    was_training = model.training
    model.eval()
    rows = [
        _EpisodeRow(run=EpisodeRun(env, policy=policy_name, episode_id=name, seed=seed), random=Random(seed))
        for env, name, seed in zip(envs, episode_ids, seeds, strict=True)
    ]
    try:
        with ThreadPoolExecutor(max_workers=config.env_threads, thread_name_prefix="env") as pool:
            _Episodes(model, config, rows, pool).play()
    finally:
        model.train(was_training)
    return [row.close() for row in rows]


@torch.no_grad()
def complete(
    model: LanguageModel, prompts: Sequence[list[int]], randoms: Sequence[Random], *, config: SamplerConfig
) -> list[list[int]]:
    """Sample one reply to each prompt, without an environment.

    Args:
        model: whose replies are sampled.
        prompts: token ids, one list a row.
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
        raise _context_full(wanted, model)
    was_training = model.training
    model.eval()
    rows = [_Row(random=random, chunk=prompt) for prompt, random in zip(prompts, randoms, strict=True)]
    try:
        decoder = _Decoder(model, config, rows)
        decoder.reply(decoder.prefill())
    finally:
        model.train(was_training)
    return [row.reply for row in rows]


def _context_full(wanted: int, model: LanguageModel) -> ContextFull:
    return ContextFull(f"wanted room for {wanted} tokens, the model's context has {model.max_length}")


class _Decoder(Generic[RowT]):
    """Rows and the cache they share; row i of the cache is `rows[i]`."""

    def __init__(self, model: LanguageModel, config: SamplerConfig, rows: list[RowT]) -> None:
        self.model, self.config, self.rows = model, config, rows
        self.cache = GrowingCache()
        self.seen = torch.zeros(0, 0, dtype=torch.long)  # (rows, cache length): 1 where a key may be attended to

    def keep(self, kept: list[int]) -> None:
        """Go on with some rows, by index."""
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in kept]
        if self.seen.shape[1]:
            rows = torch.tensor(kept, dtype=torch.long, device=self.seen.device)
            self.seen = self.seen[rows]
            self.cache.select(rows)

    def prefill(self) -> Tensor:
        """Prefill each distinct first prompt once and fork its row over the episodes that share it."""
        distinct: dict[tuple[int, ...], int] = {}
        source = [distinct.setdefault(tuple(row.chunk), len(distinct)) for row in self.rows]
        self.seen = torch.zeros(len(distinct), 0, dtype=torch.long, device=self.model.device)
        hidden = self.forward([list(chunk) for chunk in distinct], is_recorded=False)
        for row in self.rows:
            row.tokens.observe(row.chunk)
        if len(distinct) < len(source):
            rows = torch.tensor(source, device=self.seen.device)
            self.seen = self.seen[rows]
            self.cache.select(rows)
            hidden = hidden[rows]
        return hidden

    def forward(self, chunks: list[list[int]], *, is_recorded: bool = True) -> Tensor:
        """Feed one chunk a row, padded on the left; returns the hidden state after each row's last token.

        Shapes: ids (rows, longest chunk); the mask covers the whole cache, holes of earlier padding included.
        """
        longest = max(map(len, chunks))
        device = self.model.device
        ids = torch.zeros(len(chunks), longest, dtype=torch.long, device=device)
        new = torch.zeros_like(ids)
        for index, chunk in enumerate(chunks):
            ids[index, longest - len(chunk) :] = torch.tensor(chunk, device=device)
            new[index, longest - len(chunk) :] = 1
            if is_recorded:
                self.rows[index].tokens.observe(chunk)
        return self._extend(ids, new)[:, -1]

    def _extend(self, ids: Tensor, new: Tensor) -> Tensor:
        """Append columns to the cache; `new` is 1 where a column counts. Positions skip every hole."""
        start = self.seen.sum(1, keepdim=True)
        positions = (start + new.cumsum(1) - 1).clamp(min=0)
        self.seen = torch.cat([self.seen, new], 1)
        return self.model.hidden(
            ids, attention_mask=self.seen, position_ids=positions, past_key_values=self.cache, use_cache=True
        )

    def reply(self, hidden: Tensor) -> None:
        """Sample every row's reply of this turn, token by token, until all have ended."""
        for row in self.rows:
            row.reply = []
        active = torch.ones(len(self.rows), dtype=torch.long, device=self.model.device)
        for step in range(self.config.max_new_tokens):
            is_active = active.tolist()
            sampled, log_probs = self._draw(self.model.logits(hidden), is_active)
            drawn = zip(sampled.tolist(), log_probs.tolist(), self.model.value_head(hidden).tolist(), strict=True)
            for index, (token_id, log_prob, value) in enumerate(drawn):
                if is_active[index]:
                    row = self.rows[index]
                    row.reply.append(token_id)
                    row.tokens.sample(token_id, log_prob, row.turn)
                    row.values.append(value)
            is_last = step == self.config.max_new_tokens - 1
            still = active * (sampled != self.model.chat.end_id).long()
            # An end-of-turn token enters the cache too: the next message is appended behind it.
            if is_last or not still.any():
                self._extend(sampled[:, None], active[:, None])
                return
            hidden = self._extend(sampled[:, None], active[:, None])[:, -1]
            active = still

    def _draw(self, logits: Tensor, active: list[int]) -> tuple[Tensor, Tensor]:
        """Draw one token a row by inverse transform; log-probabilities are of the distribution drawn from.

        Shapes: logits (rows, vocab), active (rows,) -> ids (rows,), log_probs (rows,) in fp32.
        """
        if self.config.temperature == 0.0:
            log_probs = torch.log_softmax(logits, -1)
            sampled = logits.argmax(-1)
        else:
            log_probs = torch.log_softmax(logits / self.config.temperature, -1)
            # A row that has ended draws nothing: the wait for longer replies must not move its own next numbers.
            drawn = [
                row.random.random() if is_active else 0.0 for row, is_active in zip(self.rows, active, strict=True)
            ]
            uniform = torch.tensor(drawn, dtype=torch.float64)
            total = log_probs.double().exp().cumsum(-1)
            threshold = uniform.to(total.device)[:, None] * total[:, -1:]
            sampled = torch.searchsorted(total, threshold, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
        return sampled, log_probs.gather(-1, sampled[:, None])[:, 0]


class _Episodes(_Decoder[_EpisodeRow]):
    """A decoder whose rows play episodes; environments step in a thread pool."""

    def __init__(
        self, model: LanguageModel, config: SamplerConfig, rows: list[_EpisodeRow], pool: ThreadPoolExecutor
    ) -> None:
        super().__init__(model, config, list(rows))
        self.pool = pool

    def play(self) -> None:
        """Reset, then prompt, reply, step, turn after turn, until no episode is under way."""
        list(self.pool.map(lambda row: row.run.reset(), self.rows))
        for row in self.rows:
            if row.run.observation is not None:
                row.chunk = self.model.chat.first(row.run.observation.text)
        self.keep(self._admitted())
        hidden = self.prefill() if self.rows else None
        while hidden is not None:
            self.reply(hidden)
            list(self.pool.map(self._step, self.rows))
            self.keep(self._admitted())
            hidden = self.forward([row.chunk for row in self.rows]) if self.rows else None

    def _step(self, row: _EpisodeRow) -> None:
        chat = self.model.chat
        row.run.step(chat.reply_text(row.reply))
        row.turn += 1
        if row.run.observation is not None:
            is_turn_ended = row.reply[-1] == chat.end_id
            row.chunk = chat.next(row.run.observation.text, is_turn_ended=is_turn_ended)

    def _admitted(self) -> list[int]:
        """Indices of rows whose episode goes on and whose next prompt and reply fit the context."""
        kept = []
        for index, row in enumerate(self.rows):
            if row.run.is_over:
                continue
            wanted = len(row.tokens) + len(row.chunk) + self.config.max_new_tokens
            if wanted > self.model.max_length:
                row.run.fail(_context_full(wanted, self.model))
                continue
            kept.append(index)
        return kept
