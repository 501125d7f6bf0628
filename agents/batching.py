"""Token sequences with a loss mask, padded into batches; the training forward that reads only sampled positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .frames import RowFrames
from .model import LanguageModel

__all__ = ["Example", "pad", "predict", "sharing_batches", "token_batches"]


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation as ids; `mask` is 1 where the policy wrote the token, and so where it is trained.

    `frames` are those among the ids, for a model that sees.
    """

    ids: list[int]
    mask: list[int]
    frames: RowFrames = field(default_factory=RowFrames)


def pad(rows: Sequence[Sequence[float]], *, dtype: torch.dtype, fill: float = 0) -> Tensor:
    """Pad rows on the right to the longest: (batch, length)."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=dtype)


def token_batches(lengths: Sequence[int], *, max_tokens: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Split `order` into runs whose padded size stays within `max_tokens` (one example at least each)."""
    run: list[int] = []
    longest = 0
    for index in order:
        wider = max(longest, lengths[index])
        if run and wider * (len(run) + 1) > max_tokens:
            yield run
            run, wider = [], lengths[index]
        run.append(index)
        longest = wider
    if run:
        yield run


def predict(
    model: LanguageModel, ids: Tensor, mask: Tensor, frames: Sequence[RowFrames] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a batch and read it where the policy wrote: the vocabulary is projected at these positions alone.

    Right padding under a causal mask reaches no earlier position, so no attention mask is needed.

    Args:
        model: the policy.
        ids: (batch, length) int64, padded on the right.
        mask: (batch, length), 1 where a token was written by the policy.
        frames: of each row, for a model that sees.

    Returns:
        logits (tokens, vocab) that predict each written token, the hidden states (tokens, hidden) they came from, and
        the written ids (tokens,), in row-major order.
    """
    written = mask[:, 1:].bool()
    hidden = model.hidden(ids, frames=frames)[:, :-1][written]
    return model.logits(hidden), hidden, ids[:, 1:][written]


def sharing_batches(rows: Sequence[Sequence[int]], *, max_tokens: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Split rows into runs that take at most `max_tokens` once packed (one row at least each), like beside like.

    Args:
        rows: ids.
        max_tokens: distinct prefixes in a run.
        order: the rows to split.
    """
    run: list[int] = []
    size = 0
    for index in sorted(order, key=lambda row: (list(rows[row]), row)):
        more = len(rows[index])
        if run and size + (new := more - _common(rows[run[-1]], rows[index])) <= max_tokens:
            size += new
        else:
            if run:
                yield run
            run, size = [], more
        run.append(index)
    if run:
        yield run


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
