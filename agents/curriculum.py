"""The look-up curriculum: generated lists that teach a model from random weights to copy, look up and step on.

Plain SFT from random weights learns the format of an episode and copies nothing. What breaks that plateau are short
lists first, many questions a list, and longer lists once the answers are right. A document is a question, a list of
`{time}s: {colour} {fill}%` lines as an overview or a zoom shows them, and look-ups on it. Nothing in it comes from a
video, a question or an answer of any dataset. The shipped cold-start base begins with it.
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

from vz_env.actions import format_number
from vz_env.video.palette import NEUTRALS, VIVID

from .batching import pad, predict
from .model import LanguageModel
from .optimizers import adamw
from .tokenizer import PieceEncoder

__all__ = ["CurriculumConfig", "CurriculumProgress", "look_up_document", "train_curriculum"]

_MAX_NUMBER: Final = 999
_LOOK_UP_SHARES: Final = {"copy": 22, "at": 6, "next": 12, "new": 32, "saw": 8, "then": 16, "last": 4}
_LOOK_UPS: Final = 14
_MOST_LOOK_UPS: Final = 32
_CARD_SHARE: Final = 0.06  # of an overview's lines
_LONG_SHARE: Final = 0.05
_CLOSE_SHARE: Final = 0.35
_CLOSE_LINES: Final = 16
_CLOSE_LISTS: Final = 4


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


@dataclass(frozen=True, slots=True)
class _List:
    """A generated overview: per line its time, scene and card (or ""), and the time after the last line."""

    times: list[int]
    scenes: list[str]
    beside: list[str]
    end: int
    text: str

    def following(self, at: int) -> int:
        """The time of the line after this one."""
        return [*self.times[1:], self.end][at]


def look_up_document(random: Random, lines: int) -> list[tuple[str, bool]]:
    """One document as pieces of text, each with whether the model is to write it.

    Args:
        random: the generator to draw from.
        lines: lines of the list, at least 2.
    """
    if random.random() < _CLOSE_SHARE:
        looks = [_draw_close_list(random, min(lines, _CLOSE_LINES)) for _ in range(_CLOSE_LISTS)]
        return [piece for text, answer in looks for piece in ((f"{text} saw", False), (answer, True))]
    listed = _draw_list(random, lines)
    asked, answer = _ask(random, listed)
    pieces = [(f"Question:{asked}\nVideo: {listed.end}s\n{listed.text}{_left(random)}\n{asked}", False), (answer, True)]
    for _ in range(max(_LOOK_UPS, min(lines, _MOST_LOOK_UPS))):
        asked, answer = _ask(random, listed)
        pieces += [(f"\n{asked}", False), (answer, True)]
    return pieces


def _draw_list(random: Random, lines: int) -> _List:
    """An overview: scenes of a few lines of one colour, evenly spaced in time; some lines show a card or a neutral."""
    spacing = random.randint(3, 19)
    start = random.randint(0, max(0, _MAX_NUMBER - spacing * (lines + 1)))
    pool = random.sample(VIVID, len(VIVID))
    times, scenes, beside, text = [], [], [], []
    while len(times) < lines:
        scene = pool[len(set(scenes)) % len(pool)]
        card = random.choice([color for color in VIVID if color != scene])
        for position in range(random.randint(1 if lines < 12 else 2, max(4, lines // 6))):
            if len(times) == lines:
                break
            times.append(start + spacing * len(times))
            scenes.append(scene)
            beside.append(card if random.random() < _CARD_SHARE else "")
            text.append(f"{times[-1]}s: {'' if position else 'new '}{_line(random, scene, beside[-1])}\n")
    return _List(times, scenes, beside, times[-1] + spacing, "".join(text))


def _draw_close_list(random: Random, lines: int) -> tuple[str, str]:
    """A close look, and what it shows: one scene throughout, and up to two cards for a few lines each."""
    start = random.randint(0, _MAX_NUMBER - lines)
    step = random.uniform(0.5, 1.0)
    scene, *cards = random.sample(VIVID, 3)
    beside = [""] * lines
    at = random.randrange(lines)
    for card in cards[: random.choice((0, 1, 1, 2, 2))]:
        if random.random() < 0.5:  # else right after the last one
            at = random.randrange(lines)
        length = random.randint(1, 3)
        beside[at : at + length] = [card] * len(beside[at : at + length])
        at = min(lines - 1, at + length)
    text = [
        f"{format_number(start + step * position)}s: {'' if position else 'new '}{_line(random, scene, card)}\n"
        for position, card in enumerate(beside)
    ]
    span = f"Zoom {start}s to {format_number(start + step * lines)}s\n"
    return f"{span}{''.join(text)}{_left(random)}\n", _in_order(beside)


def _left(random: Random) -> str:
    """How messages of the environment end."""
    return f"Left: {random.randint(1, 5)} zooms, 16 frames each"


def _line(random: Random, scene: str, card: str) -> str:
    """A described frame: the scene, the card if there is one, and a neutral or two or none."""
    shown = [f"{scene} {random.randint(40, 95)}%"]
    if card:
        shown.append(f"{card} {random.randint(20, 40)}%")
    neutrals = random.sample(NEUTRALS, random.choice((0, 1, 1, 2)))
    return ", ".join([*shown, *(f"{color} {random.randint(8, 35)}%" for color in neutrals)])


def _in_order(beside: list[str]) -> str:
    """Which cards a stretch of lines shows, in order, each run once."""
    runs = [card for card, before in zip(beside, ["", *beside], strict=False) if card != before]
    return f" {' '.join(card for card in runs if card) or 'none'}"


def _ask(random: Random, listed: _List) -> tuple[str, str]:
    """One look-up and its answer: a line copied out, what is at a time, where a scene begins, what it shows, and so on.

    Half of the look-ups put a comma behind what is asked for. Without it the token to look up is the last one read;
    with it, it must be fetched first, as the numbers of an action must. The first form is learned first and carries
    the second.
    """
    at = random.randrange(len(listed.times))
    comma = random.choice(("", ","))
    (kind,) = random.choices(tuple(_LOOK_UP_SHARES), tuple(_LOOK_UP_SHARES.values()))
    now, scene = listed.times[at], listed.scenes[at]
    if kind == "last":
        return " last", f" {listed.scenes[-1]}"
    if kind == "copy":
        line = listed.text.split("\n")[at].removeprefix(str(now))
        return f"{now}", line if at + 1 == len(listed.times) else f"{line}\n{listed.following(at)}"
    asked = now if kind in ("at", "next") else scene
    return f" {kind} {asked}{comma}", _answer(kind, listed, at)


def _answer(kind: str, listed: _List, at: int) -> str:
    """The answer to a look-up that asks for a line's time or scene."""
    scene = listed.scenes[at]
    first = listed.scenes.index(scene)
    match kind:
        case "at":
            return f" {scene}"
        case "next":
            return f"{listed.following(at)}"
        case "new":  # a zoom begins where a scene does: the look-up that matters most
            return f"{listed.times[first]},{listed.following(first)}"
        case "saw":
            pairs = zip(listed.beside, listed.scenes, strict=True)
            return _in_order([card if other == scene else "" for card, other in pairs])
        case _:
            later = [other for other in listed.scenes[first:] if other != scene]
            return f" {later[0] if later else 'end'}"


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
