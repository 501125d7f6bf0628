"""The frames of a trajectory as PNG files, taken from a replay: an export shows what was recorded, or says why not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_env.errors import DatasetError

from ..replay import replay_trajectory
from ..trajectory import Trajectory

__all__ = ["FrameFolder"]


class FrameFolder:
    """A folder of PNGs named by their content: a frame that many trajectories show is written once."""

    def __init__(self, root: Path, name: str = "images") -> None:
        """Take the folder of an export; pictures lie in `name` below it, and paths are relative to `root`."""
        self.root, self.name = root, name

    def save_frames(self, env: gym.Env[Any, str], trajectory: Trajectory) -> list[list[str]]:
        """Play a trajectory again and write the frames of each turn.

        Args:
            env: an environment with frames, built as for the recording.
            trajectory: what was recorded.

        Returns:
            For each turn the paths of its frames, relative to the folder of the export.

        Raises:
            DatasetError: the recording ended in an error, cannot be played, or what is seen is not what was recorded.
        """
        if trajectory.is_error:
            raise DatasetError(f"{trajectory.episode_id}: ended in {trajectory.status}, there is nothing to learn from")
        frames: list[NDArray[np.uint8]] = []
        replay = replay_trajectory(env, trajectory, on_observation=lambda _, seen: frames.append(seen["frames"].copy()))
        if not replay.is_same:
            why = replay.fault or "; ".join(map(str, replay.differences[:2]))
            raise DatasetError(f"{trajectory.episode_id}: is not what was recorded: {why}")
        return [[self._save(frame) for frame in batch] for batch in frames]

    def _save(self, frame: NDArray[np.uint8]) -> str:
        """Write one frame (height, width, 3) unless it is there; returns its path."""
        digest = hashlib.sha256(repr(frame.shape).encode() + np.ascontiguousarray(frame).tobytes()).hexdigest()[:24]
        relative = f"{self.name}/{digest[:2]}/{digest}.png"
        path = self.root / relative
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                Image.fromarray(frame).save(unfinished, format="PNG")
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
        return relative
