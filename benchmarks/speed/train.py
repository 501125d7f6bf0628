"""How fast groups of episodes are trained on: what samples share forwarded once, against every row by itself.

    python -m vz_benchmarks.speed.train --out runs/speed

Groups of 8 and of 16 samples of one question about an overview of 64 frames, then none, one or two zooms of 16 frames
each, by turns, and an answer. Every sample writes tokens of its own, so nothing is shared beyond the first prompt:
samples that zoom alike, as those of a trained policy do, share more. The plain side is the same loss over rows of like
length padded side by side, as trainers have it. Random tiny models; gradients of both sides are compared. Figures are
medians of the seconds of CPU that a forward and a backward pass take, so that other processes do not count.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
import tyro
from rich.table import Table
from torch import Tensor

from vz_agents.batching import pad, predict, token_batches
from vz_agents.model import LanguageModel, TinyConfig
from vz_agents.token_scores import score_tokens
from vz_agents.tokenizer import train_tokenizer
from vz_env.prompts import frame_lines, overview_message

from ..console import show_table
from ..records import to_pretty_json, write_atomically

__all__ = ["TrainSpeedArgs", "run_benchmark"]

TARGETS: Final = {"group of 8": 2.0, "group of 16": 2.5}
OVERVIEW_FRAMES, MOST_ZOOMS, ZOOM_FRAMES, REPLY_TOKENS = 64, 2, 16, 32
WORDS: Final = "new teal 88%, gold 6%, gray 3%"
MICRO_TOKENS: Final = 8_192


@dataclass(frozen=True, kw_only=True)
class TrainSpeedArgs:
    """Measure how fast groups of episodes are trained on."""

    out: Path = Path("runs/speed")
    """Folder for train.json."""
    rounds: int = 5
    """Times each side is measured, in turns."""
    threads: int = 1
    """Threads of torch, the same for both sides."""
    width: int = 256
    """Hidden size of the model; the wider, the less attention matters, and the more is saved."""
    quick: bool = False
    """A trial of one round with a narrow model of two layers; its figures are rough."""


def run_benchmark(args: TrainSpeedArgs) -> dict[str, float]:
    """Measure both groups, show the table, write train.json; returns the ratios of tokens a second, by group."""
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    model = _model(128 if args.quick else args.width, layers=2 if args.quick else 4)
    table = Table("trained on", "tokens", "forwarded", "shared, tokens/s", "plain, tokens/s", "ratio", "wanted")
    figures: dict[str, dict[str, float]] = {}
    for name, size in (("group of 8", 8), ("group of 16", 16)):
        figures[name] = made = _measure(model, *_group(model, size), rounds=1 if args.quick else args.rounds)
        row = [f"{made[column]:.0f}" for column in ("tokens", "forwarded", "shared", "plain")]
        table.add_row(name, *row, f"{made['ratio']:.2f}", f">= {TARGETS[name]:g}")
    show_table(table)
    summary = {"ratios": {name: round(made["ratio"], 3) for name, made in figures.items()}, "targets": TARGETS}
    record = {"figures": figures, "parameters": model.num_parameters, "threads": args.threads, **summary}
    write_atomically(args.out / "train.json", to_pretty_json(record))
    sys.stdout.write(json.dumps(summary) + "\n")  # not folded, as a console would
    return {name: made["ratio"] for name, made in figures.items()}


def _model(width: int, layers: int) -> LanguageModel:
    """A random model over a vocabulary of the environment's words."""
    tokenizer = train_tokenizer([f"12.5s: {WORDS}", _overview()])
    shape = TinyConfig(hidden_size=width, intermediate_size=3 * width, num_layers=layers, max_length=8192)
    return LanguageModel.tiny(tokenizer, shape).eval()


def _overview() -> str:
    times = [4.0 * number for number in range(OVERVIEW_FRAMES)]
    return overview_message(
        question="In the teal scene a card appears. Which colour is it?",
        options=("red", "blue", "gold", "pink"),
        duration_seconds=4.0 * OVERVIEW_FRAMES,
        timestamps_seconds=times,
        descriptions=[WORDS] * OVERVIEW_FRAMES,
        zooms_left=MOST_ZOOMS,
        frames_per_zoom=ZOOM_FRAMES,
    )


def _group(model: LanguageModel, size: int) -> tuple[Tensor, Tensor]:
    """Ids and mask of the samples of one question, (size, length) each, the shortest first; replies are random."""
    random = Random(size)
    ids, mask = [], []
    for zooms in sorted(number % (MOST_ZOOMS + 1) for number in range(size)):
        row = model.chat.first(_overview())
        written = [0] * len(row)
        for zoom in range(zooms + 1):
            row += [random.randrange(300, 1_000) for _ in range(REPLY_TOKENS - 1)] + [model.chat.end_id]
            written += [1] * REPLY_TOKENS
            if zoom < zooms:
                start = random.randrange(0, 200)
                times = [start + number / 2 for number in range(ZOOM_FRAMES)]
                seen = model.chat.next("\n".join(["Zoom", *frame_lines(times, [WORDS] * ZOOM_FRAMES)]))
                row += seen
                written += [0] * len(seen)
        ids.append(row)
        mask.append(written)
    return pad(ids, dtype=torch.long), pad(mask, dtype=torch.float32)


def _measure(model: LanguageModel, ids: Tensor, mask: Tensor, *, rounds: int) -> dict[str, float]:
    """Tokens a second of both sides, and how far their gradients are apart."""
    advantages = torch.linspace(-1, 1, int(mask.sum()))
    lengths = [int(row.nonzero()[-1]) + 1 for row in mask]
    with torch.no_grad():
        forwarded = score_tokens(model, ids, mask).forwarded

    def shared() -> None:
        (score_tokens(model, ids, mask).log_probs * advantages).sum().backward()

    def plain() -> None:
        done = 0
        for rows in token_batches(lengths, max_tokens=MICRO_TOKENS, order=range(len(lengths))):
            longest = max(lengths[row] for row in rows)
            logits, _, targets = predict(model, ids[rows, :longest], mask[rows, :longest])
            log_probs = torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0]
            (log_probs * advantages[done : done + len(log_probs)]).sum().backward()
            done += len(log_probs)

    taken: dict[str, list[float]] = {"shared": [], "plain": []}
    gradients: dict[str, Tensor] = {}
    for _ in range(rounds):
        for side in (shared, plain):
            seconds, gradients[side.__name__] = _time(model, side)
            taken[side.__name__].append(seconds)
    tokens = float(sum(lengths))
    speed = {side: tokens / statistics.median(seconds) for side, seconds in taken.items()}
    error = (gradients["shared"] - gradients["plain"]).norm() / gradients["plain"].norm()
    return {
        **{"tokens": tokens, "forwarded": float(forwarded), **speed},
        **{"ratio": speed["shared"] / speed["plain"], "gradient_error": float(error)},
    }


def _time(model: LanguageModel, run: Callable[[], Any]) -> tuple[float, Tensor]:
    """Seconds of CPU that a forward and a backward pass take, and the gradients."""
    model.zero_grad(set_to_none=True)
    started = time.process_time()
    run()
    seconds = time.process_time() - started
    weights = [weight.grad.flatten() for weight in model.lm.parameters() if weight.grad is not None]
    return seconds, torch.cat(weights)


if __name__ == "__main__":
    run_benchmark(tyro.cli(TrainSpeedArgs))
