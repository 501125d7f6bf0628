"""The policy's loss of some rows of a batch: scored, clipped against the sampling policy, held near the reference."""

from __future__ import annotations

import torch
from torch import Tensor

from .losses import clipped_surrogate, kl_estimate
from .model import LanguageModel
from .ppo_batch import Batch
from .ppo_config import PPOConfig
from .token_scores import TokenScores, score_tokens

__all__ = ["policy_loss", "score_rows"]


def score_rows(model: LanguageModel, rows: Batch, config: PPOConfig) -> TokenScores:
    """Score the sampled tokens of rows, at the temperature that they were sampled at."""
    return score_tokens(model, rows.ids, rows.mask, temperature=config.temperature, frames=rows.frames)


def policy_loss(
    model: LanguageModel, rows: Batch, config: PPOConfig, *, learns: bool
) -> tuple[Tensor, dict[str, float], TokenScores]:
    """The loss of one micro-batch, its part of the minibatch's.

    Args:
        model: the policy.
        rows: of a batch, with advantages, the reference's log-probabilities and the tokens' weights filled in.
        config: hyper-parameters.
        learns: whether gradients are wanted.

    Returns:
        The loss (scalar); sums over tokens of its terms and of what is watched; the scores.
    """
    sampled = rows.mask.bool()
    old_log_probs, advantages = rows.log_probs[sampled], rows.advantages[sampled]
    with torch.set_grad_enabled(learns):
        scores = score_rows(model, rows, config)
    surrogate, clipped = clipped_surrogate(
        scores.log_probs,
        old_log_probs,
        advantages,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        dual_clip=config.dual_clip,
    )
    kl = kl_estimate(scores.log_probs, rows.reference[sampled], config.kl_kind)
    terms = surrogate + config.kl_coef * kl - config.entropy_coef * scores.entropy
    with torch.no_grad():
        sums = {
            "policy_loss": surrogate.sum(),
            "kl_to_reference": kl.sum(),
            "approx_kl": kl_estimate(scores.log_probs, old_log_probs).sum(),
            "entropy": scores.entropy.sum(),
            "clip_fraction": clipped.sum(),
            "packed_tokens": scores.forwarded,
        }
    return (terms * rows.weights[sampled]).sum(), {name: float(term) for name, term in sums.items()}, scores
