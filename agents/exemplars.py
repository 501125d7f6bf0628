"""Exemplar trajectories for the cold start: a teacher plays the training episodes, and what was graded right is kept.

The teacher is any policy. For the uniform-sampling arm, which never zooms, the teacher is told the answers of the
train split, so that its student learns the most that its frames can say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.errors import DatasetError

from .needle_expert import NeedleExpert, spaced_answer
from .policy import Observation, Policy
from .rollout import collect_rollouts
from .trajectory import Trajectory

__all__ = ["AnswerTeacher", "Exemplars", "collect_exemplars", "read_exemplars", "write_exemplars"]


@dataclass(frozen=True, slots=True)
class Exemplars:
    """What was kept, and why the rest was not: counts by reason."""

    kept: list[Trajectory]
    rejected: dict[str, int]


class AnswerTeacher:
    """Answers at once, with the answer of the train split's key and a note of what the frames show.

    Teaches a policy that cannot zoom. It reads the key, and so may only play a train split.
    """

    name = "AnswerTeacher"
    reads_key = True
    needs_frames = False
    batch_size = 16

    def __init__(self, dataset: Dataset) -> None:
        """Take the train split whose answers are told."""
        self.dataset = dataset
        self._reader = NeedleExpert()

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """One answer for each observation."""
        return [self._answer(observation) for observation in observations]

    def _answer(self, observation: Observation) -> str:
        key = self.dataset.key(observation.episode.id)
        right = observation.episode.options[key.answer_indices[0]] if key.answer_indices else key.answer_texts[0]
        return f"<think>{self._reader.overview_note(observation)}</think>{spaced_answer(right)}"


def collect_exemplars(
    dataset: Dataset,
    teacher: Policy,
    *,
    env_options: dict[str, Any],
    budget: Budget,
    seed: int,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Exemplars:
    """Let the teacher play every episode once and keep what is fit to be imitated.

    Args:
        dataset: the train split.
        teacher: who plays.
        env_options: of `VideoZoomEnv`, besides dataset and budget.
        budget: what an episode may cost.
        seed: of the rollouts.
        workers: threads that step environments.
        progress: called with (episodes done, all).

    Returns:
        Trajectories that were answered right without a single invalid action, and counts of the others by reason.
    """
    done = 0

    def count(_: Trajectory) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(dataset))

    played = collect_rollouts(
        lambda: VideoZoomEnv(dataset, budget=budget, **{"with_frames": False, **env_options}),
        teacher,
        dataset.ids,
        seed=seed,
        workers=workers,
        on_trajectory=count,
    )
    reasons = [_fault(trajectory) for trajectory in played]
    return Exemplars(
        [trajectory for trajectory, reason in zip(played, reasons, strict=True) if not reason],
        dict(Counter(reason for reason in reasons if reason)),
    )


def _fault(trajectory: Trajectory) -> str:
    """Why a trajectory is not fit to be imitated; empty when it is."""
    if trajectory.is_error:
        return trajectory.status
    if trajectory.metrics.get("invalid_actions"):
        return "invalid_action"
    if trajectory.status != "answered":
        return trajectory.status
    return "" if trajectory.score == 1.0 else "wrong_answer"


def write_exemplars(path: Path, exemplars: Exemplars) -> None:
    """Write the kept trajectories, one JSON line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    unfinished.write_text("".join(f"{trajectory.to_json()}\n" for trajectory in exemplars.kept), encoding="ascii")
    unfinished.replace(path)


def read_exemplars(path: Path) -> list[Trajectory]:
    """Read what `write_exemplars` wrote.

    Raises:
        DatasetError: there is no such file, or a line is no trajectory.
    """
    try:
        return [Trajectory.from_json(line) for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError) as fault:
        raise DatasetError(
            f"wanted exemplars in {path}, got: {fault}; remove the file to collect them again"
        ) from fault
