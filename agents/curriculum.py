"""The look-up curriculum: generated lists that teach a model from random weights to copy, look up and step on.

Plain SFT from random weights learns the format of an episode and copies nothing. What breaks that plateau are short
lists first, many questions a list, and longer lists once the answers are right. The documents are drawn by `look_ups`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import torch
from torch.nn import functional

from .batching import pad, predict
from .look_ups import look_up_document
from .model import LanguageModel
from .optimizers import adamw
from .tokenizer import PieceEncoder

__all__ = ["CurriculumConfig", "CurriculumProgress", "train_curriculum"]

_LONG_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """How long and how fast: lists grow by `growth` lines whenever `promote_at` of the answers are right."""

    steps: int = 1800
    batch_size: int = 20
    first_lines: int = 4
    growth: int = 4
    max_lines: int = 32
    promote_at: float = 0.85
    lr: float = 1e-3
    warmup_steps: int = 40
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CurriculumProgress:
    """Where the curriculum stands: `accuracy` is a running mean over answer tokens."""

    step: int
    lines: int
    accuracy: float
    loss: float
    seconds: float


def _encode(encode: Callable[[str], list[int]], pieces: list[tuple[str, bool]]) -> tuple[list[int], list[float]]:
    """A document's ids and the weight of each in the loss: documents weigh the same, so that close looks count.

    They have a tenth of the other documents' answers.
    """
    ids: list[int] = []
    weights: list[float] = []
    for text, is_written in pieces:
        piece = encode(text)
        ids += piece
        weights += [float(is_written)] * len(piece)
    return ids, [weight / sum(weights) for weight in weights]


def _draw_length(random: Random, lines: int, config: CurriculumConfig) -> int:
    """Lines of the next list: up to the stage's; at the last stage a few twice as long, as uniform sampling shows."""
    if lines == config.max_lines and random.random() < _LONG_SHARE:
        return random.randint(lines, 2 * lines + 4)
    return random.randint(min(lines, max(3, lines // 2)), lines)


def train_curriculum(
    model: LanguageModel,
    config: CurriculumConfig,
    *,
    on_progress: Callable[[CurriculumProgress], None] | None = None,
) -> CurriculumProgress:
    """Train for `config.steps`, on lists that grow with the model's accuracy.

    Args:
        model: the tiny model, changed in place.
        config: pace and length.
        on_progress: called every 25 steps.

    Returns:
        Where it ended.
    """
    random = Random(config.seed)
    optimizer = adamw(model.lm, lr=config.lr, weight_decay=0.05)
    encoder = PieceEncoder(model.tokenizer)
    lines, accuracy, step = config.first_lines, 0.0, 0
    started = time.monotonic()
    progress = CurriculumProgress(0, lines, 0.0, float("nan"), 0.0)
    model.train()
    while step < config.steps:
        documents = [
            _encode(encoder, look_up_document(random, _draw_length(random, lines, config)))
            for _ in range(config.batch_size)
        ]
        ids = pad([ids for ids, _ in documents], dtype=torch.long).to(model.device)
        weights = pad([weights for _, weights in documents], dtype=torch.float32).to(model.device)
        logits, _, written = predict(model, ids, weights > 0)
        share = weights[weights > 0] / len(documents)
        loss = (share * functional.cross_entropy(logits, written, reduction="none")).sum()
        loss.backward()
        falling = 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
        optimizer.step(scale=falling * min(1.0, (step + 1) / config.warmup_steps))
        step += 1
        right = float((share * (logits.argmax(-1) == written)).sum())
        accuracy = right if step == 1 else 0.9 * accuracy + 0.1 * right
        if accuracy > config.promote_at and lines < config.max_lines:
            lines, accuracy = min(config.max_lines, lines + config.growth), 0.7
        progress = CurriculumProgress(step, lines, accuracy, loss.item(), time.monotonic() - started)
        if on_progress is not None and step % 25 == 0:
            on_progress(progress)
    return progress
