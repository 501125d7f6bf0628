"""The look-up curriculum: generated lists that teach a model from random weights to copy, look up and step on.

Plain SFT from random weights learns the format of an episode and copies nothing. What breaks that plateau are short
lists first, many questions a list, and longer lists once the answers are right. The documents are drawn by `look_ups`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from vz_env.errors import ConfigError

from .batching import pad, predict
from .checkpoint import Checkpoints
from .look_ups import look_up_document
from .model import LanguageModel
from .optimizers import OptimizerGroup, adamw
from .tokenizer import PieceEncoder

__all__ = ["CurriculumConfig", "CurriculumProgress", "train_curriculum"]

_LONG_SHARE: Final = 0.05
_MEMORY: Final = 0.9  # of the running means
_NEEDED: Final = ("new", "new,")
"""The kinds of look-ups that notes, and the numbers of an action, are made from."""


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """How long and how fast.

    Lists grow by `growth` lines whenever `promote_at` of the answers are right, and of those that say where a scene
    begins: these are few among the tokens, the lines that are copied out many, and what a short list did not teach a
    longer one does not.
    """

    steps: int = 1800
    batch_size: int = 20
    first_lines: int = 4
    growth: int = 4
    max_lines: int = 32
    promote_at: float = 0.85
    lr: float = 1e-3
    warmup_steps: int = 40
    checkpoint_every: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CurriculumProgress:
    """Where the curriculum stands.

    Attributes:
        step: steps done.
        lines: of the longest lists.
        accuracy: running mean over answer tokens; it begins anew at 0.7 when lists grow.
        by_kind: the same for each kind of look-up by itself, from 0 and without beginning anew.
        loss: of the last step, in nats.
        seconds: of this process.
    """

    step: int
    lines: int
    accuracy: float
    by_kind: dict[str, float]
    loss: float
    seconds: float


@dataclass(slots=True)
class _Standing:
    """What the next step depends on, weights and optimiser left out."""

    random: Random
    lines: int
    step: int = 0
    accuracy: float = 0.0
    by_kind: dict[str, float] = field(default_factory=dict)

    def tell(self, config: CurriculumConfig) -> dict[str, Any]:
        """As JSON."""
        version, state, gauss = self.random.getstate()
        numbers = {"lines": self.lines, "accuracy": self.accuracy, "by_kind": self.by_kind}
        return {**numbers, "random": [version, list(state), gauss], "config": _pace(config)}

    @classmethod
    def read(cls, told: dict[str, Any]) -> _Standing:
        """From JSON."""
        version, state, gauss = told["random"]
        random = Random()
        random.setstate((version, tuple(state), gauss))
        return cls(random, told["lines"], told["step"], told["accuracy"], dict(told["by_kind"]))

    def count(self, right: dict[str, float], accuracy: float, config: CurriculumConfig) -> None:
        """Take in how much of a step's answers was right, and let lists grow."""
        self.step += 1
        self.accuracy = accuracy if self.step == 1 else _MEMORY * self.accuracy + (1.0 - _MEMORY) * accuracy
        for kind, share in right.items():
            self.by_kind[kind] = _MEMORY * self.by_kind.get(kind, 0.0) + (1.0 - _MEMORY) * share
        least = min(self.accuracy, *(self.by_kind.get(kind, 0.0) for kind in _NEEDED))
        if least > config.promote_at and self.lines < config.max_lines:
            self.lines, self.accuracy = min(config.max_lines, self.lines + config.growth), 0.7


def _pace(config: CurriculumConfig) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    return {name: value for name, value in asdict(config).items() if name != "checkpoint_every"}


@dataclass(frozen=True, slots=True)
class _Documents:
    """Documents as a batch: ids and weights in the loss (documents, length), and what each written token answers."""

    ids: Tensor
    weights: Tensor
    kinds: list[str]


