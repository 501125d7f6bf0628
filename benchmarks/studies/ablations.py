"""What is each part of the recipe worth? The whole recipe, and the same without one part, on the needle videos.

    python -m vz_benchmarks.studies.ablations --out runs/ablations

The whole recipe is the published one: a cold start on exemplars and reflections, then PPO with a bonus of 0.5 for a
right answer after a look. Each ablation is one flag of `vz train`. The table is written to docs/results.md. With
`--size small` it takes about two thirds of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from vz_agents.train import TrainConfig

from .arms import Arm, StudyArgs, run_table, sized
from .lending import FOR_EXEMPLARS, FOR_REFLECTION, Loan

__all__ = ["AblationsArgs", "arms_of", "run_study"]

LABELS = {
    "whole": "the whole recipe",
    "no-cold-start": "no SFT (`--no-cold-start`)",
    "no-reinforce": "no RL (`--no-reinforce`)",
    "no-reflection": "no reflection (`--no-reflection`)",
    "no-bonus": "no tool bonus (`--tool-bonus 0`)",
}


@dataclass(frozen=True, kw_only=True)
class AblationsArgs(StudyArgs):
    """Train the whole recipe and the four ablations of the paper."""

    out: Path = Path("runs/ablations")
    """Folder with one folder a seed and arm."""


def arms_of(common: TrainConfig) -> list[Arm]:
    """The whole recipe, and each ablation; what an ablation leaves as it is comes from the whole recipe's folder."""
    # Reflections take the place of exemplars: else their ablation would be one of the amount of data too.
    whole = replace(common, reflection=True, tool_bonus=0.5, reflect=replace(common.reflect, equal_data=True))
    started = (Loan.of("whole", *FOR_REFLECTION, "sft"),)
    plain = (Loan.of("whole", *FOR_EXEMPLARS, student="sft"),)
    return [
        Arm(name="whole", config=whole),
        Arm(name="no-cold-start", config=replace(whole, cold_start=False)),
        Arm(name="no-reinforce", config=replace(whole, reinforce=False), borrows=started),
        Arm(name="no-reflection", config=replace(whole, reflection=False), borrows=plain),
        Arm(name="no-bonus", config=replace(whole, tool_bonus=0.0), borrows=started),
    ]


def run_study(args: StudyArgs) -> int:
    """Run what is missing, and show the table; returns the exit code."""
    args = sized(args)
    return run_table("ablations", arms_of(args.config), args, baseline="whole", labels=LABELS)


if __name__ == "__main__":
    raise SystemExit(run_study(tyro.cli(AblationsArgs)))
