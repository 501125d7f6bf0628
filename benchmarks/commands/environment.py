"""How commands that play recordings again build the environment: as it was built when they were recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vz_agents.trajectory import Trajectory
from vz_env.budget import PUBLISHED_BUDGET, Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.errors import VZError

from .eval import DatasetArgs, open_dataset

__all__ = ["EnvironmentArgs", "EnvironmentShelf"]


@dataclass(frozen=True, kw_only=True)
class EnvironmentArgs:
    """The environment that the recordings were made in."""

    dataset: str = ""
    """A registered name, or the path of an annotation file (.jsonl); by default what each recording names."""
    root: Path | None = None
    """Folder of the videos: the annotation file's own by default; for Needle, a folder made by `vz needle make`."""
    describe: str = "palette"
    """The words beside each frame: none, palette or captions."""
    overview_from: Literal["exact", "keyframes"] = "exact"
    """Where overview frames were taken."""
    protocol: Literal["strict", "videozoomer"] = "strict"
    """The protocol; videozoomer with its budget where --budget is the default."""
    eyes: tuple[Literal["crop", "subtitle_search", "several_zooms", "aliases"], ...] = ()
    """What could be asked for besides."""
    reward: str | None = None
    """A preset of rewards; by default the protocol's."""
    budget: Budget = field(default_factory=Budget)
    """What an episode could cost."""

    @property
    def played_budget(self) -> Budget:
        """The budget, or the published one where the protocol is published and nothing else was asked for."""
        is_published = self.protocol == "videozoomer" and self.budget == Budget()
        return PUBLISHED_BUDGET if is_published else self.budget


class EnvironmentShelf:
    """Environments by dataset and split, each opened once, when a recording first wants it."""

    def __init__(self, args: EnvironmentArgs, *, with_frames: bool) -> None:
        """Open nothing yet."""
        self.args, self.with_frames = args, with_frames
        self._shelf: dict[tuple[str, str], VideoZoomEnv | VZError] = {}

    def get(self, trajectory: Trajectory) -> VideoZoomEnv:
        """The environment of a recording.

        Raises:
            VZError: its dataset cannot be opened.
        """
        name = (self.args.dataset or trajectory.dataset or "Needle", trajectory.split)
        if name not in self._shelf:
            try:
                self._shelf[name] = self._open(*name)
            except VZError as fault:
                self._shelf[name] = fault
        found = self._shelf[name]
        if isinstance(found, VZError):
            raise found
        return found

    def close(self) -> None:
        """Close every environment."""
        for env in self._shelf.values():
            if isinstance(env, VideoZoomEnv):
                env.close()

    def _open(self, name: str, split: str) -> VideoZoomEnv:
        args = self.args
        dataset: Dataset = open_dataset(DatasetArgs(dataset=name, root=args.root, split=split or "test"))
        return VideoZoomEnv(
            dataset,
            budget=args.played_budget,
            describe=args.describe,
            overview_from=args.overview_from,
            protocol=args.protocol,
            eyes=args.eyes,
            reward=args.reward,
            with_frames=self.with_frames,
        )
