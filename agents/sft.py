"""Supervised fine-tuning on trajectories: the cold start before reinforcement learning.

The loss is the cross-entropy of the tokens that the policy wrote; the mask comes from the trajectory and never from
re-tokenised text. Batches are cut by padded token count, shortest with shortest, so that little of them is padding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch.nn import functional

from vz_env.errors import ConfigError

from .batching import Example, pad, predict, token_batches
from .chat import ChatRenderer
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw, muon_adamw
from .trajectory import Trajectory

__all__ = ["SFTConfig", "SFTProgress", "example_of", "train_sft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Length and pace of SFT.

    `epochs` over the exemplars; `batch_tokens` padded tokens a step; `optimizer` is `adamw` or `muon`; the learning
    rate warms up over `warmup` of the steps and falls along a cosine.
    """

    epochs: int = 6
    batch_tokens: int = 5_000
    lr: float = 7e-4
    warmup: float = 0.05
    optimizer: str = "adamw"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SFTProgress:
    """One optimiser step: the loss in nats a written token, the share of them predicted right, tokens a second."""

    step: int
    steps: int
    loss: float
    accuracy: float
    tokens_per_second: float


def example_of(trajectory: Trajectory, chat: ChatRenderer) -> Example:
    """The token sequence of a trajectory: its sampled ids verbatim where it has them, else its texts rendered once.

    Args:
        trajectory: of a token policy, or of a scripted one that left texts alone.
        chat: the wrapping of the model that will be trained.
    """
    if trajectory.tokens is not None:
        return Example(list(trajectory.tokens.ids), list(trajectory.tokens.mask))
    ids: list[int] = []
    mask: list[int] = []
    for number, turn in enumerate(trajectory.turns):
        shown = chat.next(turn.observation) if number else chat.first(turn.observation)
        written = chat.reply_ids(turn.action)
        ids += shown + written
        mask += [0] * len(shown) + [1] * len(written)
    return Example(ids, mask)


def train_sft(
    model: LanguageModel,
    examples: Sequence[Example],
    config: SFTConfig,
    *,
    on_progress: Callable[[SFTProgress], None] | None = None,
) -> SFTProgress:
    """Train on all examples for `config.epochs` epochs.

    Args:
        model: changed in place.
        examples: token sequences with their loss masks.
        config: pace and length.
        on_progress: called after every step.

    Returns:
        The last step.

    Raises:
        ConfigError: no examples, one with nothing to learn or longer than the context, or an unknown optimiser.
    """
    _check(model, examples)
    optimizer = _optimizer(model, config)
    batches = _schedule(examples, config)
    started, tokens = time.monotonic(), 0
    progress = SFTProgress(0, len(batches), math.nan, 0.0, 0.0)
    model.train()
    for step, batch in enumerate(batches, 1):
        chosen = [examples[index] for index in batch]
        ids = pad([example.ids for example in chosen], dtype=torch.long).to(model.device)
        mask = pad([example.mask for example in chosen], dtype=torch.long).to(model.device)
        logits, _, written = predict(model, ids, mask)
        loss = functional.cross_entropy(logits, written)
        loss.backward()
        done = step / len(batches)
        optimizer.step(scale=min(step / max(1.0, config.warmup * len(batches)), _cosine(done)))
        tokens += ids.numel()
        right = float((logits.argmax(-1) == written).float().mean())
        speed = tokens / (time.monotonic() - started)
        progress = SFTProgress(step, len(batches), loss.item(), right, speed)
        if on_progress is not None:
            on_progress(progress)
    return progress


def _check(model: LanguageModel, examples: Sequence[Example]) -> None:
    """Refuse what would train on nothing, or at positions that the model does not have."""
    if not examples:
        raise ConfigError("SFT wants at least one exemplar, got none: were all of them filtered out?")
    empty = sum(not any(example.mask[1:]) for example in examples)
    if empty:
        raise ConfigError(f"SFT wants tokens of the policy's own in every exemplar, {empty} have none")
    longest = max(len(example.ids) for example in examples)
    if longest > model.max_length:
        raise ConfigError(
            f"SFT wants exemplars within the model's context of {model.max_length} tokens, got one of {longest}: lower "
            "the budget of zooms or frames, or take a model with a longer context"
        )


def _optimizer(model: LanguageModel, config: SFTConfig) -> OptimizerGroup:
    if config.optimizer == "muon":
        return muon_adamw(model.lm, lr=config.lr)
    if config.optimizer == "adamw":
        return adamw(model.lm, lr=config.lr)
    raise ConfigError(f"SFT optimizer wants muon or adamw, got {config.optimizer!r}")


def _cosine(done: float, *, floor: float = 0.02) -> float:
    """From 1 down to `floor` as `done` goes from 0 to 1."""
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def _schedule(examples: Sequence[Example], config: SFTConfig) -> list[list[int]]:
    """Every epoch's batches: examples of like length together, batches in random order."""
    random = Random(config.seed)
    lengths = [len(example.ids) for example in examples]
    schedule: list[list[int]] = []
    for _ in range(config.epochs):
        order = sorted(range(len(examples)), key=lambda index: (lengths[index] // 64, random.random()))
        batches = list(token_batches(lengths, max_tokens=config.batch_tokens, order=order))
        random.shuffle(batches)
        schedule += batches
    return schedule
