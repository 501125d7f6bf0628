"""Does a model that sees frames, and reads nothing about them, learn where to look? A tiny Qwen2.5-VL.

    python -m vz_benchmarks.studies.vlm_needle --out runs/vlm-needle

There is no pretrained vision-language model small enough for a processor, so one is made: the shipped cold-start base
reads, and a vision tower before it is taught colour words on frames of the training videos. From then on no description
is in any observation: SFT on an expert's episodes, then PPO, then the test videos. `blind` guesses; `gray` is the
trained policy with every frame painted gray.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.table import Table

from vz_agents.baselines import Blind
from vz_agents.cold_base import load_base
from vz_agents.exemplars import collect_exemplars
from vz_agents.eyes import graft_eyes, teach_eyes
from vz_agents.language_policy import LanguagePolicy
from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import Policy
from vz_agents.ppo import PPO
from vz_agents.ppo_config import PPOConfig
from vz_agents.rollout import collect_rollouts
from vz_agents.seen_examples import seen_examples
from vz_agents.sft import SFTConfig, train_sft
from vz_agents.tiny_vlm import TinyVisionConfig
from vz_agents.vision_model import VisionLanguageModel
from vz_env.actions import format_zoom
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.env import VideoZoomEnv

from ..commands.train import stage
from ..console import show, show_table
from ..records import to_pretty_json, write_atomically

__all__ = ["VLMNeedleArgs", "run_study"]

FRAME_SIZE: Final = (64, 16)  # width, height: a row of four image tokens of 16 x 16 pixels
EYES: Final = TinyVisionConfig(patch_size=8, max_tokens=4, vision_hidden_size=64)
BUDGET: Final = Budget(overview_frames=8, max_turns=5, max_zooms=4, max_frames_per_zoom=16, max_frames=8 + 4 * 16)
SPACING: Final = 8
WANTED_POINTS: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class VLMNeedleArgs:
    """Make eyes, train by SFT and PPO, and compare with blind guessing."""

    out: Path = Path("runs/vlm-needle")
    """Folder for results.json, the videos and the trained models."""
    videos_train: int = 160
    """Videos of 64 seconds to learn from, with about four questions each."""
    videos_test: int = 40
    """Videos to be tested on."""
    eye_steps: int = 1500
    """Steps of 64 frames in which the vision tower learns colour words."""
    epochs: int = 6
    """Of SFT."""
    iterations: int = 10
    """Of PPO."""
    seed: int = 0
    """Of training; the videos stay the same."""
    threads: int = 2
    """Of torch."""
    quick: bool = False
    """A trial that only shows that everything runs; its figures mean nothing."""


class Gray(gym.ObservationWrapper[dict[str, Any], str, dict[str, Any]]):
    """Paints every frame gray."""

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The same observation without anything to be seen."""
        return {**observation, "frames": np.full_like(observation["frames"], 128)}


def run_study(args: VLMNeedleArgs) -> dict[str, float]:
    """Train, play the test videos, show the table, write results.json; returns accuracies by policy."""
    torch.set_num_threads(args.threads)
    started = time.monotonic()
    train, test = _splits(args)
    model = graft_eyes(load_base(), EYES, seed=args.seed)
    with stage("Eyes") as progress:
        frames, words = _described_frames(train)
        explained = teach_eyes(
            model, frames, words, steps=20 if args.quick else args.eye_steps, seed=args.seed, progress=progress
        )
    show(f"the vision tower explains {explained:.0%} of its words")
    scores = {"blind": _accuracy(Blind(seed=args.seed), test, args.seed)}
    _imitate(model, train, args)
    scores["SFT"] = _accuracy(LanguagePolicy(model), test, args.seed)
    model.save(args.out / "sft")
    _reinforce(model, train, args)
    model.save(args.out / "ppo")
    scores["PPO"] = _accuracy(LanguagePolicy(model), test, args.seed)
    scores["PPO, frames gray"] = _accuracy(LanguagePolicy(model), test, args.seed, wrap=Gray)
    _report(args, scores, len(test), time.monotonic() - started)
    return scores


def _splits(args: VLMNeedleArgs) -> tuple[Dataset, Dataset]:
    videos = {"train": 4, "test": 2} if args.quick else {"train": args.videos_train, "test": args.videos_test}
    config = NeedleConfig(seed=5, videos=videos, overview_frames=BUDGET.overview_frames, spacings_seconds=(SPACING,))
    root = args.out / ("needle-quick" if args.quick else "needle")
    with stage("Needle videos") as progress:
        train, test = (
            load_needle(split=split, root=root, config=config, progress=progress) for split in ("train", "test")
        )
    return train, test


