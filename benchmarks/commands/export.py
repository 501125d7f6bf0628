"""`vz export`: trajectories with their frames in the format of another trainer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import tyro

from vz_agents.interchange.conversation import Message, conversation_of
from vz_agents.interchange.frames import FrameFolder
from vz_agents.interchange.llama_factory import write_llama_factory
from vz_agents.interchange.trl import write_trl
from vz_agents.interchange.videozoomer import write_videozoomer_sft
from vz_agents.trajectory import Trajectory
from vz_agents.trajectory_files import read_trajectories
from vz_env.errors import VZError

from ..console import note, progress_bar, show
from .environment import EnvironmentArgs, EnvironmentShelf

__all__ = ["ExportArgs", "run_export"]

EXIT_SOME_LEFT_OUT = 3
_WRITERS: Final = {"videozoomer": write_videozoomer_sft, "llama-factory": write_llama_factory, "trl": write_trl}


@dataclass(frozen=True, kw_only=True)
class ExportArgs:
    """Write trajectories for another trainer. Each is played again for its frames, and left out if it differs."""

    trajectories: tyro.conf.Positional[Path]
    """The .jsonl file: trajectories, one a line, or the results.jsonl of an evaluation."""
    to: Literal["videozoomer", "llama-factory", "trl"]
    """The format: VideoZoomer's SFT JSON, LLaMA-Factory with its dataset_info.json, or TRL's conversational lines."""
    out: Path
    """Folder for the file and its pictures."""
    name: str = "vz_sft"
    """Name of the file, and of the dataset in it."""
    system: bool = True
    """Open each conversation with the rules of the game."""
    only_right: bool = False
    """Only trajectories of score 1."""
    environment: Annotated[EnvironmentArgs, tyro.conf.arg(name="")] = field(default_factory=EnvironmentArgs)
    """How they were recorded."""


def run_export(args: ExportArgs) -> int:
    """Run the command; returns its exit code: 0, or 3 when something was left out that should not have been."""
    export = _Export(args)
    try:
        written = _WRITERS[args.to](args.out, args.name, export.conversations())
    finally:
        export.shelf.close()
    kept = f"{export.done} trajectories" + (f", {export.left_out} left out" if export.left_out else "")
    show(f"{kept}: {', '.join(map(str, written))}")
    return EXIT_SOME_LEFT_OUT if export.left_out else 0


class _Export:
    """An export under way, and what it counts."""

    def __init__(self, args: ExportArgs) -> None:
        self.args, self.done, self.left_out = args, 0, 0
        self.shelf = EnvironmentShelf(args.environment, with_frames=True)

    def conversations(self) -> Iterator[tuple[Trajectory, list[Message]]]:
        """Every trajectory that can be exported; the others are told on stderr and counted."""
        args = self.args
        read = read_trajectories(args.trajectories)
        for line, message in read.rejected.items():
            self._leave_out(line, message)
        chosen = {line: one for line, one in read.trajectories.items() if not args.only_right or one.score == 1.0}
        folder = FrameFolder(args.out)
        with progress_bar("exporting") as progress:
            for number, (line, trajectory) in enumerate(chosen.items(), start=1):
                try:
                    env = self.shelf.get(trajectory)
                    images = folder.save_frames(env, trajectory)
                    system = env.system_text if args.system else ""
                    messages = conversation_of(trajectory, images, system=system)
                except VZError as fault:
                    self._leave_out(line, str(fault))
                else:
                    self.done += 1
                    yield trajectory, messages
                progress(number, len(chosen))

    def _leave_out(self, line: int, message: str) -> None:
        self.left_out += 1
        note(f"{self.args.trajectories}:{line}: left out: {message}")
