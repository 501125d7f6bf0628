"""What one arm of a study takes over from another, in place of making the same thing again.

Inside a study the arms say themselves what they have in common. Between two studies it is checked: what the lender was
asked for may differ from what the borrower is asked for in nothing but the settings that come later than what is lent.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vz_agents.train_config import TrainConfig, differences

__all__ = ["FOR_EXEMPLARS", "FOR_REFLECTION", "Loan", "borrow", "borrow_from_study"]

FOR_EXEMPLARS: Final = ("exemplars.jsonl", "exemplars.json", "attempts.jsonl")
FOR_REFLECTION: Final = (*FOR_EXEMPLARS, "student", "student.jsonl", "reflections.jsonl", "reflections.json")
"""What arms that differ later alone have in common in their run folders."""

_LATER: Final = ("reinforce", "reflection", "tool_bonus", "reflect.mask_student", "reflect.equal_data", "reflect.most")


@dataclass(frozen=True, kw_only=True)
class Loan:
    """Files and folders of a lending arm, each with its name in the borrowing one's folder.

    `is_whole` says that they come of the whole run, so that every setting must be the same.
    """

    arm: str
    names: tuple[tuple[str, str], ...]
    is_whole: bool = False

    @classmethod
    def of(cls, arm: str, *names: str, is_whole: bool = False, **renamed: str) -> Loan:
        """What an arm lends under the same names, and what under another one (`student="sft"`)."""
        pairs = [*((name, name) for name in names), *renamed.items()]
        return cls(arm=arm, names=tuple(pairs), is_whole=is_whole)


def borrow(loan: Loan, lender: Path, folder: Path) -> None:
    """Copy what is there and not here, each under a name that says that it is not whole until it is.

    Args:
        loan: what is lent.
        lender: folder of the lending arm.
        folder: folder of the borrowing arm.
    """
    for theirs, ours in loan.names:
        source, target = lender / theirs, folder / ours
        if target.exists() or not source.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".unfinished-{target.name}")
        if source.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(source, unfinished)
        else:
            shutil.copy(source, unfinished)
        unfinished.replace(target)


def borrow_from_study(loan: Loan, lender: Path, folder: Path, config: TrainConfig, revision: str) -> list[str]:
    """Copy what an arm of another study made, where it was asked for the same.

    Args:
        loan: what is lent.
        lender: folder of the lending arm; nothing is lent where it has begun nothing.
        folder: folder of the borrowing arm.
        config: what the borrowing arm is asked for.
        revision: of its train split.

    Returns:
        The settings that stand in the way; none when it was lent, or is not there.
    """
    if not (lender / "training.json").is_file():
        return []
    found = differences(lender, config, revision)
    hindrances = [name for name in found if loan.is_whole or name not in _LATER]
    if not hindrances:
        borrow(loan, lender, folder)
    return hindrances