def _env(dataset: Dataset, describe: str = "none") -> VideoZoomEnv:
    return VideoZoomEnv(dataset, budget=BUDGET, describe=describe, frame_size=FRAME_SIZE)


def _described_frames(train: Dataset) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Frames of the training videos, of overviews and of close looks, and the words for each."""
    env, frames, words = _env(train, "palette"), [], []
    videos: set[str] = set()
    for episode in train:
        if episode.video_id in videos:
            continue
        videos.add(episode.video_id)
        seen, _ = env.reset(options={"episode_id": episode.id})
        _gather(seen, frames, words)
        for slot in range(0, BUDGET.overview_frames, BUDGET.overview_frames // BUDGET.max_zooms):
            seen, *_ = env.step(format_zoom((SPACING * slot, SPACING * (slot + 1)), 2))
            _gather(seen, frames, words)
    return frames, words


def _gather(seen: dict[str, Any], frames: list[NDArray[np.uint8]], words: list[str]) -> None:
    """Take an observation's frames and the lines that describe them."""
    lines = [line.partition(": ")[2].removeprefix("new ") for line in seen["text"].split("\n") if "%" in line]
    if len(lines) == len(seen["frames"]):
        frames += list(seen["frames"])
        words += lines


def _imitate(model: VisionLanguageModel, train: Dataset, args: VLMNeedleArgs) -> None:
    """SFT on episodes of an expert who reads words; the model sees frames in their place."""
    with stage("Exemplars") as progress:
        options = {"describe": "palette", "frame_size": FRAME_SIZE}
        kept = collect_exemplars(
            train, NeedleExpert(), env_options=options, budget=BUDGET, seed=args.seed, progress=progress
        ).kept
    examples = seen_examples(model, kept, lambda: _env(train))
    config = SFTConfig(epochs=1 if args.quick else args.epochs, seed=args.seed)
    with stage(f"SFT on {len(examples)} exemplars") as progress:
        last = train_sft(model, examples, config, on_progress=lambda made: progress(made.step, made.steps))
    show(f"SFT: loss {last.loss:.3f}, {last.accuracy:.1%} of the tokens right, {last.tokens_per_second:.0f} tokens/s")


def _reinforce(model: VisionLanguageModel, train: Dataset, args: VLMNeedleArgs) -> None:
    """PPO from the cold start."""
    config = PPOConfig(iterations=1 if args.quick else args.iterations, seed=args.seed)
    if args.quick:
        config = PPOConfig(iterations=1, prompts=2, samples=2)
    envs = [_env(train) for _ in range(config.prompts * config.samples)]
    ppo = PPO(model, model.reference(), envs, train.ids, config)
    with stage("PPO") as progress:
        for iteration in range(config.iterations):
            _, metrics = ppo.step()
            progress(iteration + 1, config.iterations)
            show(f"PPO {iteration + 1}: accuracy {metrics.get('rollout/accuracy', 0.0):.1%} of samples")


def _accuracy(policy: Policy, test: Dataset, seed: int, *, wrap: Callable[[Any], Any] = lambda env: env) -> float:
    """The share of the test questions that is answered right; the rest of them counts as wrong."""
    played = collect_rollouts(lambda: wrap(_env(test)), policy, test.ids, seed=seed, workers=2)
    return sum(trajectory.score or 0.0 for trajectory in played) / len(played)


def _report(args: VLMNeedleArgs, scores: dict[str, float], questions: int, seconds: float) -> None:
    table = Table("policy", "accuracy", "over blind, points")
    for name, score in scores.items():
        table.add_row(name, f"{score:.1%}", f"{100 * (score - scores['blind']):+.1f}")
    show_table(table)
    points = 100 * (scores["PPO"] - scores["blind"])
    record = {"accuracy": scores, "questions": questions, "seconds": seconds, "seed": args.seed}
    write_atomically(args.out / "results.json", to_pretty_json(record))
    summary = {"ratios": {"points over blind": round(points / WANTED_POINTS, 3)}, "targets": {"points over blind": 1.0}}
    show(f"{questions} questions, {seconds:.0f} s; wanted {WANTED_POINTS:.0f} points over blind, got {points:+.1f}")
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    run_study(tyro.cli(VLMNeedleArgs))
