"""GRPO steps against TRL's `GRPOTrainer` with `environment_factory`: the same environment, model, batch and lengths.

    python -m vz_benchmarks.speed.vs_trl --install-peers --docs docs/performance.md

A step draws a group of 8 episodes of one question, scores them and trains on them once. An episode has an overview of
64 frames told in words, three zooms of 16 and an answer; the words are those of `speed.train`, turns and replies those
of `speed.rollout`, and the model is random, of four layers as wide as SmolLM2-135M's. Steps of both sides alternate, in
two processes; figures are medians.

Equal on both sides: the model folder, its tokenizer and chat template (conversations have equally many tokens, which is
checked in every step), the environment's code, the actions (scripted: a reply of a fixed length is drawn and then
stands for the action), the rewards (0 and 1 by turns), the reference model and its forward pass, one epoch of one step
of AdamW on the whole group, its rates, the loss and its clip bounds, the temperature, fp32, SDPA attention, the number
of threads, and torch and transformers themselves: TRL lives in an environment of its own, in front of ours.

Not equal, as it is the difference that is measured: TRL runs `generate()` over the whole conversation in every turn,
trains on padded rows side by side, and steps environments one after the other; we keep the cache, share what a group
has in common, and step them in threads. We draw 24 tokens and append the end of the turn; for TRL, whose replies must
parse, the action and that end are among the 24.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
import tyro
from rich.table import Table

from vz_agents.model import LanguageModel, TinyConfig
from vz_agents.ppo import PPO, PPOConfig
from vz_agents.tokenizer import train_tokenizer
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.errors import ConfigError, VZError

from ..console import note, show_table
from ..page_tables import markdown_table, write_between
from ..records import to_pretty_json, write_atomically
from .group_task import GroupTask, StepCost
from .scripted import Scripted
from .trl_process import TRLProcess, install_trl

__all__ = ["VsTRLArgs", "run_benchmark", "summarise"]

TARGET: Final = 2.0
COLUMNS: Final = ("one GRPO step of 8 episodes", "tokens an episode", "seconds", "episodes/s", "seconds of CPU")


@dataclass(frozen=True, kw_only=True)
class VsTRLArgs:
    """Measure GRPO steps against TRL's."""

    out: Path = Path("runs/speed")
    """Folder for vs_trl.json, the model, the video and TRL's environment."""
    steps: int = 3
    """Steps of each side, in turns, after one that warms up."""
    threads: int = 1
    """Threads of torch, the same for both sides."""
    width: int = 576
    """Hidden size of the model's four layers, a multiple of 64. The wider, the less attention matters, and the more is
    saved; SmolLM2-135M has 576."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where both sides compute."""
    install_peers: bool = False
    """Make TRL's environment where there is none: `trl` in the folder of --out."""
    docs: Path | None = None
    """Write the table into this page, between its two marks."""
    quick: bool = False
    """A narrower model, one zoom and one step: a look at the ratio, not a result."""


