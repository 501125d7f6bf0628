"""The critic's side of PPO: what the policy's passes leave for it, and its fit to an iteration's returns.

The critic is the model's value head, a small MLP. It reads hidden states that were computed for the policy's loss
anyway, detached from it: so many steps of it cost next to nothing, and none of them moves the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .losses import clipped_value_loss
from .model import LanguageModel
from .ppo_batch import Batch
from .ppo_config import PPOConfig
from .processes import Processes

__all__ = ["CriticStates", "fit_critic"]


@dataclass(slots=True)
class CriticStates:
    """What the critic is fitted to, a part for each pass: (tokens, hidden_size), and twice (tokens,)."""

    hidden: list[Tensor] = field(default_factory=list)
    old_values: list[Tensor] = field(default_factory=list)
    returns: list[Tensor] = field(default_factory=list)

    def add(self, rows: Batch, hidden: Tensor) -> None:
        """Keep the hidden states (tokens, hidden_size) of the sampled tokens of some rows."""
        sampled = rows.mask.bool()
        self.hidden.append(hidden.detach())
        self.old_values.append(rows.values[sampled])
        self.returns.append(rows.returns[sampled])


def fit_critic(
    model: LanguageModel,
    states: CriticStates,
    batch: Batch,
    config: PPOConfig,
    *,
    take_step: Callable[[], object],
    processes: Processes,
) -> dict[str, float]:
    """Fit a model's critic to an iteration's returns, in `config.critic_steps` steps over all sampled tokens.

    Args:
        model: whose value head is trained.
        states: of this process's episodes; none where all of its questions were left out.
        batch: the episodes of all processes.
        config: steps, and how far a value may move in an iteration before its error no longer shrinks.
        take_step: steps the optimiser of the value head on the gradients of all processes.
        processes: that train together.

    Returns:
        `train/value_loss`, before the first step, and `train/explained_variance`, what share of the returns' variance
        the values of sampling time explained.
    """
    sampled = batch.mask.bool()
    count = int(sampled.sum())
    first = 0.0
    if states.hidden:
        hidden, old, returns = (torch.cat(parts) for parts in (states.hidden, states.old_values, states.returns))
    for step in range(config.critic_steps):
        if states.hidden:
            errors = clipped_value_loss(model.value_head(hidden), old, returns, clip=config.value_clip)
            loss = errors.sum() / count
            first = loss.item() if step == 0 else first
            loss.backward()
        take_step()
    first = sum(processes.gather(lambda: first))
    variance = float(batch.returns[sampled].var(correction=0))
    error = float((batch.returns - batch.values)[sampled].var(correction=0))
    explained = 1.0 - error / variance if variance > 0 else 0.0
    return {"train/value_loss": first, "train/explained_variance": explained}
