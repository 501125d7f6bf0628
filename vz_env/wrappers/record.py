"""`RecordTrajectory`: every finished episode as one line of a JSONL file, as `vz_agents.Trajectory` reads it."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from ..actions import MAX_ACTION_CHARS
from ..errors import ConfigError, VideoError

__all__ = ["TRAJECTORY_METRICS", "RecordTrajectory"]

SCHEMA_VERSION: Final = 1  # of the trajectory format
TRAJECTORY_METRICS: Final = (
    "frames_used",
    "zooms",
    "invalid_actions",
    "evidence_hit",
    "evidence_coverage",
    "evidence_iou",
    "evidence_frames",
    "first_hit_turn",
    "redundancy",
)
"""What of an episode's last `info` a trajectory keeps as its metrics."""
_STATUS: Final = {"answered": "answered", "invalid_limit": "invalid_limit", "stopped": "stopped"}
"""Of an end's reason; every other one is a budget that is spent."""


class RecordTrajectory(gym.Wrapper[Any, Any, dict[str, Any], str], RecordConstructorArgs):
    """Appends each episode that ends to a file: texts, times, actions, rewards and infos; no pixels, no answer key.

    A line is written in one piece and flushed to the disk, so several environments may share a file and a crash loses
    no finished episode. An episode that is left before its end is not written, unless a fault of its video ended it:
    then its status is `error:<type>`. Wrap the environment itself, below wrappers that change texts or actions.

    Args:
        env: a `VideoZoomEnv`.
        path: the file; its folder is made. What it holds already is kept.
        policy: the name to record.

    Raises:
        ConfigError: the path is a folder.
    """

    def __init__(self, env: gym.Env[dict[str, Any], str], path: str | os.PathLike[str], *, policy: str = "") -> None:
        """Make the folder; the file is opened for each line."""
        self.path, self.policy = Path(path).absolute(), policy  # a worker may change its folder
        if self.path.is_dir():
            raise ConfigError(f"a file to append episodes to was wanted, {self.path} is a folder: name a file in it")
        RecordConstructorArgs.__init__(self, path=os.fspath(path), policy=policy)
        gym.Wrapper.__init__(self, env)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._record: dict[str, Any] | None = None
        self._shown: dict[str, Any] = {}
        self._started_at = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and its record."""
        self._write_fault()
        started_at = time.monotonic()
        observation, info = self.env.reset(seed=seed, options=options)
        self._started_at, self._shown = started_at, observation
        self._record = {
            "episode_id": info["episode_id"],
            "dataset": info["dataset"],
            "split": info["split"],
            "policy": self.policy,
            "seed": seed if seed is not None else 0,
            "turns": [],
            "status": "",
            "reward": 0.0,
            "score": None,
            "metrics": {},
            "tokens": None,
            "error": "",
            "seconds": 0.0,
            "schema_version": SCHEMA_VERSION,
        }
        return observation, info

    def step(self, action: str) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take the action, and write the episode when it ended."""
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except VideoError as fault:  # the step may be tried again; when it is not, this is how the episode ended
            if self._record is not None:
                self._record |= {"status": f"error:{type(fault).__name__}", "error": str(fault)}
            raise
        record = self._record
        if record is not None:
            record |= {"status": "", "error": "", "reward": record["reward"] + float(reward)}
            record["turns"].append(
                {
                    "observation": self._shown["text"],
                    "timestamps": self._shown["timestamps"].tolist(),
                    "action": action[: 2 * MAX_ACTION_CHARS],  # past what is read, and still too long
                    "reward": float(reward),
                    "info": info,
                }
            )
            self._shown = observation
            if terminated or truncated:
                self._close_record(record, info)
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Write an episode that a fault ended, and close the environment."""
        self._write_fault()
        super().close()

    def _close_record(self, record: dict[str, Any], info: dict[str, Any]) -> None:
        """Fill in how the episode ended, and write it."""
        numbers: dict[str, Any] = {name: info[name] for name in TRAJECTORY_METRICS if name in info}
        numbers |= {f"reward_{name}": term for name, term in (info.get("reward_terms") or {}).items()}
        record["metrics"] = {name: None if value is None else float(value) for name, value in numbers.items()}
        reason = info.get("end_reason")  # none when another wrapper, such as a time limit, ended it
        record |= {"status": _STATUS.get(str(reason), "out_of_budget"), "score": info.get("score")}
        self._write(record)

    def _write_fault(self) -> None:
        """Write an episode that is being left after a fault of its video."""
        if self._record is not None and self._record["status"]:
            self._write(self._record)

    def _write(self, record: dict[str, Any]) -> None:
        """Append one line in one system call."""
        self._record = None
        record["seconds"] = time.monotonic() - self._started_at
        line = json.dumps(_plain(record), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode("ascii") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _plain(value: Any) -> Any:
    """What JSON holds: numpy becomes Python, NaN and infinities become None."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
