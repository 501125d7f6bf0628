"""The tensors that an iteration trains on: rollouts padded side by side, with the advantages of what was sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from .advantages import gae, group_relative, leave_one_out, whiten
from .batching import pad, sharing_batches
from .frames import RowFrames
from .guards import TrainingDiverged
from .ppo_config import PPOConfig
from .sampler import Rollout
from .trajectory import TokenRecord

__all__ = ["Batch", "differing", "make_batch", "scorable"]


@dataclass(slots=True)
class Batch:
    """An iteration's rollouts as padded tensors, all (episodes, length).

    `mask` is 1 where a token was sampled; `log_probs` are those of sampling and `reference` those of the reference;
    `values` are the critic's at sampling time; `weights` say how much a token
    counts in the loss of its minibatch; `groups` name the question that a row is a sample of, `frames` are what it saw.
    Where several processes train together, each has all of it but the frames of rows that are not `is_own`.
    """

    ids: Tensor
    mask: Tensor
    log_probs: Tensor
    reference: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    weights: Tensor
    lengths: list[int]
    groups: list[str]
    frames: list[RowFrames]
    is_own: list[bool]

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.lengths)

    def rows(self, index: Sequence[int]) -> Batch:
        """Some episodes, cut to the longest among them."""
        longest = max((self.lengths[row] for row in index), default=0)
        columns = (
            *(self.ids, self.mask, self.log_probs, self.reference),
            *(self.values, self.advantages, self.returns, self.weights),
        )
        picked = [column[list(index), :longest] for column in columns]
        lists = (self.lengths, self.groups, self.frames, self.is_own)
        return Batch(*picked, *([column[row] for row in index] for column in lists))

    def own(self, index: Sequence[int]) -> list[int]:
        """Those of some rows that this process played: it forwards no others."""
        return [row for row in index if self.is_own[row]]

    def minibatches(self, count: int, random: Random) -> Iterator[list[int]]:
        """Split the rows into at most `count` parts, in random order of their questions.

        Samples of one question stay together as far as parts of equal size allow: they share a forward pass.
        """
        rows: dict[str, list[int]] = {}
        for row, group in enumerate(self.groups):
            rows.setdefault(group, []).append(row)
        names = list(rows)
        random.shuffle(names)
        order = [row for name in names for row in rows[name]]
        size = -(-len(order) // count)
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def micro_batches(self, chosen: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
        """Split rows into runs that one forward pass takes, what they share counted once."""
        numbers: dict[int, int] = {}  # frames are numbered as they come: their names differ from process to process
        rows = [
            [name if name >= 0 else numbers.setdefault(name, -1 - len(numbers)) for name in seen.named(row[:length])]
            for row, length, seen in zip(self.ids.tolist(), self.lengths, self.frames, strict=True)
        ]
        return sharing_batches(rows, max_tokens=max_tokens, order=chosen)


def differing(rollouts: Sequence[Rollout], config: PPOConfig) -> list[Rollout]:
    """The rollouts without the questions whose samples all fared alike: against each other they say nothing."""
    if config.filtered_by == "off":
        return list(rollouts)
    fared: dict[str, set[float]] = {}
    for rollout in rollouts:
        trajectory = rollout.trajectory
        is_scored = config.filtered_by == "accuracy" and trajectory.score is not None
        measure = trajectory.score if is_scored else trajectory.reward
        fared.setdefault(trajectory.episode_id, set()).add(round(measure, 6))
    return [rollout for rollout in rollouts if len(fared[rollout.trajectory.episode_id]) > 1]


def scorable(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The episodes that came to an end; a fault of the infrastructure is never a reward of 0.

    Raises:
        TrainingDiverged: there is none.
    """
    ended = [rollout for rollout in rollouts if not rollout.trajectory.is_error]
    if not ended:
        faults = {f"{rollout.trajectory.status} ({rollout.trajectory.error})" for rollout in rollouts}
        raise TrainingDiverged(f"wanted episodes to train on, but all of the iteration's failed: {sorted(faults)[0]}")
    return ended


def make_batch(rollouts: Sequence[Rollout], config: PPOConfig, device: torch.device) -> Batch:
    """Pad the rollouts and estimate advantages. Running out of budget ends an episode: nothing is bootstrapped.

    Raises:
        TrainingDiverged: one has no sampled tokens.
    """
    records = [_tokens(rollout) for rollout in rollouts]
    for record in records:
        record.check()
    mask = pad([record.mask for record in records], dtype=torch.float32)
    values = torch.zeros_like(mask)
    values[mask.bool()] = torch.tensor([value for rollout in rollouts for value in rollout.values])
    advantages, returns = _estimate(rollouts, values, mask, config)
    columns = {
        "ids": pad([record.ids for record in records], dtype=torch.long),
        "mask": mask,
        "log_probs": pad([record.log_probs for record in records], dtype=torch.float32),
        "reference": torch.zeros_like(mask),
        "values": values,
        "advantages": advantages,
        "returns": returns,
        "weights": torch.zeros_like(mask),
    }
    return Batch(
        **{name: column.to(device) for name, column in columns.items()},
        lengths=[len(record) for record in records],
        groups=[rollout.trajectory.episode_id for rollout in rollouts],
        frames=[rollout.frames for rollout in rollouts],
        is_own=[rollout.is_own for rollout in rollouts],
    )


def _estimate(rollouts: Sequence[Rollout], values: Tensor, mask: Tensor, config: PPOConfig) -> tuple[Tensor, Tensor]:
    """Advantages and, for the critic, returns: (episodes, length) each, zero where mask is 0."""
    groups = [rollout.trajectory.episode_id for rollout in rollouts]
    totals = [rollout.trajectory.reward for rollout in rollouts]
    if config.uses_critic:
        turn = pad([_tokens(rollout).turn for rollout in rollouts], dtype=torch.long, fill=-1)
        rewards = token_rewards(rollouts)
        if config.compares_samples:
            for row, baseline in zip(rewards, leave_one_out(totals, groups), strict=True):
                row[-1] -= baseline  # a record ends on a sampled token
        given = pad(rewards, dtype=torch.float32)
        advantages, returns = gae(given, values, mask, turn, discounts=config.discounts)
        return whiten(advantages, mask), returns
    if config.estimator == "grpo":
        scalars = group_relative(totals, groups, scale_by_std=config.scale_by_std)
    else:
        scalars = [total - base for total, base in zip(totals, leave_one_out(totals, groups), strict=True)]
    return torch.tensor(scalars)[:, None] * mask, torch.zeros_like(mask)


def token_rewards(rollouts: Sequence[Rollout]) -> list[list[float]]:
    """Each turn's reward at the last token that the turn sampled; zero elsewhere."""
    rows = []
    for rollout in rollouts:
        record = _tokens(rollout)
        rewards = [0.0] * len(record)
        last = {turn: position for position, turn in enumerate(record.turn) if turn >= 0}
        for number, turn in enumerate(rollout.trajectory.turns):
            rewards[last[number]] += turn.reward
        rows.append(rewards)
    return rows


def _tokens(rollout: Rollout) -> TokenRecord:
    record = rollout.trajectory.tokens
    if record is None:
        raise TrainingDiverged(f"wanted sampled tokens, episode {rollout.trajectory.episode_id!r} has none")
    return record
