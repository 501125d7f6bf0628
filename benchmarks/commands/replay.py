"""`vz replay`: play recorded actions again, and say where frames, texts or rewards are no longer those recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from vz_agents.replay import Replay, replay_trajectory
from vz_agents.trajectory import Trajectory
from vz_agents.trajectory_files import read_trajectories
from vz_env.errors import VZError

from ..console import note, progress_bar, show
from .environment import EnvironmentArgs, EnvironmentShelf

__all__ = ["ReplayArgs", "run_replay"]

EXIT_DIFFERENT = 1


@dataclass(frozen=True, kw_only=True)
class ReplayArgs:
    """Play recorded trajectories again. Exit code 0: all of them came out as recorded; 1: not."""

    trajectories: tyro.conf.Positional[Path]
    """The .jsonl file: trajectories, one a line, or the results.jsonl of an evaluation."""
    environment: Annotated[EnvironmentArgs, tyro.conf.arg(name="")] = field(default_factory=EnvironmentArgs)
    """How they were recorded."""
    limit: int | None = None
    """Only the first so many."""


def run_replay(args: ReplayArgs) -> int:
    """Run the command; returns its exit code."""
    read = read_trajectories(args.trajectories)
    for line, message in read.rejected.items():
        note(f"{args.trajectories}:{line}: {message}")
    shelf = EnvironmentShelf(args.environment, with_frames=False)
    chosen = dict(list(read.trajectories.items())[: args.limit])
    same = 0
    try:
        with progress_bar("replaying") as progress:
            for done, (line, trajectory) in enumerate(chosen.items(), start=1):
                replay = _replay(shelf, trajectory)
                same += replay.is_same
                _tell(f"{args.trajectories}:{line}", replay)
                progress(done, len(chosen))
    finally:
        shelf.close()
    show(f"{same} of {len(chosen)} trajectories came out as recorded; {len(read.rejected)} lines hold none")
    return 0 if chosen and same == len(chosen) and not read.rejected else EXIT_DIFFERENT


def _replay(shelf: EnvironmentShelf, trajectory: Trajectory) -> Replay:
    try:
        return replay_trajectory(shelf.get(trajectory), trajectory)
    except VZError as fault:  # its dataset is not here: the others may well be
        return Replay(episode_id=trajectory.episode_id, fault=f"{type(fault).__name__}: {fault}")


def _tell(place: str, replay: Replay) -> None:
    if replay.fault:
        note(f"{place}: {replay.episode_id}: cannot be played: {replay.fault}")
    for difference in replay.differences:
        show(f"{place}: {replay.episode_id}: {difference}")
