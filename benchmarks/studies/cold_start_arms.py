"""Does reflection help the cold start, and does masking the student's mistakes? Three arms, one table.

    python -m vz_benchmarks.studies.cold_start_arms --out runs/cold-start-arms

Exemplars alone; exemplars and reflections with the student's wrong part trained on, as published; the same with that
part masked. Every arm has as many trajectories (a reflection takes the place of an exemplar), the same base, the same
videos and the same PPO behind it. The table is written to docs/results.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from vz_agents.reflection import ReflectionConfig
from vz_agents.train import TrainConfig

from .arms import FOR_EXEMPLARS, FOR_REFLECTION, Arm, StudyArgs, finish, markdown, quick, run_arms

__all__ = ["ColdStartArmsArgs", "arms_of", "run_study"]

LABELS = {
    "exemplars": "exemplars alone",
    "reflection": "+ reflection",
    "masked": "+ reflection, the wrong part masked",
}


@dataclass(frozen=True, kw_only=True)
class ColdStartArmsArgs(StudyArgs):
    """Train three cold starts on as much data each, and the same PPO behind each."""

    out: Path = Path("runs/cold-start-arms")
    """Folder with one folder a seed and arm."""


def arms_of(common: TrainConfig) -> list[Arm]:
    """The three arms."""
    reflect: ReflectionConfig = replace(common.reflect, equal_data=True)
    plain = replace(common, reflection=False)
    published = replace(common, reflection=True, reflect=replace(reflect, mask_student=False))
    masked = replace(common, reflection=True, reflect=replace(reflect, mask_student=True))
    # The policy of exemplars alone is the student whose failures the other arms repair.
    student = (("exemplars", "sft", "student"),)
    return [
        Arm(name="exemplars", config=plain),
        Arm(name="reflection", config=published, borrows=(*Arm.lend("exemplars", FOR_EXEMPLARS), *student)),
        Arm(name="masked", config=masked, borrows=Arm.lend("reflection", FOR_REFLECTION)),
    ]


def run_study(args: StudyArgs) -> int:
    """Run what is missing, and show the table; returns the exit code."""
    sized = quick(args) if args.quick else args
    results = run_arms(arms_of(sized.config), sized)
    return finish(args, "cold-start-arms", markdown(results, baseline="exemplars", labels=LABELS))


if __name__ == "__main__":
    raise SystemExit(run_study(tyro.cli(ColdStartArmsArgs)))