def run_benchmark(args: VsTRLArgs) -> dict[str, float]:
    """Measure both sides, show the table, write vs_trl.json; returns the ratios, by name.

    Raises:
        ConfigError: TRL's environment is not there, or figures of `--quick` are wanted for the docs.
        VZError: TRL fails, or both sides did not do the same work.
    """
    if args.quick and args.docs is not None:
        raise ConfigError("figures of --quick are a look, not a result: run without it for the docs")
    if args.width < 64 or args.width % 64 or args.steps < 1 or args.threads < 1:
        raise ConfigError(f"wanted a width in heads of 64, steps and threads of 1 or more, got {args}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("wanted a CUDA device, found none that torch can use: leave --device out")
    torch.set_num_threads(args.threads)
    python = install_trl(args.out / "trl", note) if args.install_peers else args.out / "trl" / "bin" / "python"
    if not python.exists():
        raise ConfigError(f"wanted TRL's environment at {python}, got none: run with --install-peers")
    steps = 1 + (1 if args.quick else args.steps)
    task = GroupTask(width=256, zooms=1) if args.quick else GroupTask(width=args.width)
    task = task.replace(threads=args.threads, device=args.device, steps=steps, **_prepare(args.out, task))
    costs = _measure(task, python)
    ratios = summarise(costs)
    table = Table(*COLUMNS)
    for row in (rows := _rows(costs)):
        table.add_row(*row)
    show_table(table)
    summary = {"ratios": ratios, "targets": {"episodes/s": TARGET}}
    steps_of = {side: [asdict(cost) for cost in taken] for side, taken in costs.items()}
    write_atomically(args.out / "vs_trl.json", to_pretty_json({"steps": steps_of, "task": asdict(task), **summary}))
    if args.docs is not None:
        write_between(args.docs, "vs_trl", f"{_facts(args, ratios)}\n\n{markdown_table(COLUMNS, rows)}")
    sys.stdout.write(json.dumps(summary) + "\n")  # not folded, as a console would
    return ratios


def _prepare(out: Path, task: GroupTask) -> dict[str, str]:
    """Write the model and the video, and say where they are."""
    needle = NeedleConfig(seed=11, videos={"test": 1}, overview_frames=12, spacings_seconds=(8,))
    dataset = load_needle(split="test", root=out / "needle", config=needle)
    texts = [
        f"{episode.question} {' '.join(episode.options)} 12.5s: {task.frame_words}" for episode in dataset.episodes
    ]
    tokenizer = train_tokenizer([*texts, *task.actions * 4])  # often enough to be few tokens
    inner = {"intermediate_size": 3 * task.width, "num_heads": task.width // 64}
    shape = TinyConfig(hidden_size=task.width, max_length=8192, **inner)
    LanguageModel.tiny(tokenizer, shape).save(out / "vs-trl-model")
    return {"model": str(out / "vs-trl-model"), "videos": str(out / "needle")}


def _measure(task: GroupTask, python: Path) -> dict[str, list[StepCost]]:
    """What each step of both sides cost, the first ones left out."""
    ppo = _trainer(task, load_needle(split="test", root=task.videos))
    costs: dict[str, list[StepCost]] = {"ours": [], "TRL": []}
    with TRLProcess(python, task) as peer:
        for _ in range(task.steps):
            costs["TRL"].append(peer.step())
            costs["ours"].append(_step(ppo))
            check_alike(costs["ours"][-1], costs["TRL"][-1], task)
    return {side: taken[1:] for side, taken in costs.items()}


def _trainer(task: GroupTask, dataset: Dataset) -> PPO:
    model = LanguageModel.load(task.model).to(task.device)
    config = PPOConfig(
        prompts=1,
        samples=task.episodes,
        minibatches=1,
        epochs=1,
        estimator="grpo",
        group_filter="off",
        max_new_tokens=task.reply_tokens,
        **task.optimisation,
    )
    envs = [Scripted(task.make_env(dataset), task.actions, pay=task.reward(number)) for number in range(task.episodes)]
    return PPO(model, model.reference(), envs, dataset.ids[:1], config)


def _step(ppo: PPO) -> StepCost:
    """One step of ours; `PPO.step` waits for the device."""
    wall, cpu = time.perf_counter(), time.process_time()
    rollouts, _ = ppo.step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if faults := {rollout.trajectory.error for rollout in rollouts if rollout.trajectory.is_error}:
        raise VZError(f"wanted episodes that can be played, got {faults}")
    tokens = [rollout.trajectory.tokens for rollout in rollouts if rollout.trajectory.tokens is not None]
    return StepCost(wall, cpu, [len(row) for row in tokens], [sum(row.mask) for row in tokens])


def check_alike(ours: StepCost, theirs: StepCost, task: GroupTask) -> None:
    """Make sure that both sides trained on the same lengths.

    Raises:
        VZError: a conversation or its replies differ by more than the ends of the turns, which we append.
    """
    for mine, other in zip(sorted(ours.tokens), sorted(theirs.tokens), strict=True):
        if not 0 <= mine - other < len(task.actions):
            raise VZError(f"wanted conversations of one length, got {ours.tokens} and TRL's {theirs.tokens} tokens")
    wanted = len(task.actions) * task.reply_tokens
    if set(theirs.sampled) != {wanted} or not all(0.9 * wanted <= count <= wanted for count in ours.sampled):
        raise VZError(f"wanted {wanted} sampled tokens an episode, got {ours.sampled} and TRL's {theirs.sampled}")


def summarise(costs: dict[str, list[StepCost]]) -> dict[str, float]:
    """How many times more episodes a second we come to than TRL, by the clock on the wall and by seconds of CPU."""
    wall = {side: statistics.median(cost.seconds for cost in taken) for side, taken in costs.items()}
    cpu = {side: statistics.median(cost.cpu_seconds for cost in taken) for side, taken in costs.items()}
    return {
        "episodes/s": round(wall["TRL"] / wall["ours"], 3),
        "episodes/s of CPU": round(cpu["TRL"] / cpu["ours"], 3),
    }


def _rows(costs: dict[str, list[StepCost]]) -> list[list[str]]:
    rows = []
    for side, taken in costs.items():
        wall = statistics.median(cost.seconds for cost in taken)
        cpu = statistics.median(cost.cpu_seconds for cost in taken)
        tokens = statistics.mean(taken[0].tokens)
        rows.append([side, f"{tokens:.0f}", f"{wall:.2f}", f"{len(taken[0].tokens) / wall:.2f}", f"{cpu:.2f}"])
    return rows


def _facts(args: VsTRLArgs, ratios: dict[str, Any]) -> str:
    return (
        f"Medians of {args.steps} steps on {args.device}, {args.threads} thread{'s' * (args.threads > 1)}: "
        f"{ratios['episodes/s']:.2f} times TRL's episodes a second ({TARGET:g} wanted), "
        f"{ratios['episodes/s of CPU']:.2f} times by seconds of CPU."
    )


if __name__ == "__main__":
    run_benchmark(tyro.cli(VsTRLArgs))
