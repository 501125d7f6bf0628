"""The terms of the PPO objective over sampled tokens, as pure functions.

Every function takes flat tensors of the sampled tokens of a minibatch, shape (tokens,), and returns per-token terms of
that shape. The loss is their sum weighted by `token_weights`, which are made once for a whole minibatch, so
micro-batches of it add up exactly.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

__all__ = [
    "MAX_LOG_RATIO",
    "Aggregation",
    "KLKind",
    "clipped_surrogate",
    "clipped_value_loss",
    "entropy",
    "kl_estimate",
    "token_weights",
]

Aggregation = Literal["dapo", "token", "sequence", "constant"]
KLKind = Literal["k1", "k2", "k3"]

MAX_LOG_RATIO: Final = 20.0  # exp(20) is finite in fp32; one broken log-probability must not become an infinity


def clipped_surrogate(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = 3.0,
) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7) with asymmetric bounds and dual clip, negated to be a loss.

    Args:
        log_probs: (tokens,) under the policy being trained.
        old_log_probs: (tokens,) under the policy that sampled.
        advantages: (tokens,)
        clip_low: the ratio may fall to 1 - clip_low.
        clip_high: the ratio may rise to 1 + clip_high ("clip-higher", arXiv 2503.14476, section 3.1).
        dual_clip: bound on the loss of a negative advantage (arXiv 1912.09729, eq. 5); above 1, or None for no bound.

    Returns:
        The loss (tokens,) and whether each token was clipped (bool, tokens).
    """
    log_ratio = (log_probs - old_log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio = log_ratio.exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss = torch.maximum(plain, clipped)
    if dual_clip is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -advantages * dual_clip), loss)
    return loss, clipped > plain


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the squared error of the critic, of the value or of it clipped around the old one, the worse: (tokens,)."""
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor, kind: KLKind = "k3") -> Tensor:
    """An estimate of KL(policy || reference) from tokens of the policy (Schulman 2020, "Approximating KL divergence").

    Args:
        log_probs: (tokens,)
        reference_log_probs: (tokens,)
        kind: `k1`, the log-ratio: unbiased, but as a loss its gradient is zero on average, so it is a measure, or part
            of a reward. `k2`, half its square: biased, but as a loss its gradient on the policy's own samples is that
            of the KL. `k3`: unbiased and never negative; as a loss, near the reference, much like k2.

    Returns:
        (tokens,)
    """
    log_ratio = (reference_log_probs - log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    if kind == "k1":
        return -log_ratio
    return 0.5 * log_ratio**2 if kind == "k2" else log_ratio.exp() - 1.0 - log_ratio


def token_weights(mask: Tensor, aggregation: Aggregation, *, tokens: Tensor, length: int) -> Tensor:
    """How much each token of a minibatch counts in its loss: (episodes, length), 0 where mask is 0.

    Args:
        mask: (episodes, length), 1 where a token was sampled.
        aggregation: `dapo`: tokens weigh alike (DAPO, arXiv 2503.14476, eq. 8), those of other processes included;
            `token`: those of this process; `sequence`: episodes weigh alike, whatever their length (GRPO, arXiv
            2402.03300, eq. 3); `constant`: a token weighs 1 / (episodes * length), whatever the episode's length (Dr.
            GRPO, arXiv 2503.20783).
        tokens: () sampled tokens of the minibatch, over all processes.
        length: of `constant`.
    """
    if aggregation == "dapo":
        return mask / tokens.clamp(min=1)
    if aggregation == "token":
        return mask / mask.sum().clamp(min=1)
    if aggregation == "sequence":
        return mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)
    return mask / (len(mask) * length)


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each row: (tokens, vocab) -> (tokens,)."""
    log_probs = torch.log_softmax(logits, -1)
    return -(log_probs.exp() * log_probs).sum(-1)
