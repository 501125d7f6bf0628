"""Token sequences with a loss mask, padded into batches; the training forward that reads only sampled positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import LanguageModel

__all__ = ["Example", "pad", "predict", "token_batches"]


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation as ids; `mask` is 1 where the policy wrote the token, and so where it is trained."""

    ids: list[int]
    mask: list[int]


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


def predict(model: LanguageModel, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run a batch and read it where the policy wrote: the vocabulary is projected at these positions alone.

    Right padding under a causal mask reaches no earlier position, so no attention mask is needed.

    Args:
        model: the policy.
        ids: (batch, length) int64, padded on the right.
        mask: (batch, length), 1 where a token was written by the policy.

    Returns:
        logits (tokens, vocab) that predict each written token, the hidden states (tokens, hidden) they came from, and
        the written ids (tokens,), in row-major order.
    """
    written = mask[:, 1:].bool()
    hidden = model.hidden(ids)[:, :-1][written]
    return model.logits(hidden), hidden, ids[:, 1:][written]
