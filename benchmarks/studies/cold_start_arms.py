"""Does reflection help the cold start, and does masking the student's mistakes? Three arms, one table.

    python -m vz_benchmarks.studies.cold_start_arms --out runs/cold-start-arms --lender runs/ablations

Exemplars alone; exemplars and reflections with the student's wrong part trained on, as published; the same with that
part masked. Every arm has as many trajectories (a reflection takes the place of an exemplar), the same base, the same
videos and the same PPO behind it. The table is written to docs/results.md. `--lender` takes over what the study of the
ablations made alike, about half of the work, where that was run at the same size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from vz_agents.reflection import ReflectionConfig
from vz_agents.train import TrainConfig

from .arms import Arm, StudyArgs, run_table, sized
from .lending import FOR_EXEMPLARS, FOR_REFLECTION, Loan

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
    # The policy of exemplars alone is the student whose failures the other arms repair. The study of the ablations has
    # a student like it, the same repairs, and in its arm without a bonus the very run of the last arm here.
    finished = (*FOR_REFLECTION, "sft", "policy", "learning_curve.jsonl")
    return [
        Arm(
            name="exemplars",
            config=plain,
            borrows_outside=(Loan.of("whole", *FOR_EXEMPLARS, student="sft"),),
        ),
        Arm(
            name="reflection",
            config=published,
            borrows=(Loan.of("exemplars", *FOR_EXEMPLARS, sft="student"),),
            borrows_outside=(Loan.of("whole", *FOR_REFLECTION),),
        ),
        Arm(
            name="masked",
            config=masked,
            borrows=(Loan.of("reflection", *FOR_REFLECTION),),
            borrows_outside=(Loan.of("no-bonus", *finished, is_whole=True),),
        ),
    ]


def run_study(args: StudyArgs) -> int:
    """Run what is missing, and show the table; returns the exit code."""
    args = sized(args)
    return run_table("cold-start-arms", arms_of(args.config), args, baseline="exemplars", labels=LABELS)


if __name__ == "__main__":
    raise SystemExit(run_study(tyro.cli(ColdStartArmsArgs)))
