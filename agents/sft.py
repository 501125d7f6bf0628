"""Supervised fine-tuning on trajectories: the cold start before reinforcement learning.

The loss is the cross-entropy of the tokens that the policy wrote; the mask comes from the trajectory and never from
re-tokenised text. Batches are cut by padded token count, shortest with shortest, so that little of them is padding: 3%
of the demo's. Every random choice derives from (seed, step), so a run that is resumed from a checkpoint ends in the
same weights as one that was never stopped. Several processes divide every batch among them, and sum their gradients.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import torch
from torch.nn import functional

from vz_env.errors import ConfigError

from .batching import Example, pad, predict, token_batches
from .chat import ChatRenderer
from .checkpoint import Checkpoints
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw, muon_adamw
from .processes import ALONE, Processes
from .repairs import first_own_turn
from .schedules import rate_scale
from .trajectory import Trajectory

__all__ = ["SFTConfig", "SFTProgress", "example_of", "padding_share", "train_sft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Length and pace of SFT."""

    epochs: int = 2
    """Times over the exemplars."""
    batch_tokens: int = 5_000
    """Padded tokens a step."""
    lr: float = 7e-4
    """The highest learning rate; it falls along a cosine."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""
    optimizer: str = "adamw"
    """adamw or muon."""
    checkpoint_every: int = 200
    """Steps between checkpoints, where there is a folder for them; 0: none."""
    seed: int = 0
    """Of the order of examples, and of dropout where a model has it."""


@dataclass(frozen=True, slots=True)
class SFTProgress:
    """One optimiser step: the loss in nats a written token, the share of them predicted right, tokens a second."""

    step: int
    steps: int
    loss: float
    accuracy: float
    tokens_per_second: float


def example_of(trajectory: Trajectory, chat: ChatRenderer, *, mask_student: bool = True) -> Example:
    """The token sequence of a trajectory: its sampled ids verbatim where it has them, else its texts rendered once.

    Args:
        trajectory: of a token policy, or of a scripted one that left texts alone.
        chat: the wrapping of the model that will be trained.
        mask_student: whether the loss leaves out what a student did wrong before a teacher took over (`reflection`).
    """
    first = first_own_turn(trajectory) if mask_student else 0
    if trajectory.tokens is not None:
        tokens = trajectory.tokens
        own = [mask if turn >= first else 0 for mask, turn in zip(tokens.mask, tokens.turn, strict=True)]
        return Example(list(tokens.ids), own)
    ids: list[int] = []
    mask: list[int] = []
    for number, turn in enumerate(trajectory.turns):
        shown = chat.next(turn.observation) if number else chat.first(turn.observation)
        written = chat.reply_ids(turn.action)
        ids += shown + written
        mask += [0] * len(shown) + [int(number >= first)] * len(written)
    return Example(ids, mask)


def train_sft(
    model: LanguageModel,
    examples: Sequence[Example],
    config: SFTConfig,
    *,
    checkpoints: Checkpoints | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[SFTProgress], None] | None = None,
    processes: Processes = ALONE,
) -> SFTProgress:
    """Train on all examples for `config.epochs` epochs.

    Args:
        model: changed in place.
        examples: token sequences with their loss masks.
        config: pace and length.
        checkpoints: where to write one every `config.checkpoint_every` steps, and to go on from the newest.
        should_stop: asked after every step; once true, a checkpoint is written and the call returns.
        on_progress: called after every step.
        processes: that train together, all called with the same; the main one writes checkpoints.

    Returns:
        The last step; its number is less than `steps` only when stopped.

    Raises:
        ConfigError: no examples, one with nothing to learn or longer than the context, an unknown optimiser, or a
            checkpoint of other examples or another configuration.
    """
    _check(model, examples)
    optimizer = _optimizer(model, config)
    batches = _schedule(examples, config)
    run = _digest(examples, config) if checkpoints is not None else ""
    first = _resume(checkpoints, model, optimizer, run)
    started, tokens = time.monotonic(), 0
    progress = SFTProgress(first, len(batches), math.nan, 0.0, 0.0)
    model.train()
    for step, batch in enumerate(batches[first:], first + 1):
        with _seeded(config.seed, step):
            loss, right, count = _step(model, [examples[index] for index in batch], processes)
        processes.sum_gradients(optimizer.weights)
        rise = step / max(1.0, config.warmup * len(batches))
        optimizer.step(scale=rate_scale("cosine", step / len(batches), rise=rise))
        tokens += count
        speed = tokens / (time.monotonic() - started)
        progress = SFTProgress(step, len(batches), loss, right, speed)
        if on_progress is not None:
            on_progress(progress)
        is_stopped = step < len(batches) and any(processes.gather(should_stop))
        is_due = config.checkpoint_every > 0 and step % config.checkpoint_every == 0
        if checkpoints is not None and (is_stopped or is_due):
            processes.first(partial(checkpoints.save, step, model, {"policy": optimizer}, {"run": run}))
        if is_stopped:
            break
    return progress


def _step(model: LanguageModel, chosen: Sequence[Example], processes: Processes = ALONE) -> tuple[float, float, int]:
    """One backward pass: the loss, the share of written tokens predicted right, padded tokens."""
    written = sum(sum(example.mask[1:]) for example in chosen)
    parts = processes.gather(partial(_backward, model, processes.share(chosen), written))
    return sum(part[0] for part in parts), sum(part[1] for part in parts), sum(part[2] for part in parts)


def _backward(model: LanguageModel, chosen: Sequence[Example], among: int) -> tuple[float, float, int]:
    """What some rows add to the means over the `among` written tokens of a batch; none add nothing."""
    if not chosen:
        return 0.0, 0.0, 0
    ids = pad([example.ids for example in chosen], dtype=torch.long).to(model.device)
    mask = pad([example.mask for example in chosen], dtype=torch.long).to(model.device)
    frames = [example.frames for example in chosen] if model.needs_frames else None
    logits, _, written = predict(model, ids, mask, frames)
    share = len(written) / among
    loss = functional.cross_entropy(logits, written) * share
    loss.backward()
    return loss.item(), float((logits.argmax(-1) == written).float().mean()) * share, ids.numel()


@contextmanager
def _seeded(seed: int, step: int) -> Iterator[None]:
    """Seed what a step draws (dropout), and leave the generator of the caller as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000_003 + step)
        yield


def _resume(checkpoints: Checkpoints | None, model: LanguageModel, optimizer: OptimizerGroup, run: str) -> int:
    """Load the newest checkpoint, if there is one; returns the steps that are done."""
    newest = checkpoints.latest() if checkpoints is not None else None
    if checkpoints is None or newest is None:
        return 0
    state = checkpoints.restore(newest, model, {"policy": optimizer})
    if state.get("run") != run:
        raise ConfigError(
            f"checkpoint {newest} is of other examples or another configuration: choose another folder, or remove it"
        )
    return int(state["step"])


def _digest(examples: Sequence[Example], config: SFTConfig) -> str:
    """Changes with everything that a step depends on."""
    digest = hashlib.sha256(repr(replace(config, checkpoint_every=0)).encode())
    for example in examples:
        digest.update(repr((example.ids, example.mask)).encode())
    return digest.hexdigest()[:16]


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


def padding_share(examples: Sequence[Example], config: SFTConfig) -> float:
    """Share of the tokens that pass through the model and are padding, over all epochs: in [0, 1)."""
    lengths = [len(example.ids) for example in examples]
    batches = _schedule(examples, config)
    padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    return 1.0 - config.epochs * sum(lengths) / padded if padded else 0.0
