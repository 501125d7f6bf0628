"""How fast groups of episodes are sampled, against `generate()` run again over the conversation in every turn.

    python -m vz_benchmarks.speed.rollout --out runs/speed

A group of 8 samples of one question, an overview of 64 frames, three zooms and an answer: 4 turns, with replies of a
fixed length whose text is replaced by the scripted action, so that both sides do the same work. Random tiny models, as
the ratio is of the sampler and not of a model's skill. Rounds alternate; figures are medians of wall-clock time.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import torch
import tyro
from rich.table import Table

from vz_agents.model import LanguageModel, TinyConfig
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_agents.tiny_vlm import TinyVisionConfig, build_tiny_vlm
from vz_agents.tokenizer import train_tokenizer
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.env import VideoZoomEnv
from vz_env.errors import VZError

from ..console import show_table
from ..records import to_pretty_json, write_atomically
from .rollout_peer import generate_episodes
from .scripted import FRAME_WORDS, Scripted, scripted_actions

__all__ = ["RolloutSpeedArgs", "run_benchmark"]

TARGETS: Final = {"tiny VLM": 4.0, "tiny text LM, 2k-token prompts": 1.5}
GROUP, OVERVIEW_FRAMES, REPLY_TOKENS = 8, 64, 24
ACTIONS: Final = scripted_actions(3)


@dataclass(frozen=True, kw_only=True)
class RolloutSpeedArgs:
    """Measure how fast groups of episodes are sampled."""

    out: Path = Path("runs/speed")
    """Folder for rollout.json and the video, which is made once."""
    rounds: int = 7
    """Times each side is measured, in turns."""
    threads: int = 1
    """Threads of torch, the same for both sides."""
    quick: bool = False
    """A trial of one round; its figures are rough."""


def run_benchmark(args: RolloutSpeedArgs) -> dict[str, float]:
    """Measure both models, show the table, write rollout.json; returns our episodes a second over theirs, by model."""
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    needle = NeedleConfig(seed=11, videos={"test": 1}, overview_frames=12, spacings_seconds=(8,))
    dataset = load_needle(split="test", root=args.out / "needle", config=needle)
    rounds = 1 if args.quick else args.rounds
    columns = ("prompt, tokens", "ours, episodes/s", "generate(), episodes/s", "ratio", "wanted")
    table = Table("8 episodes of 4 turns", *columns)
    figures: dict[str, dict[str, float]] = {}
    for name, (model, options) in _models(dataset).items():
        figures[name] = made = _measure(model, _envs(dataset, options), dataset.ids[0], rounds)
        figure = (f"{made['ours']:.2f}", f"{made['generate']:.2f}", f"{made['ratio']:.1f}", f">= {TARGETS[name]:g}")
        table.add_row(name, f"{made['prompt_tokens']:.0f}", *figure)
    show_table(table)
    summary = {"ratios": {name: round(made["ratio"], 3) for name, made in figures.items()}, "targets": TARGETS}
    write_atomically(
        args.out / "rollout.json", to_pretty_json({"figures": figures, "threads": args.threads, **summary})
    )
    sys.stdout.write(json.dumps(summary) + "\n")  # not folded, as a console would
    return {name: made["ratio"] for name, made in figures.items()}


def _models(dataset: Dataset) -> dict[str, tuple[LanguageModel, dict[str, Any]]]:
    """Both models by the names of their targets, and what their environments are told."""
    texts = [f"{episode.question} {' '.join(episode.options)} 12.5s: {FRAME_WORDS}" for episode in dataset.episodes]
    tokenizer = train_tokenizer([*texts, *ACTIONS])
    eyes = build_tiny_vlm(tokenizer, TinyVisionConfig(max_tokens=16))
    reader = LanguageModel.tiny(tokenizer, TinyConfig(max_length=8192))
    return {
        "tiny VLM": (eyes, {"describe": "none", "frame_size": (112, 112)}),
        "tiny text LM, 2k-token prompts": (reader, {"describe": lambda *_: FRAME_WORDS, "with_frames": False}),
    }


def _envs(dataset: Dataset, options: dict[str, Any]) -> list[gym.Env[Any, str]]:
    budget = Budget(overview_frames=OVERVIEW_FRAMES, max_turns=len(ACTIONS), max_zooms=len(ACTIONS) - 1)
    return [Scripted(VideoZoomEnv(dataset, budget=budget, **options), ACTIONS) for _ in range(GROUP)]


def _measure(model: LanguageModel, envs: Sequence[gym.Env[Any, str]], name: str, rounds: int) -> dict[str, float]:
    """Episodes a second of both sides, measured in turns after one unmeasured round."""
    model.eval()

    def ours(temperature: float = 1.0) -> list[list[int]]:
        config = SamplerConfig(temperature=temperature, max_new_tokens=REPLY_TOKENS)
        rollouts = sample_episodes(model, envs, [name] * GROUP, range(GROUP), config=config)
        faults = {rollout.trajectory.error for rollout in rollouts if rollout.trajectory.is_error}
        if faults:
            raise VZError(f"wanted episodes that can be played, got {faults}")
        return [rollout.trajectory.tokens.ids for rollout in rollouts if rollout.trajectory.tokens is not None]

    def theirs(*, do_sample: bool = True) -> list[list[int]]:
        return generate_episodes(model, envs, name, max_new_tokens=REPLY_TOKENS, do_sample=do_sample)

    first, other = ours(temperature=0.0), theirs(do_sample=False)
    if first[0][: len(other[0])] != other[0]:
        raise VZError("wanted both sides to write the same conversation greedily, but they do not: compare nothing")
    seconds: dict[str, list[float]] = {"ours": [], "generate": []}
    for _ in range(rounds):
        seconds["ours"].append(_seconds(ours))
        seconds["generate"].append(_seconds(theirs))
    speed = {side: GROUP / statistics.median(taken) for side, taken in seconds.items()}
    prompt = len(model.chunk(*_overview(envs[0], name), is_first=True))
    return {**speed, "ratio": speed["ours"] / speed["generate"], "prompt_tokens": float(prompt)}


def _overview(env: gym.Env[Any, str], name: str) -> tuple[Any, Any, list[float]]:
    seen, _ = env.reset(seed=0, options={"episode_id": name})
    return seen["text"], seen["frames"], seen["timestamps"].tolist()


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    run_benchmark(tyro.cli(RolloutSpeedArgs))
