"""Optimisers of the tiny model: Muon for the matrices inside the layers, AdamW for embeddings, norms and biases.

Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix. At the rates tried, the look-up
curriculum stalled with it from the tiny model's structured initialisation, so AdamW is the default everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

__all__ = ["OptimizerGroup", "adamw", "muon_adamw"]


@dataclass(slots=True)
class OptimizerGroup:
    """Several optimisers that step as one; `scale` multiplies every learning rate for a schedule."""

    optimizers: Sequence[Optimizer]
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        """Remember the learning rates that schedules scale."""
        for group in self._groups():
            group.setdefault("initial_lr", group["lr"])

    @property
    def weights(self) -> list[Tensor]:
        """What is trained, in an order that is the same in every process."""
        return [weight for group in self._groups() for weight in group["params"]]

    def step(self, *, scale: float = 1.0) -> float:
        """Clip the gradients, step, and clear them; a gradient that is not finite skips the step.

        Returns:
            The gradient norm before clipping; `nan` or `inf` tells that the step was skipped.
        """
        weights = [weight for weight in self.weights if weight.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(weights, self.clip_norm))
        if torch.isfinite(torch.tensor(norm)):
            for group in self._groups():
                group["lr"] = group["initial_lr"] * scale
            for optimizer in self.optimizers:
                optimizer.step()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of every optimiser, in order."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Restore what `state_dict` gave."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)

    def _groups(self) -> Iterable[dict[str, Any]]:
        return (group for optimizer in self.optimizers for group in optimizer.param_groups)


def adamw(
    *modules: nn.Module, lr: float, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.95)
) -> OptimizerGroup:
    """Plain AdamW over modules."""
    weights = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    return OptimizerGroup([AdamW(weights, lr=lr, betas=betas, weight_decay=weight_decay)])


def muon_adamw(lm: nn.Module, *, lr: float, weight_decay: float = 0.01) -> OptimizerGroup:
    """Muon at 10 x `lr` for the layers' matrices, AdamW at 2 x `lr` for the rest (tied embeddings among it)."""
    named = [(name, weight) for name, weight in lm.named_parameters() if weight.requires_grad]
    inner = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name and "lm_head" not in name]
    chosen = set(map(id, inner))
    rest = [weight for _, weight in named if id(weight) not in chosen]
    return OptimizerGroup(
        [
            Muon(inner, lr=10 * lr, momentum=0.95, nesterov=True, weight_decay=weight_decay),
            AdamW(rest, lr=2 * lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
    )
