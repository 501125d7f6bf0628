"""Exemplar trajectories for the cold start: a teacher plays the training episodes, and what is fit to imitate is kept.

The teacher is any policy. For the uniform-sampling arm, which never zooms, the teacher is told the answers of the
train split, so that its student learns the most that its frames can say. What is kept is said in `exemplar_filters`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.errors import DatasetError

from .exemplar_filters import ExemplarConfig, Exemplars, choose_exemplars
from .journal import Journal
from .needle_expert import NeedleExpert, conclude
from .policy import Observation, Policy
from .rollout import collect_rollouts, episode_seed
from .trajectory import Trajectory
from .trajectory_files import write_trajectories

__all__ = [
    "EXEMPLARS",
    "AnswerTeacher",
    "ExemplarConfig",
    "Exemplars",
    "collect_exemplars",
    "read_counts",
    "read_exemplars",
    "write_exemplars",
]

EXEMPLARS: Final = "exemplars.jsonl"
"""The file of a run folder that holds what was kept; beside it, with `.json`, why the rest was not."""


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
        return conclude(self._reader.overview_note(observation), right)


def collect_exemplars(
    dataset: Dataset,
    teacher: Policy,
    *,
    env_options: dict[str, Any],
    budget: Budget,
    seed: int,
    config: ExemplarConfig | None = None,
    journal: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Exemplars:
    """Let the teacher play every episode and keep what is fit to be imitated.

    Args:
        dataset: the train split.
        teacher: who plays.
        env_options: of `VideoZoomEnv`, besides dataset and budget.
        budget: what an episode may cost.
        seed: of the rollouts.
        config: how often each is played, and what is kept; by default once, and right answers without a mistake.
        journal: a file that holds every attempt as soon as it has ended; the same call on the same file goes on.
        workers: threads that step environments.
        progress: called with (attempts done, all).

    Returns:
        The trajectories that were kept, and counts of the others by reason.

    Raises:
        ConfigError: another process writes to the journal, or a remote teacher is refused at its first request.
        DatasetError: the journal is none.
    """
    config = config or ExemplarConfig()
    # A round plays each episode once, so that what a crash left out gets the seed that it would have had.
    rounds = [seed, *(episode_seed(seed, "attempt", number) for number in range(1, config.attempts))]
    wanted = [(name, episode_seed(round_seed, name)) for round_seed in rounds for name in dataset.ids]
    book = _Attempts(wanted, journal, progress)
    try:
        for round_seed in rounds:
            for _ in range(1 + config.retries):
                missing = [name for name in dataset.ids if book.wants(name, episode_seed(round_seed, name))]
                if missing:
                    collect_rollouts(
                        lambda: VideoZoomEnv(dataset, budget=budget, **{"with_frames": False, **env_options}),
                        teacher,
                        missing,
                        seed=round_seed,
                        workers=workers,
                        on_trajectory=book.enter,
                    )
    finally:
        book.close()
    return choose_exemplars([book.played[job] for job in wanted], dataset, config, seed=seed)


class _Attempts:
    """What has been played of what is wanted, by (episode, seed); on the disk too where there is a journal."""

    def __init__(
        self,
        wanted: list[tuple[str, int]],
        journal: Path | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._all, self._progress = len(wanted), progress
        self._journal = None if journal is None else Journal(journal)
        self.played: dict[tuple[str, int], Trajectory] = {}
        jobs = set(wanted)
        for entry in self._journal.entries if self._journal else ():
            trajectory = Trajectory.from_json(entry)
            if (job := (trajectory.episode_id, trajectory.seed)) in jobs:
                self.played[job] = trajectory
        if self.played:
            self._tell()

    def wants(self, name: str, seed: int) -> bool:
        """Whether an attempt has still to be made, or ended in a fault."""
        found = self.played.get((name, seed))
        return found is None or found.is_error

    def enter(self, trajectory: Trajectory) -> None:
        """Keep an attempt."""
        if self._journal is not None:
            self._journal.append(json.loads(trajectory.to_json()))
        self.played[trajectory.episode_id, trajectory.seed] = trajectory
        self._tell()

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(len(self.played), self._all)


def write_exemplars(path: Path, exemplars: Exemplars) -> None:
    """Write the kept trajectories, one JSON line each, and beside them (`.json`) how many were rejected for what."""
    counts = {"kept": len(exemplars.kept), "rejected": exemplars.rejected}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(counts, indent=2) + "\n", encoding="ascii")
    write_trajectories(path, exemplars.kept)  # last: who finds this file finds the counts too


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


def read_counts(path: Path) -> tuple[int, dict[str, int]]:
    """How many were kept and how many rejected for what, of exemplars that lie in `path`; nothing where it is not said.

    Raises:
        DatasetError: the counts are no such JSON.
    """
    try:
        counts = json.loads(path.with_suffix(".json").read_text(encoding="ascii"))
        return int(counts["kept"]), {str(reason): int(count) for reason, count in counts["rejected"].items()}
    except FileNotFoundError:
        return 0, {}
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DatasetError(f"wanted counts beside {path}, got: {fault}; remove both to collect them again") from fault
