"""The terms of the PPO objective over sampled tokens, as pure functions.

Every function takes flat tensors of the sampled tokens of a minibatch, shape (tokens,), and returns per-token terms of
that shape; the trainer divides their sum by the token count of the whole batch, so that long and short episodes weigh
by their tokens (DAPO's aggregation, arXiv 2503.14476, eq. 8) and micro-batches add up exactly.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["MAX_LOG_RATIO", "clipped_surrogate", "clipped_value_loss", "entropy", "kl_k3"]

MAX_LOG_RATIO: Final = 20.0  # exp(20) is finite in fp32; one broken log-probability must not become an infinity


def clipped_surrogate(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float = 3.0,
) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7) with asymmetric bounds and dual clip, negated to be a loss.

    Args:
        log_probs: (tokens,) under the policy being trained.
        old_log_probs: (tokens,) under the policy that sampled.
        advantages: (tokens,)
        clip_low: the ratio may fall to 1 - clip_low.
        clip_high: the ratio may rise to 1 + clip_high ("clip-higher", arXiv 2503.14476, section 3.1).
        dual_clip: bound on the loss of a negative advantage (arXiv 1912.09729, eq. 5); above 1.

    Returns:
        The loss (tokens,) and whether each token was clipped (bool, tokens).
    """
    log_ratio = (log_probs - old_log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio = log_ratio.exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss = torch.maximum(plain, clipped)
    bounded = torch.minimum(loss, -advantages * dual_clip)
    return torch.where(advantages < 0, bounded, loss), clipped > plain


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the squared error of the critic, of the value or of it clipped around the old one, the worse: (tokens,)."""
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def kl_k3(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """The k3 estimate of KL(policy || reference), never negative (Schulman 2020, "Approximating KL divergence")."""
    log_ratio = (reference_log_probs - log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return log_ratio.exp() - 1.0 - log_ratio


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each row: (tokens, vocab) -> (tokens,)."""
    log_probs = torch.log_softmax(logits, -1)
    return -(log_probs.exp() * log_probs).sum(-1)
