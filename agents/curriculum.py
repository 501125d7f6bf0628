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
from vz_env.video.palette import NEUTRALS, PALETTE

from .batching import Example, pad, predict
from .model import LanguageModel
from .optimizers import adamw
from .tokenizer import PieceEncoder

__all__ = ["CurriculumConfig", "CurriculumProgress", "look_up_document", "train_curriculum"]

_COLORS: Final = tuple(PALETTE)
_MAX_NUMBER: Final = 999
_COPY_SHARE: Final = 0.25
_CLOSE_SHARE: Final = 0.25
_CLOSE_LINES: Final = 16
_CLOSE_LISTS: Final = 3
_LOOK_UPS: Final = 14


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """How long and how fast: lists grow by `growth` lines whenever `promote_at` of the answers are right."""

    seconds: float = 900.0
    batch_size: int = 20
    first_lines: int = 4
    growth: int = 4
    max_lines: int = 32
    promote_at: float = 0.9
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
    """A generated list: times in order, what each line is asked for (a colour), and the time after the last one."""

    times: list[int]
    colors: list[str]
    end: int
    text: str


def look_up_document(random: Random, lines: int) -> list[tuple[str, bool]]:
    """One document as pieces of text, each with whether the model is to write it.

    Args:
        random: the generator to draw from.
        lines: lines of the list, at least 2.
    """
    if random.random() < _CLOSE_SHARE:
        looks = [_draw_close_list(random, min(lines, _CLOSE_LINES)) for _ in range(_CLOSE_LISTS)]
        return [piece for look in looks for piece in ((f"{look.text}? saw", False), (_beside(look), True))]
    listed = _draw_list(random, lines)
    asked, answer = _ask(random, listed)
    pieces = [(f"Question:{asked}\nVideo: {listed.end}s\n{listed.text}?{asked}", False), (answer, True)]
    for _ in range(max(_LOOK_UPS, lines)):
        asked, answer = _ask(random, listed)
        pieces += [(f"\n{asked}", False), (answer, True)]
    return pieces


def _draw_list(random: Random, lines: int) -> _List:
    """An overview: runs of one to four lines of a colour, evenly spaced in time, neutrals beside some of them."""
    spacing = random.randint(3, 19)
    start = random.randint(0, max(0, _MAX_NUMBER - spacing * (lines + 1)))
    pool = random.sample(_COLORS, len(_COLORS))
    times, colors, text = [], [], []
    run = 0
    for position in range(lines):
        if run == 0:
            pool.append(pool.pop(0))
            run = random.randint(1, 4)
        run -= 1
        times.append(start + spacing * position)
        colors.append(pool[0])
        mark = "new " if colors[-2:-1] != colors[-1:] else ""
        text.append(f"{times[-1]}s: {mark}{pool[0]} {random.randint(40, 95)}%{_draw_clutter(random, pool[0])}\n")
    return _List(times, colors, times[-1] + spacing, "".join(text))


def _draw_close_list(random: Random, lines: int) -> _List:
    """A close look: one colour throughout, and up to two others beside it for a few lines each."""
    start = random.randint(0, _MAX_NUMBER - lines)
    step = random.uniform(0.5, 1.0)
    main, *others = random.sample([color for color in _COLORS if color not in NEUTRALS], 3)
    beside = [""] * lines
    for other in others[: random.choice((0, 1, 1, 2))]:
        at, length = random.randrange(lines), random.randint(1, 3)
        for position in range(at, min(lines, at + length)):
            beside[position] = other
    text = []
    for position, other in enumerate(beside):
        shown = f", {other} {random.randint(20, 40)}%" if other else _draw_clutter(random, main)
        mark = "" if position else "new "
        text.append(f"{format_number(start + step * position)}s: {mark}{main} {random.randint(40, 95)}%{shown}\n")
    return _List([], beside, start + lines, "".join(text) + "\n")


def _draw_clutter(random: Random, main: str) -> str:
    """A neutral colour beside the main one, or nothing."""
    if random.random() >= 0.4:
        return ""
    beside = random.choice([color for color in NEUTRALS if color != main])
    return f", {beside} {random.randint(8, 35)}%"


def _beside(listed: _List) -> str:
    """Which colours stand beside the main one, in order, each run once."""
    runs = [color for color, before in zip(listed.colors, ["", *listed.colors], strict=False) if color != before]
    return f" {' '.join(color for color in runs if color) or 'none'}"


def _ask(random: Random, listed: _List) -> tuple[str, str]:
    """One look-up and its answer: a line copied out, what is at a time, which time is next, where a colour begins.

    Half of the look-ups put a comma behind what is asked for. Without it the token to look up is the last one read;
    with it, it must be fetched first, as the numbers of an action must. The first form is learned first and carries
    the second.
    """
    following = [*listed.times[1:], listed.end]
    at = random.randrange(len(listed.times))
    now, color = listed.times[at], listed.colors[at]
    if random.random() < _COPY_SHARE:
        line = listed.text.split("\n")[at].removeprefix(str(now))
        return f"{now}", line if at + 1 == len(listed.times) else f"{line}\n{following[at]}"
    comma = random.choice(("", ","))
    match random.randrange(5):
        case 0:
            return f" at {now}{comma}", f" {color}"
        case 1:
            return f" next {now}{comma}", f"{following[at]}"
        case 2 | 3:  # a zoom begins where a colour does: the look-up that matters most
            first = listed.colors.index(color)
            return f" new {color}{comma}", f"{listed.times[first]},{following[first]}"
        case _:
            after = listed.colors[at + 1] if at + 1 < len(listed.colors) else "last"
            return f" after {now}{comma}", f"{following[at]} {after}"


def _encode(encode: Callable[[str], list[int]], pieces: list[tuple[str, bool]]) -> Example:
    ids: list[int] = []
    mask: list[int] = []
    for text, is_written in pieces:
        piece = encode(text)
        ids += piece
        mask += [int(is_written)] * len(piece)
    return Example(ids, mask)


def train_curriculum(
    model: LanguageModel,
    config: CurriculumConfig,
    *,
    on_progress: Callable[[CurriculumProgress], None] | None = None,
) -> CurriculumProgress:
    """Train for `config.seconds`, on lists that grow with the model's accuracy.

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
    while (elapsed := time.monotonic() - started) < config.seconds:
        documents = [
            _encode(encoder, look_up_document(random, random.randint(min(lines, max(3, lines // 2)), lines)))
            for _ in range(config.batch_size)
        ]
        ids = pad([document.ids for document in documents], dtype=torch.long).to(model.device)
        mask = pad([document.mask for document in documents], dtype=torch.long).to(model.device)
        logits, _, written = predict(model, ids, mask)
        loss = functional.cross_entropy(logits, written)
        loss.backward()
        falling = 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * elapsed / config.seconds))
        optimizer.step(scale=falling * min(1.0, (step + 1) / config.warmup_steps))
        step += 1
        right = float((logits.argmax(-1) == written).float().mean())
        accuracy = right if step == 1 else 0.9 * accuracy + 0.1 * right
        if accuracy > config.promote_at and lines < config.max_lines:
            lines, accuracy = min(config.max_lines, lines + config.growth), 0.7
        progress = CurriculumProgress(step, lines, accuracy, loss.item(), time.monotonic() - started)
        if on_progress is not None and step % 25 == 0:
            on_progress(progress)
    return progress
