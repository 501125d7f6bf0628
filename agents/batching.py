"""Token sequences with a loss mask, padded into batches; the training forward that reads only sampled positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import LanguageModel
from .prefix_sharing import PrefixTree, enable_sharing

__all__ = ["Example", "TokenScores", "pad", "predict", "score_tokens", "sharing_batches", "token_batches"]


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


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """What a model says of the written tokens of some rows, in row-major order.

    `log_probs` (tokens,) of the written ids and `entropy` (tokens,) of what they were drawn from, in nats; `hidden`
    (tokens, hidden_size), the states that they came from.
    """

    log_probs: Tensor
    entropy: Tensor
    hidden: Tensor


def score_tokens(model: LanguageModel, ids: Tensor, mask: Tensor, *, temperature: float = 1.0) -> TokenScores:
    """Score the written tokens of some rows, forwarding once what rows have in common.

    Args:
        model: the policy; one whose attention cannot be packed forwards every row by itself.
        ids: (batch, length) int64, padded on the right.
        mask: (batch, length), 1 where a token was written by the policy; each row has one, and not in the first column.
        temperature: that the tokens were drawn at.
    """
    if not enable_sharing(model.lm):
        logits, hidden, written = predict(model, ids, mask)
        return TokenScores(
            *_scores(logits / temperature, written, torch.arange(len(written), device=ids.device)), hidden
        )
    is_written = mask.bool().cpu()
    last = [int(row.nonzero()[-1]) for row in is_written]
    tree = PrefixTree([row[:end] for row, end in zip(ids.tolist(), last, strict=True)])
    packed = ids[tree.rows.to(ids.device), tree.columns.to(ids.device)]
    states = model.hidden(packed[None], **tree.forward_options(ids.device))[0]
    before = torch.cat([at[row[1 : end + 1]] for at, row, end in zip(tree.places, is_written, last, strict=True)])
    distinct, place = before.to(ids.device).unique(return_inverse=True)
    logits = model.logits(states[distinct]) / temperature
    return TokenScores(*_scores(logits, ids[mask.bool()], place), states[before.to(ids.device)])


def _scores(logits: Tensor, written: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies, (tokens,) each; token i was drawn from row `place[i]` of the logits."""
    log_probs = torch.log_softmax(logits, -1)
    return log_probs[place, written], -(log_probs.exp() * log_probs).sum(-1)[place]


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
