"""What stops a training run before it trains on numbers that mean nothing, and what it leaves behind then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from vz_env.errors import VZError

from .checkpoint import write_folder
from .frames import PlacedFrame, RowFrames
from .trajectory import Trajectory, as_plain

__all__ = ["DUMP_FOLDER", "SkipCounter", "TrainingDiverged", "check_sight", "log_prob_gap", "permuted", "write_dump"]

DUMP_FOLDER: Final = "diverged"
LOG_PROB_TOLERANCE: Final = {torch.float32: 1e-4, torch.float64: 1e-4}
"""How far sampler and trainer may differ on average in nats, by the type of the weights."""
_HALF_PRECISION_TOLERANCE: Final = 5e-2
BLIND_CHANGE: Final = 1e-6
"""Log-probabilities that change by no more, in nats, when frames are permuted, do not depend on them."""
MAX_SKIPPED_STEPS: Final = 3


class TrainingDiverged(VZError, RuntimeError):
    """Raised when going on would train on numbers that mean nothing; says which and where to look."""


def log_prob_gap(trained: Tensor, sampled: Tensor, dtype: torch.dtype) -> float:
    """The mean gap between log-probabilities of sampling and of training, before any update.

    Args:
        trained: (tokens,) as the training forward has them.
        sampled: (tokens,) as sampling had them.
        dtype: of the weights, which says how large the gap may be.

    Raises:
        TrainingDiverged: sampler and trainer see different things, or one of them sees nothing.
    """
    gap = float((trained - sampled).abs().mean())
    tolerance = LOG_PROB_TOLERANCE.get(dtype, _HALF_PRECISION_TOLERANCE)
    if not gap <= tolerance:
        raise TrainingDiverged(
            f"the sampler's log-probabilities differ from the trainer's by {gap:.2g} on average, more than "
            f"{tolerance:g}: look for positions, masks or frames that one of them sees and the other does not"
        )
    return gap


def permuted(frames: RowFrames) -> RowFrames:
    """The frames of a row, each in the place of the one before it that takes as many tokens: the ids stay the same."""
    alike: dict[tuple[int, int], list[int]] = {}
    for number, (_, frame) in enumerate(frames.placed):
        alike.setdefault((frame.rows, frame.columns), []).append(number)
    placed = list(frames.placed)
    for numbers in alike.values():
        for number, other in zip(numbers, numbers[1:] + numbers[:1], strict=True):
            placed[number] = PlacedFrame(placed[number].start, frames.placed[other].frame)
    return RowFrames(placed, frames.shift)


def check_sight(trained: Tensor, permuted_frames: Tensor) -> None:
    """Refuse a model that looks at frames and does not see them.

    A model whose image tokens carry no image trains without complaint: the loss falls, on the text alone.

    Args:
        trained: (tokens,) log-probabilities.
        permuted_frames: the same with the frames of each row permuted.

    Raises:
        TrainingDiverged: nothing changed.
    """
    if float((trained - permuted_frames).abs().max()) <= BLIND_CHANGE:
        raise TrainingDiverged(
            "the model is blind: permuting the frames of an episode changed no log-probability; look at how frames "
            "reach the model, and whether its vision tower gives every frame the same features"
        )


@dataclass(slots=True)
class SkipCounter:
    """Counts optimiser steps that were skipped because their gradients were not finite, and stops the run at three."""

    count: int = 0

    def check(self, norm: float, of: str) -> float:
        """Take note of a gradient norm.

        Args:
            norm: as `OptimizerGroup.step` returns it.
            of: what was trained: policy or critic.

        Returns:
            The norm, or 0.0 for a step that was skipped.

        Raises:
            TrainingDiverged: it is one too many.
        """
        if norm < float("inf"):
            return norm
        self.count += 1
        if self.count >= MAX_SKIPPED_STEPS:
            raise TrainingDiverged(
                f"{self.count} steps had gradients that are not finite, the last of the {of}'s; the last checkpoint is "
                "untouched: lower the learning rate and resume"
            )
        return 0.0


def write_dump(folder: Path, reason: str, trajectories: Sequence[Trajectory], state: Mapping[str, Any]) -> None:
    """Keep what a run that stopped was looking at: `reason.json`, and the iteration's episodes as `trajectories.jsonl`.

    Args:
        folder: written anew.
        reason: why it stopped.
        trajectories: with their sampled tokens and log-probabilities.
        state: numbers that help.
    """

    def write(target: Path) -> None:
        target.mkdir(parents=True)
        report = json.dumps(as_plain({"reason": reason, **state}), indent=2, sort_keys=True)
        (target / "reason.json").write_text(report + "\n", encoding="utf-8")
        lines = "".join(trajectory.to_json() + "\n" for trajectory in trajectories)
        (target / "trajectories.jsonl").write_text(lines, encoding="ascii")

    write_folder(folder, write)
