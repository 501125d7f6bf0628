"""Does the demo's result hold for other seeds? Runs `vz demo` for each seed and pools what it measured.

    python -m vz_benchmarks.studies.demo_seeds --out runs/demo-seeds

The videos, the questions and the cold-start base stay the same; the exemplars' order, SFT and PPO draw anew. What is
done is not done again: the same command continues. The last lines are the table of docs/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from ..console import note, show
from ..demo import DemoArgs, run_demo
from ..results import EvalResult, compare_runs
from ..sheets import load_results
from ..statistics import Interval, accuracy

__all__ = ["DemoSeedsArgs", "markdown_table", "run_study"]


@dataclass(frozen=True, kw_only=True)
class DemoSeedsArgs:
    """Run the demo once for each seed."""

    out: Path = Path("runs/demo-seeds")
    """Folder with one folder a seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training."""
    demo: DemoArgs = field(default_factory=DemoArgs)
    """The demo; its folder and its seed are replaced."""


def run_study(args: DemoSeedsArgs) -> int:
    """Run what is missing, and show the table; returns the exit code."""
    runs: list[list[EvalResult]] = []
    for seed in args.seeds:
        folder = args.out / f"seed-{seed}"
        note(f"seed {seed}: {folder}")
        code = run_demo(replace(args.demo, out=folder, config=replace(args.demo.config, seed=seed)))
        if code:
            return code
        runs.append(load_results(folder)[0])
    show(markdown_table(args.seeds, runs))
    return 0


def markdown_table(seeds: Sequence[int], runs: Sequence[Sequence[EvalResult]]) -> str:
    """The table of several runs of the demo.

    Args:
        seeds: one name a run.
        runs: results of each, the zooming policy, its SFT start and the uniform arm among them.

    Returns:
        Markdown: a row a run and one for all, in which videos are resampled with all that every seed said about them.
    """
    arms = [_arms(results) for results in runs]
    rows = [
        [str(seed), *_cells([ppo], [sft], [uniform])] for seed, (ppo, sft, uniform) in zip(seeds, arms, strict=True)
    ]
    rows.append(["all", *_cells(*zip(*arms, strict=True))])
    head = ["seed", "PPO % (95%)", "frames", "SFT start %", "uniform %", "PPO - SFT", "PPO - uniform"]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cells(ppo: Sequence[EvalResult], sft: Sequence[EvalResult], uniform: Sequence[EvalResult]) -> list[str]:
    """One row's figures, over one run or several."""
    frames = sum(result.frames_per_episode for result in ppo) / len(ppo)
    return [
        str(_pooled(ppo)),
        f"{frames:.1f}",
        str(_pooled(sft)),
        str(_pooled(uniform)),
        _points(compare_runs(zip(ppo, sft, strict=True))),
        _points(compare_runs(zip(ppo, uniform, strict=True))),
    ]


def _arms(results: Sequence[EvalResult]) -> tuple[EvalResult, EvalResult, EvalResult]:
    """The zooming policy, its SFT start and the uniform arm."""
    named = {result.policy.split("-")[0]: result for result in results}
    return named["PPO"], named["SFT"], named["UniformSampling"]


def _pooled(results: Sequence[EvalResult]) -> Interval:
    """Accuracy over several runs on the same videos."""
    graded = [record for result in results for record in result.records if record.trajectory.score is not None]
    return accuracy([float(record.trajectory.score or 0.0) for record in graded], [one.video_group for one in graded])


def _points(difference: Interval) -> str:
    """A difference in points, with its 95% interval."""
    return f"{100 * difference.mean:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


if __name__ == "__main__":
    raise SystemExit(run_study(tyro.cli(DemoSeedsArgs)))
