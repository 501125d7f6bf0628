"""Advantages over sampled tokens: generalised advantage estimation inside and across turns, or group against group.

Pure functions on padded batches. Tokens that the environment wrote (mask 0) are skipped, not discounted through: the
estimate is the same however long an observation is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

__all__ = ["Discounts", "gae", "group_relative", "leave_one_out", "whiten"]


@dataclass(frozen=True, slots=True)
class Discounts:
    """Discounts of `gae`: `gamma` and `lam` between tokens of one turn, the others from one turn to the next.

    The defaults make every token of a turn share the turn's estimate, with a baseline per token.
    """

    gamma: float = 1.0
    lam: float = 1.0
    turn_gamma: float = 1.0
    turn_lam: float = 0.95


def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    turn: Tensor,
    *,
    discounts: Discounts,
    bootstrap: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16) over sampled tokens.

    Args:
        rewards: (batch, length), what the environment paid, at the last sampled token of a turn.
        values: (batch, length), the critic's value of the state each token was sampled in.
        mask: (batch, length), 1 where a token was sampled.
        turn: (batch, length), the number of the turn that sampled the token; ignored where mask is 0.
        discounts: inside and across turns.
        bootstrap: (batch,), value of the state after the last token; zeros when None (the episode terminated).

    Returns:
        Advantages and returns (advantage + value), both (batch, length), zero where mask is 0.
    """
    batch, length = values.shape
    advantages = torch.zeros_like(values)
    next_value = values.new_zeros(batch) if bootstrap is None else bootstrap.clone()
    next_advantage = values.new_zeros(batch)
    next_turn = turn.new_full((batch,), -1)
    gammas = values.new_tensor([discounts.gamma, discounts.turn_gamma])
    lams = values.new_tensor([discounts.lam, discounts.turn_lam])
    for position in reversed(range(length)):
        sampled = mask[:, position].bool()
        crosses = ((next_turn >= 0) & (next_turn != turn[:, position])).long()
        gamma, lam = gammas[crosses], lams[crosses]
        value = values[:, position]
        delta = rewards[:, position] + gamma * next_value - value
        advantage = delta + gamma * lam * next_advantage
        advantages[:, position] = torch.where(sampled, advantage, 0.0)
        next_value = torch.where(sampled, value, next_value)
        next_advantage = torch.where(sampled, advantage, next_advantage)
        next_turn = torch.where(sampled, turn[:, position], next_turn)
    return advantages, (advantages + values) * mask


def leave_one_out(rewards: Sequence[float], groups: Sequence[str]) -> list[float]:
    """The mean reward of each episode's group without it (RLOO, Ahmadian et al. 2024, arXiv 2402.14740, eq. 7).

    It does not depend on the episode's own actions, so subtracting it leaves the policy gradient unbiased.

    Args:
        rewards: n episode rewards.
        groups: n names; episodes of one question share a name.

    Returns:
        n baselines; 0.0 for an episode that is alone in its group.
    """
    earned: defaultdict[str, list[float]] = defaultdict(list)
    for reward, group in zip(rewards, groups, strict=True):
        earned[group].append(reward)
    return [
        (sum(earned[group]) - reward) / max(1, len(earned[group]) - 1)
        for reward, group in zip(rewards, groups, strict=True)
    ]


def group_relative(
    rewards: Sequence[float], groups: Sequence[str], *, scale_by_std: bool = True, eps: float = 1e-6
) -> list[float]:
    """Rewards against the mean of their group, in its standard deviations (GRPO, arXiv 2402.03300, section 4.1.2).

    Args:
        rewards: n episode rewards.
        groups: n names; episodes of one question share a name.
        scale_by_std: whether to divide by the group's standard deviation, with n - 1 in its denominator.
        eps: added to the deviation.

    Returns:
        n advantages; 0.0 for an episode that is alone in its group.
    """
    earned: defaultdict[str, list[float]] = defaultdict(list)
    for reward, group in zip(rewards, groups, strict=True):
        earned[group].append(reward)
    scale = {
        group: 1.0 / (stdev(alike) + eps) if scale_by_std and len(alike) > 1 else 1.0 for group, alike in earned.items()
    }
    return [(reward - fmean(earned[group])) * scale[group] for reward, group in zip(rewards, groups, strict=True)]


def whiten(advantages: Tensor, mask: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1 over sampled tokens; 0 elsewhere. Same shape."""
    count = mask.sum().clamp(min=1)
    mean = (advantages * mask).sum() / count
    variance = ((advantages - mean) ** 2 * mask).sum() / count
    return (advantages - mean) * torch.rsqrt(variance + eps) * mask
