"""Reflection trajectories: what a student did wrong, and how a teacher goes on from there to the right answer.

A wrong trajectory of the student that zoomed is replayed without its answer. The teacher, any policy, sees the
observation with its history and a request; it names the flaw in a note, zooms again and answers, and what was graded
right is kept. The student's sampled ids stay verbatim in the record. What it did is no example to follow: `example_of`
masks every turn before `metrics["reflection_turn"]`, unless told to train on them as the published recipe does.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset

from .exemplar_filters import Exemplars
from .journal import Journal
from .policy import Policy
from .repairs import Workshop
from .trajectory import Trajectory

if TYPE_CHECKING:
    from .chat import ChatRenderer

__all__ = ["REFLECTIONS", "REFLECTION_REASONS", "ReflectionConfig", "choose_wrong", "reflect"]

REFLECTIONS: Final = "reflections.jsonl"
"""The file of a run folder that holds the repairs."""

REFLECTION_REASONS: Final = {
    "right_answer": "the student was right",
    "no_answer": "the student gave none",
    "no_zoom": "the student answered without a zoom",
    "student_slip": "an action of the student was illegal",
    "replay_differs": "the replay did not show what the student saw",
    "no_budget": "no zoom or no turn was left for the teacher",
    "error:<type>": "the video, the server or the teacher failed",
    "invalid_action": "an action of the teacher was illegal",
    "no_flaw": "the teacher's first reply has nothing in <think>",
    "no_new_look": "the teacher answered without another zoom that shows something new",
    "out_of_budget": "the teacher did not answer in time",
    "wrong_answer": "the teacher's answer is not the right one",
}
"""What a trajectory of the student, or its repair, is left out for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionConfig:
    """How the student's failures are gathered and used."""

    teacher: str = ""
    """Who repairs, named as --teacher is; empty: --teacher where it is given, else the needle dataset's expert."""
    attempts: int = 1
    """Times the student plays each training episode."""
    temperature: float = 0.8
    """Of the student's sampling."""
    mask_student: bool = True
    """Whether what the student did wrong is kept out of the loss; the published recipe trains on it."""
    equal_data: bool = False
    """Whether reflections take the place of as many exemplars, so that the amount of data stays."""
    most: float = 0.5
    """Largest share of the trajectories of the cold start that may be reflections."""


def choose_wrong(played: Sequence[Trajectory]) -> Exemplars:
    """The student's answers that were wrong after a zoom and without a slip; counts of the others by reason."""
    reasons = [_unfit(trajectory) for trajectory in played]
    kept = [trajectory for trajectory, reason in zip(played, reasons, strict=True) if not reason]
    return Exemplars(kept, dict(Counter(reason for reason in reasons if reason)))


def _unfit(trajectory: Trajectory) -> str:
    if trajectory.is_error:
        return trajectory.status
    faults = {
        "no_answer": trajectory.status != "answered" or trajectory.score is None,
        "right_answer": (trajectory.score or 0.0) > 0.0,
        "no_zoom": not trajectory.metrics.get("zooms"),
        "student_slip": bool(trajectory.metrics.get("invalid_actions")),
    }
    return next((reason for reason, is_found in faults.items() if is_found), "")


def reflect(
    dataset: Dataset,
    wrong: Sequence[Trajectory],
    teacher: Policy,
    *,
    env_options: dict[str, Any],
    budget: Budget,
    chat: ChatRenderer | None = None,
    journal: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Exemplars:
    """Let a teacher repair wrong trajectories.

    Args:
        dataset: the train split that they were played on.
        wrong: what `choose_wrong` kept.
        teacher: who repairs.
        env_options: of `VideoZoomEnv`, besides dataset and budget, as they were played with.
        budget: likewise.
        chat: the wrapping of the student's model; with it, repairs of token trajectories carry tokens: the student's
            as they were sampled, and the teacher's words rendered once, with log-probability 0.0.
        journal: a file that holds every repair as soon as it has ended; the same call on the same file goes on.
        workers: threads that step environments.
        progress: called with (repairs done, all).

    Returns:
        The repairs that were graded right, and counts of the others by reason.
    """
    workshop = Workshop(dataset, teacher, chat, {"budget": budget, "with_frames": False, **env_options}, workers)
    book = Journal(journal) if journal is not None else None
    done = {entry["key"]: entry for entry in book.entries} if book is not None else {}
    waiting = [one for one in wrong if _key(one) not in done]
    if progress is not None and done:
        progress(len(wrong) - len(waiting), len(wrong))
    try:
        for number, (student, repaired, reason) in enumerate(workshop.repair(waiting), len(wrong) - len(waiting) + 1):
            entry = {"key": _key(student), "reason": reason, "trajectory": json.loads(repaired.to_json())}
            if book is not None and not reason.startswith("error:"):
                book.append(entry)
            done[entry["key"]] = entry
            if progress is not None:
                progress(number, len(wrong))
    finally:
        if book is not None:
            book.close()
    entries = [done[_key(one)] for one in wrong]
    kept = [Trajectory.from_json(entry["trajectory"]) for entry in entries if not entry["reason"]]
    return Exemplars(kept, dict(Counter(entry["reason"] for entry in entries if entry["reason"])))


def _key(student: Trajectory) -> str:
    """Names a trajectory by what it did."""
    did = [student.episode_id, student.seed, [turn.action for turn in student.turns]]
    return hashlib.sha256(json.dumps(did).encode("ascii")).hexdigest()[:24]