def _draw(standing: _Standing, encode: Callable[[str], list[int]], config: CurriculumConfig) -> _Documents:
    """The documents of a step.

    They weigh the same in the loss, so that close looks count: these have a tenth of the other documents' answers.
    """
    rows: list[list[int]] = []
    weights: list[list[float]] = []
    kinds: list[str] = []
    for _ in range(config.batch_size):
        pieces = [
            (encode(text), kind)
            for text, kind in look_up_document(standing.random, _draw_length(standing.random, standing.lines, config))
        ]
        answers = sum(len(piece) for piece, kind in pieces if kind)
        rows.append([token for piece, _ in pieces for token in piece])
        weights.append([(1.0 / answers if kind else 0.0) for piece, kind in pieces for _ in piece])
        kinds += [kind for piece, kind in pieces if kind for _ in piece]
    return _Documents(pad(rows, dtype=torch.long), pad(weights, dtype=torch.float32), kinds)


def _draw_length(random: Random, lines: int, config: CurriculumConfig) -> int:
    """Lines of the next list: up to the stage's; at the last stage a few twice as long, as uniform sampling shows."""
    if lines == config.max_lines and random.random() < _LONG_SHARE:
        return random.randint(lines, 2 * lines + 4)
    return random.randint(min(lines, max(3, lines // 2)), lines)


def train_curriculum(
    model: LanguageModel,
    config: CurriculumConfig,
    *,
    checkpoints: Checkpoints | None = None,
    on_progress: Callable[[CurriculumProgress], None] | None = None,
) -> CurriculumProgress:
    """Train for `config.steps`, on lists that grow with the model's accuracy.

    Args:
        model: the tiny model, changed in place.
        config: pace and length.
        checkpoints: where to write one every `config.checkpoint_every` steps, and to go on from the newest.
        on_progress: called every 25 steps.

    Returns:
        Where it ended.

    Raises:
        ConfigError: a checkpoint is of another configuration.
    """
    optimizer = adamw(model.lm, lr=config.lr, weight_decay=0.05)
    encoder = PieceEncoder(model.tokenizer)
    standing = _resume(checkpoints, model, optimizer, config)
    started, loss = time.monotonic(), math.nan
    model.train()
    while standing.step < config.steps:
        loss = _learn(model, optimizer, _draw(standing, encoder, config), standing, config)
        if on_progress is not None and standing.step % 25 == 0:
            on_progress(_progress(standing, loss, time.monotonic() - started))
        if checkpoints is not None and standing.step % config.checkpoint_every == 0:
            checkpoints.save(standing.step, model, {"policy": optimizer}, standing.tell(config))
    return _progress(standing, loss, time.monotonic() - started)


def _learn(
    model: LanguageModel,
    optimizer: OptimizerGroup,
    documents: _Documents,
    standing: _Standing,
    config: CurriculumConfig,
) -> float:
    """One step; its loss."""
    ids, weights = documents.ids.to(model.device), documents.weights.to(model.device)
    logits, _, written = predict(model, ids, weights > 0)
    share = weights[weights > 0] / config.batch_size
    loss = (share * functional.cross_entropy(logits, written, reduction="none")).sum()
    loss.backward()
    falling = 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * standing.step / config.steps))
    optimizer.step(scale=falling * min(1.0, (standing.step + 1) / config.warmup_steps))
    is_right = logits.argmax(-1) == written
    by_kind: dict[str, list[bool]] = {}
    for kind, one in zip(documents.kinds, is_right.tolist(), strict=True):
        by_kind.setdefault(kind, []).append(one)
    shares = {kind: sum(ones) / len(ones) for kind, ones in by_kind.items()}
    standing.count(shares, float((share * is_right).sum()), config)
    return loss.item()


def _progress(standing: _Standing, loss: float, seconds: float) -> CurriculumProgress:
    by_kind = dict(sorted(standing.by_kind.items()))
    return CurriculumProgress(standing.step, standing.lines, standing.accuracy, by_kind, loss, seconds)


def _resume(
    checkpoints: Checkpoints | None, model: LanguageModel, optimizer: OptimizerGroup, config: CurriculumConfig
) -> _Standing:
    """Where the newest checkpoint stands, or the beginning."""
    newest = checkpoints.latest() if checkpoints is not None else None
    if checkpoints is None or newest is None:
        return _Standing(Random(config.seed), config.first_lines)
    told = checkpoints.restore(newest, model, {"policy": optimizer})
    if told.get("config") != json.loads(json.dumps(_pace(config))):
        raise ConfigError(f"checkpoint {newest} is of another curriculum: choose another folder, or remove it")
    return _Standing.read(told)
