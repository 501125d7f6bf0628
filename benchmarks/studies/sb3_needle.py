"""Does SB3's own PPO learn where to look? The agent of `vz_agents.sb3` on unseen needle videos, over several seeds.

    python -m vz_benchmarks.studies.sb3_needle --out runs/sb3-needle

Each seed trains three agents on the training videos and plays the test videos: `blind` (the same recipe with the video
hidden: what the questions alone give away), `imitation` (the warm start alone) and `ppo` (the warm start, then PPO).
A seed that is done is not done again: the same command continues.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.table import Table

from vz_agents.needle_expert import NeedleExpert
from vz_agents.rollout import collect_rollouts
from vz_agents.sb3.recipe import DiscretePolicy, DiscreteZoomConfig, train_discrete_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import load_dataset
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError

from ..console import note, progress_bar, show, show_table
from ..records import to_pretty_json, write_atomically
from ..statistics import Interval, accuracy, paired_difference

__all__ = ["SB3NeedleArgs", "run_study"]

AGENTS: Final = ("blind", "imitation", "ppo")
RESULTS_NAME: Final = "results.json"


@dataclass(frozen=True, kw_only=True)
class SB3NeedleArgs:
    """Train and compare the agents."""

    out: Path = Path("runs/sb3-needle")
    """Folder for results.json and the trained models."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; the videos stay the same."""
    root: Path | None = None
    """Needle videos made by `vz needle make`; the built-in ones by default."""
    recipe: Annotated[DiscreteZoomConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: DiscreteZoomConfig(demonstrations=120, timesteps=80_000)
    )
    """How each agent is trained."""
    quick: bool = False
    """A trial of a minute: one seed, few steps; its figures mean nothing."""


def run_study(args: SB3NeedleArgs) -> dict[str, Any]:
    """Run what is missing, and show the table.

    Raises:
        ConfigError: the folder holds results of other settings.
    """
    recipe = replace(args.recipe, timesteps=2048, demonstrations=40, clone_epochs=10) if args.quick else args.recipe
    seeds = args.seeds[:1] if args.quick else args.seeds
    with progress_bar("making the needle videos") as progress:
        train, test = (load_dataset("Needle", split=s, root=args.root, progress=progress) for s in ("train", "test"))
    settings = json.loads(json.dumps({**asdict(recipe), "revision": [train.revision, test.revision]}))
    results = _resume(args.out / RESULTS_NAME, settings)
    for seed in seeds:
        for agent in AGENTS:
            if f"{agent}-{seed}" not in results["runs"]:
                results["runs"][f"{agent}-{seed}"] = _run(agent, train, test, replace(recipe, seed=seed), args.out)
                write_atomically(args.out / RESULTS_NAME, to_pretty_json(results))
    show_table(_table(results["runs"], seeds, test))
    show(f"results: {args.out / RESULTS_NAME}")
    return results


def _resume(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier start of the same study left."""
    if not path.is_file():
        return {"settings": settings, "runs": {}}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if results.get("settings") != settings:
        raise ConfigError(f"{path} holds results of other settings: choose another --out, or move it away")
    return results


def _run(agent: str, train: Dataset, test: Dataset, recipe: DiscreteZoomConfig, out: Path) -> dict[str, Any]:
    """Train one agent and play the test videos once, greedily."""
    recipe = replace(recipe, is_blind=agent == "blind", timesteps=0 if agent == "imitation" else recipe.timesteps)
    started = time.process_time()
    model = train_discrete_zoom(
        train, NeedleExpert(), recipe, note=lambda text: note(f"{agent}, seed {recipe.seed}: {text}")
    )
    seconds = time.process_time() - started
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / f"{agent}-{recipe.seed}.zip")
    played = collect_rollouts(
        lambda: VideoZoomEnv(test, budget=dict(recipe.budget), with_frames=False),
        DiscretePolicy(model, recipe, name=agent),
        test.ids,
        seed=0,
    )
    if failed := [trajectory for trajectory in played if trajectory.is_error]:
        raise ConfigError(f"{len(failed)} test episodes failed, the first: {failed[0].episode_id}: {failed[0].error}")
    mean = {name: sum(t.metrics[name] or 0.0 for t in played) / len(played) for name in ("frames_used", "zooms")}
    return {"scores": [trajectory.score or 0.0 for trajectory in played], "cpu_seconds": seconds, **mean}


def _table(runs: Mapping[str, Any], seeds: tuple[int, ...], test: Dataset) -> Table:
    """A row for each agent and seed, and one for each agent over its seeds."""
    videos = [episode.video_group for episode in test.episodes]
    table = Table(title=f"{len(test)} questions on {len(set(videos))} unseen videos")
    for name in ("agent", "seed", "accuracy % (95%)", "over blind (95%)", "frames", "zooms", "training, CPU s"):
        table.add_column(name, justify="left" if name == "agent" else "right")
    for agent in AGENTS:
        found = [runs[f"{agent}-{seed}"] for seed in seeds]
        for seed, run in zip(seeds, found, strict=True):
            table.add_row(agent, str(seed), *_cells([run], [runs[f"blind-{seed}"]], videos))
        if len(found) > 1:
            table.add_row(agent, "all", *_cells(found, [runs[f"blind-{seed}"] for seed in seeds], videos))
    return table


def _cells(found: list[Any], blind: list[Any], videos: list[str]) -> tuple[str, ...]:
    """The figures of some runs; an interval over several resamples videos, each with all of its runs."""
    scores, baseline = ([score for run in group for score in run["scores"]] for group in (found, blind))
    clusters = videos * len(found)
    difference: Interval | str = paired_difference(scores, baseline, clusters) if found != blind else "–"
    numbers = [sum(run[name] for run in found) / len(found) for name in ("frames_used", "zooms", "cpu_seconds")]
    formatted = (f"{numbers[0]:.1f}", f"{numbers[1]:.2f}", f"{numbers[2]:.0f}")
    return str(accuracy(scores, clusters)), str(difference), *formatted


if __name__ == "__main__":
    run_study(tyro.cli(SB3NeedleArgs))
