"""The guard that looks at an iteration's first minibatch before any update: do sampler and trainer see the same?

The passes of the update serve as the look, so it costs no forward pass of its own but where a model that sees frames is
tried, once a process: how frames reach a model does not change while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor

from .guards import check_sight, log_prob_gap, permuted
from .model import LanguageModel
from .ppo_batch import Batch
from .processes import Processes
from .token_scores import TokenScores

__all__ = ["FirstLook", "Look", "Score"]

GUARDED_EPISODES: Final = 4

Score = Callable[[Batch], TokenScores]
"""The training forward of the policy over some rows."""


class Look(NamedTuple):
    """Log-probabilities (tokens,) of a few episodes: in training, in sampling, and in training with frames permuted."""

    trained: Tensor
    sampled: Tensor
    permuted: Tensor | None

    @classmethod
    def at(cls, rows: Batch, scores: TokenScores) -> Look:
        """What a training pass over some rows showed."""
        return cls(scores.log_probs.detach().cpu(), rows.log_probs[rows.mask.bool()].cpu(), None)


class FirstLook:
    """Compares the log-probabilities of sampling with those of training, before the model has changed."""

    def __init__(self, model: LanguageModel, processes: Processes) -> None:
        """Guard a model that some processes train together."""
        self._model, self._processes = model, processes
        self._has_seen = not model.needs_frames

    def check(self, batch: Batch, looks: Sequence[Look | None], score: Score) -> float:
        """The mean gap between them.

        Every process looked at some rows of its own, and all judge what each of them saw.

        Args:
            batch: the iteration's episodes.
            looks: what each process saw in the first minibatch, by rank; None where it had no row there.
            score: of the model.

        Raises:
            TrainingDiverged: sampler and trainer disagree, or the model does not see its frames.
        """
        own = looks[self._processes.rank]
        told = [look for look in self._processes.gather(partial(self._complete, batch, own, score)) if look is not None]
        gap = max(log_prob_gap(look.trained, look.sampled, self._model.lm.dtype) for look in told)
        for look in told:
            if look.permuted is not None:
                check_sight(look.trained, look.permuted)
        return gap

    @torch.no_grad()
    def _complete(self, batch: Batch, seen: Look | None, score: Score) -> Look | None:
        """What this process saw; scores a few rows of its own where it saw none, or where frames are to be permuted."""
        few = batch.rows(batch.own(range(len(batch)))[:GUARDED_EPISODES])
        others = few.frames if self._has_seen else [permuted(frames) for frames in few.frames]
        is_trial = [frames.placed for frames in others] != [frames.placed for frames in few.frames]
        if not few.lengths or (seen is not None and not is_trial):
            return seen
        look = Look.at(few, score(few))
        if not is_trial:
            return look
        self._has_seen = True
        return look._replace(permuted=score(replace(few, frames=others)).log_probs.cpu())
