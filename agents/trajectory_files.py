"""Files of trajectories: a JSON line an episode, bare or in a result; a bad line is a message, the others go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vz_env.errors import DatasetError

from .trajectory import Trajectory, TurnRecord

__all__ = ["TrajectoryFile", "read_trajectories", "write_trajectories"]

_SEEDS: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class TrajectoryFile:
    """What a file holds: trajectories by the number of their line (from 1), and the lines that hold none."""

    trajectories: dict[int, Trajectory] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)


def read_trajectories(path: Path) -> TrajectoryFile:
    """Read trajectories, as `Trajectory.to_json`, `RecordTrajectory` and the results of an evaluation write them.

    Raises:
        DatasetError: there is no such file; a line that holds no trajectory is in `rejected` instead.
    """
    read = TrajectoryFile()
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    read.trajectories[number] = _parse(line)
                except DatasetError as fault:
                    read.rejected[number] = str(fault)
    except OSError as fault:
        raise DatasetError(f"wanted a file of trajectories, cannot read {path}: {fault.strerror}") from fault
    return read


def write_trajectories(path: Path, trajectories: Iterable[Trajectory]) -> None:
    """Write trajectories, one line each, so that the file is either complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(f"{trajectory.to_json()}\n" for trajectory in trajectories)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _parse(line: bytes) -> Trajectory:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise DatasetError(f"wanted a trajectory as one JSON object, got {line[:60]!r}: {fault}") from fault
    if isinstance(value, dict) and isinstance(value.get("trajectory"), dict):  # a result of an evaluation
        value = value["trajectory"]
    if not isinstance(value, dict):
        raise DatasetError(f"wanted a trajectory as one JSON object, got {line[:60]!r}")
    trajectory = Trajectory.from_json(value)
    _check(trajectory)
    return trajectory


def _check(trajectory: Trajectory) -> None:
    """Refuse what a file from elsewhere may hold in the place of texts and numbers.

    Raises:
        DatasetError: a field of another type.
    """
    texts = [trajectory.episode_id, trajectory.dataset, trajectory.split, trajectory.policy, trajectory.status]
    if not all(isinstance(text, str) for text in texts) or not trajectory.episode_id:
        raise DatasetError(f"wanted episode_id, dataset, split, policy and status as texts, got {texts!r:.200}")
    if not (isinstance(trajectory.seed, int) and 0 <= trajectory.seed < _SEEDS):
        raise DatasetError(f"wanted a seed of 0 or more, got {trajectory.seed!r:.60}")
    if not _is_number(trajectory.reward) or not (trajectory.score is None or _is_number(trajectory.score)):
        raise DatasetError(f"wanted numbers as reward and score, got {trajectory.reward!r}, {trajectory.score!r}")
    for number, turn in enumerate(trajectory.turns):
        if not _is_turn(turn):
            raise DatasetError(
                f"turn {number}: wanted texts, a list of times and a reward as a number, got {turn!r:.200}"
            )


def _is_turn(turn: TurnRecord) -> bool:
    texts = isinstance(turn.observation, str) and isinstance(turn.action, str)
    times = isinstance(turn.timestamps, list) and all(_is_number(time) for time in turn.timestamps)
    return texts and times and _is_number(turn.reward) and isinstance(turn.info, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
