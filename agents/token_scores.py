"""What a model says of the tokens it wrote: the training forward of PPO, which forwards what rows share only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .batching import predict
from .frames import RowFrames, pack_frames
from .model import LanguageModel
from .prefix_sharing import PrefixTree, enable_sharing

__all__ = ["TokenScores", "score_tokens"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """What a model says of the written tokens of some rows, in row-major order.

    `log_probs` (tokens,) of the written ids and `entropy` (tokens,) of what they were drawn from, in nats; `hidden`
    (tokens, hidden_size), the states that they came from; `forwarded` tokens went through the model for it.
    """

    log_probs: Tensor
    entropy: Tensor
    hidden: Tensor
    forwarded: int


def score_tokens(
    model: LanguageModel,
    ids: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    frames: Sequence[RowFrames] | None = None,
) -> TokenScores:
    """Score the written tokens of some rows, forwarding once what rows have in common.

    Args:
        model: the policy; one whose attention cannot be packed forwards every row by itself.
        ids: (batch, length) int64, padded on the right.
        mask: (batch, length), 1 where a token was written by the policy; each row has one, and not in the first column.
        temperature: that the tokens were drawn at.
        frames: those among each row's tokens, for a model that sees.
    """
    if frames is not None and not any(row.placed for row in frames):
        frames = None
    if not enable_sharing(model.lm):
        logits, hidden, written = predict(model, ids, mask, frames)
        each = torch.arange(len(written), device=ids.device)
        return TokenScores(*_scores(logits / temperature, written, each), hidden, ids.numel())
    is_written = mask.bool().cpu()
    last = [int(row.nonzero()[-1]) for row in is_written]  # nothing is read at or behind the last written token
    rows = [row[:end] for row, end in zip(ids.tolist(), last, strict=True)]
    tree = PrefixTree(rows if frames is None else [seen.named(row) for seen, row in zip(frames, rows, strict=True)])
    states = _forward(model, ids, tree, frames)
    before = torch.cat([at[row[1 : end + 1]] for at, row, end in zip(tree.places, is_written, last, strict=True)])
    distinct, place = before.to(ids.device).unique(return_inverse=True)
    logits = model.logits(states[distinct]) / temperature
    return TokenScores(*_scores(logits, ids[mask.bool()], place), states[distinct][place], len(tree))


def _scores(logits: Tensor, written: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies, (tokens,) each; token i was drawn from row `place[i]` of the logits."""
    log_probs = torch.log_softmax(logits, -1)
    return log_probs[place, written], -(log_probs.exp() * log_probs).sum(-1)[place]


def _forward(model: LanguageModel, ids: Tensor, tree: PrefixTree, frames: Sequence[RowFrames] | None) -> Tensor:
    """Hidden states of a tree's packed tokens: (tokens, hidden_size)."""
    options = tree.forward_options(ids.device)
    if frames is not None:
        packed, positions = pack_frames(frames, tree.rows, tree.columns)
        options |= {"frames": [packed], "position_ids": positions.to(ids.device)}
    return model.hidden(ids[tree.rows.to(ids.device), tree.columns.to(ids.device)][None], **options)[0]
