"""`vz demo`: a small language model learns where to look in long videos, and is measured against uniform sampling.

Makes a needle dataset, trains the zooming policy (SFT, then PPO) and the uniform-sampling arm (the same weights, the
same SFT, as many frames an episode as the zooming policy uses), evaluates both beside the baselines on videos that
neither has seen, and writes the report. Every stage is kept, so the same command continues after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from vz_agents.baselines import Blind, Oracle, RandomZoom
from vz_agents.checkpoint import load_policy
from vz_agents.cold_base import verify_base
from vz_agents.demo_sizes import demo_sizes
from vz_agents.learning_log import read_curve
from vz_agents.policy import Policy
from vz_agents.stopping import StopRequest
from vz_agents.train import SFT_FOLDER, TrainConfig, train_policy, train_uniform
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.errors import DatasetError

from .commands.eval import CONFIG_NAME
from .commands.train import stage
from .console import note, show, show_table
from .records import to_pretty_json, write_atomically
from .report import write_report
from .results import EvalResult, compare
from .runner import evaluate
from .statistics import binomial_interval
from .tables import comparison_table, group_table

__all__ = ["DemoArgs", "run_demo"]

CHANCE = 0.25  # every needle question has four options


@dataclass(frozen=True, kw_only=True)
class DemoArgs:
    """Watch a small language model learn where to look in long videos, and read the report."""

    out: Path = Path("runs/demo")
    """Folder of everything the demo makes but the videos, which go to the cache folder."""
    haystack: Path | None = None
    """A film of your own to hide the needles in; generated scenes without it."""
    videos_train: int = 200
    """Videos to learn from."""
    videos_test: int = 24
    """Videos to be tested on; five to nine minutes each."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """How to train."""


def run_demo(args: DemoArgs) -> int:
    """Run the demo; returns its exit code."""
    args, needle = _fit_model(args)
    train, validation, test = _open_splits(args, needle)
    with StopRequest() as stop:
        policy = train_policy(train, validation, args.out, args.config, stage=stage, should_stop=stop.is_set)
        if policy is None:
            show("stopped; the same command continues")
            return stop.exit_code(0)
        place = {"dataset": test.name, "root": str(test.root), "split": test.split}
        write_atomically(args.out / CONFIG_NAME, to_pretty_json({"data": place}))  # what `vz report` finds videos by
        results = _evaluate_all(args, policy, train, test, stop.is_set)
    if stop.is_set():
        show("stopped; the same command continues")
        return stop.exit_code(0)
    _report(args, results, test)
    return 0


def _fit_model(args: DemoArgs) -> tuple[DemoArgs, Mapping[str, Any]]:
    """The arguments in the sizes that the model needs, and options of the needle dataset; what was asked for stays."""
    sizes, usual = demo_sizes(args.config), DemoArgs()
    if sizes.videos_train is not None and args.videos_train == usual.videos_train:
        args = replace(args, videos_train=sizes.videos_train)
    if sizes.videos_test is not None and args.videos_test == usual.videos_test:
        args = replace(args, videos_test=sizes.videos_test)
    return replace(args, config=sizes.config), sizes.needle


def _open_splits(args: DemoArgs, options: Mapping[str, Any]) -> list[Dataset]:
    """The three splits, made on first use."""
    videos = {"train": args.videos_train, "validation": 6, "test": args.videos_test}
    needle = NeedleConfig(videos=videos, haystack=args.haystack, **options)
    with stage("Needle videos") as progress:
        return [load_needle(split=split, config=needle, progress=progress) for split in ("train", "validation", "test")]


def _evaluate_all(
    args: DemoArgs, ppo: Policy, train: Dataset, test: Dataset, should_stop: Callable[[], bool]
) -> list[EvalResult]:
    """The zooming policy first: its frames an episode are what the uniform arm gets."""
    config = args.config

    def play(policy: Policy) -> EvalResult:
        with stage(f"Test: {policy.name}") as progress:  # type: ignore[attr-defined]
            return evaluate(
                policy,
                test,
                out=args.out,
                env_options={"describe": config.describe, "budget": config.budget},
                seed=config.seed,
                workers=2,
                progress=progress,
                should_stop=should_stop,
            )

    trained = play(ppo)
    started = play(load_policy(args.out / SFT_FOLDER))
    if should_stop():
        return [trained, started]
    if math.isnan(trained.frames_per_episode):
        faults = ", ".join(f"{count} {name}" for name, count in trained.errors.items())
        raise DatasetError(f"wanted test episodes that can be played, but all of them failed: {faults}")
    frames = math.ceil(trained.frames_per_episode)
    uniform = train_uniform(train, args.out / "uniform", frames, config, base_out=args.out, stage=stage)
    others = [play(policy) for policy in (uniform, RandomZoom(), Blind(), Oracle(test))]
    return [trained, started, *others]


def _report(args: DemoArgs, results: Sequence[EvalResult], test: Dataset) -> None:
    """The table on the terminal, what was claimed and whether it holds, and report.html."""
    trained, started, uniform = results[:3]
    blind = next(result for result in results if result.policy == "Blind")
    chance = binomial_interval(round(CHANCE * blind.graded), blind.graded, CHANCE)
    findings = [
        f"PPO against uniform sampling, {uniform.frames_per_episode:.0f} frames: {_points(compare(trained, uniform))}.",
        f"PPO against its own SFT start: {_points(compare(trained, started))}.",
        f"Blind guessing: {blind.accuracy.mean:.1%}; its 99% interval around chance is "
        f"{chance.low:.1%} to {chance.high:.1%}.",
        f"Weights the training began from: {_origin(args.config)}.",
    ]
    show_table(comparison_table(results))
    show_table(group_table(results, "task"))
    for finding in findings:
        show(finding)
    page = write_report(
        args.out,
        results,
        dataset=test,
        learning_curve=read_curve(args.out),
        notes=findings,
        title="Learning where to look",
        main=trained.policy,
        baseline=uniform.policy,
    )
    write_atomically(args.out / "findings.json", to_pretty_json(_figures(results)))
    show(f"report: {page.resolve()}")
    note(f"curves: tensorboard --logdir {args.out / 'tensorboard'}")


def _points(difference: Any) -> str:
    """A paired difference in points, with its 95% interval."""
    return f"{100 * difference.mean:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def _origin(config: TrainConfig) -> str:
    """Which weights the run began from."""
    if config.model:
        return config.model
    if config.from_scratch:
        made = f"{config.curriculum.steps} steps of look-ups and {config.rehearsals} rehearsals"
        return f"random; {made} in this run (--from-scratch)"
    manifest = verify_base()
    hashes = manifest["sha256"]
    digest = str(hashes["model.safetensors"])[:12] if isinstance(hashes, dict) else ""
    return (
        f"the shipped cold-start base ({manifest['parameters']:,} parameters; look-ups and rehearsals on generated "
        f"lists, no video, question or answer of any dataset; sha256 {digest})"
    )


def _figures(results: Sequence[EvalResult]) -> dict[str, Any]:
    """The table as numbers, for scripts that gather several runs."""
    return {
        result.policy: {
            "accuracy": result.accuracy.mean,
            "low": result.accuracy.low,
            "high": result.accuracy.high,
            "frames": result.frames_per_episode,
            "zooms": result.zooms_per_episode,
            "episodes": result.episodes,
        }
        for result in results
    }
