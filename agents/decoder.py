"""Decoding over a key-value cache that is kept over turns: rows that are fed, sampled from, and dropped as they end.

Rows that have ended their turn keep stepping with their new keys masked. One uniform number a token comes from a
generator of the row's own, so what is sampled depends on its seed and not on who shares its batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from .fixed_steps import FixedSteps, fixed_steps
from .frames import Chunk, RowFrames
from .kv_cache import GrowingCache
from .model import LanguageModel
from .trajectory import TokenRecord

__all__ = ["ContextFull", "Decoder", "Row", "SamplerConfig", "context_full"]

RowT = TypeVar("RowT", bound="Row")


class ContextFull(RuntimeError):
    """An episode's next prompt and reply would not fit the model's context; names the status of its trajectory."""


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """How replies are drawn.

    `temperature` 0 is greedy; `max_new_tokens` bounds one reply, which is then ended for the model with mask 0;
    `env_threads` step environments side by side. A step that runs longer than `patience_seconds` is no longer waited
    for: the other rows go on, and its own joins them when it is done. One that was waited for over `deadline_seconds`
    ends its episode as `error:TimeoutError`. With `compile`, a model of text decodes in steps of one shape that are
    compiled (`fixed_steps`).
    """

    temperature: float = 1.0
    max_new_tokens: int = 48
    env_threads: int = 2
    patience_seconds: float = 10.0
    deadline_seconds: float = 120.0
    compile: bool = False


def context_full(wanted: int, model: LanguageModel) -> ContextFull:
    """The refusal of a context of `wanted` tokens."""
    return ContextFull(f"wanted room for {wanted} tokens, the model's context has {model.max_length}")


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    """One row of a batch: its tokens so far, the reply being sampled, the chunk to feed next."""

    random: Random
    tokens: TokenRecord = field(default_factory=TokenRecord)
    values: list[float] = field(default_factory=list)
    frames: RowFrames = field(default_factory=RowFrames)
    shift: int = 0
    reply: list[int] = field(default_factory=list)
    chunk: Chunk = field(default_factory=lambda: Chunk([]))
    turn: int = 0

    def observe(self, chunk: Chunk) -> None:
        """Append what the environment wrote and showed."""
        self.frames.add(len(self.tokens), chunk.frames)
        self.shift = self.frames.end_shift
        self.tokens.observe(chunk.ids)


class Decoder(Generic[RowT]):
    """Rows and the cache they share; row i of the cache is `rows[i]`."""

    def __init__(self, model: LanguageModel, config: SamplerConfig, rows: list[RowT]) -> None:
        self.model, self.config, self.rows = model, config, rows
        self.cache = GrowingCache()
        self.seen = torch.zeros(0, 0, dtype=torch.long)  # (rows, cache length): 1 where a key may be attended to
        self.steps: FixedSteps | None = None  # while they hold what the cache is going to

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
        distinct: dict[tuple[Any, ...], int] = {}
        source = [distinct.setdefault(row.chunk.key(), len(distinct)) for row in self.rows]
        first = [source.index(number) for number in range(len(distinct))]
        self.seen = torch.zeros(len(distinct), 0, dtype=torch.long, device=self.model.device)
        hidden = self._feed([self.rows[index].chunk for index in first], [0] * len(first))
        for row in self.rows:
            row.observe(row.chunk)
        if len(distinct) < len(source):
            rows = torch.tensor(source, device=self.seen.device)
            self.seen = self.seen[rows]
            self.cache.select(rows)
            hidden = hidden[rows]
        return hidden

    def forward(self, chunks: list[Chunk]) -> Tensor:
        """Feed one chunk a row, an empty one to a row that rests; returns the hidden state after each last token."""
        hidden = self._feed(chunks, [row.shift for row in self.rows])
        for row, chunk in zip(self.rows, chunks, strict=True):
            row.observe(chunk)
        return hidden

    def _feed(self, chunks: list[Chunk], shifts: list[int]) -> Tensor:
        """Pad chunks on the left and feed them.

        Shapes: ids (rows, longest chunk); the mask covers the whole cache, holes of earlier padding included.
        """
        longest = max(map(len, chunks))
        device = self.model.device
        ids = torch.zeros(len(chunks), longest, dtype=torch.long)
        new = torch.zeros_like(ids)
        frames = [RowFrames(shift=shift) for shift in shifts]
        for index, chunk in enumerate(chunks):
            start = longest - len(chunk)
            ids[index, start:] = torch.tensor(chunk.ids, dtype=torch.long)
            new[index, start:] = 1
            frames[index].add(start, chunk.frames)
        return self._extend(ids.to(device), new.to(device), frames)[:, -1]

    def _extend(self, ids: Tensor, new: Tensor, frames: list[RowFrames]) -> Tensor:
        """Append columns to the cache; `new` is 1 where a column counts. Positions skip every hole."""
        start = self.seen.sum(1, keepdim=True)
        positions = (start + new.cumsum(1) - 1).clamp(min=0)
        self.seen = torch.cat([self.seen, new], 1)
        if self.steps is not None:
            return self.steps.step(ids, positions, self.seen)
        return self.model.hidden(
            ids,
            frames=frames,
            attention_mask=self.seen,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )

    def reply(self, hidden: Tensor, awake: list[int]) -> None:
        """Sample this turn's reply of every row whose `awake` is 1, token by token, until all have ended."""
        for row, is_awake in zip(self.rows, awake, strict=True):
            row.reply = [] if is_awake else row.reply
        if not self.config.compile:
            self._sample(hidden, awake)
            return
        self.steps = fixed_steps(self.model)
        self.steps.begin(self.cache, tokens=self.config.max_new_tokens)
        self._sample(hidden, awake)
        self.steps.end(self.cache, self.seen.shape[1])
        self.steps = None

    def _sample(self, hidden: Tensor, awake: list[int]) -> None:
        behind = [RowFrames(shift=row.shift) for row in self.rows]
        active = torch.tensor(awake, device=self.model.device)
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
            hidden = self._extend(sampled[:, None], active[:, None], behind)[:, -1]
            if is_last or not still.any():
                return
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
