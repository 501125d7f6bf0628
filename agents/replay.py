"""Playing a recorded trajectory again: the same actions in the same environment must show and earn the same.

What differs was recorded with other settings, with another version, from another video, or was changed afterwards. The
environment must be built as it was for the recording (budget, protocol, descriptions, reward): a record holds what was
seen, not how the environment was configured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import gymnasium as gym
import numpy as np

from vz_env.errors import DatasetError, VideoError

from .trajectory import Trajectory, TurnRecord, status_of

__all__ = ["Difference", "Replay", "replay_trajectory"]

_TOLERANCE: Final = 1e-6  # seconds and rewards: what a sum in another order may move
_EXCERPT: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that the replay showed otherwise.

    `turn` counts from 0 and is None for the episode as a whole; `what` is `text`, `timestamps`, `reward`, `status`,
    `score` or `turns`; `recorded` and `replayed` are excerpts around the first place where the two part.
    """

    turn: int | None
    what: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        """One line."""
        where = "episode" if self.turn is None else f"turn {self.turn}"
        return f"{where}: {self.what}: recorded {self.recorded}, replayed {self.replayed}"


@dataclass(slots=True, kw_only=True)
class Replay:
    """What came of a replay: `differences`, and a `fault` when it could not be played to its end."""

    episode_id: str
    differences: list[Difference] = field(default_factory=list)
    fault: str = ""

    @property
    def is_same(self) -> bool:
        """Whether everything recorded was seen again."""
        return not (self.differences or self.fault)


def replay_trajectory(
    env: gym.Env[Any, str],
    trajectory: Trajectory,
    *,
    on_observation: Callable[[int, dict[str, Any]], None] | None = None,
) -> Replay:
    """Play the actions of a trajectory again and compare what is seen and earned with what was recorded.

    A fault that the recording met too (the same type of error at the same place) is no difference.

    Args:
        env: an environment that holds the episode, built as for the recording.
        trajectory: what was recorded.
        on_observation: called with the number of the turn and the observation before its action.

    Returns:
        The differences; with `fault` when the episode or its video is missing.
    """
    return _Player(env, trajectory, on_observation).play()


class _Player:
    """One replay under way."""

    def __init__(
        self,
        env: gym.Env[Any, str],
        trajectory: Trajectory,
        on_observation: Callable[[int, dict[str, Any]], None] | None,
    ) -> None:
        self.env, self.trajectory, self.on_observation = env, trajectory, on_observation
        self.replay = Replay(episode_id=trajectory.episode_id)
        self.reward = 0.0

    def play(self) -> Replay:
        try:
            self._play()
        except (VideoError, DatasetError) as fault:
            if self.trajectory.status != f"error:{type(fault).__name__}":
                self.replay.fault = f"{type(fault).__name__}: {fault}"
        return self.replay

    def _play(self) -> None:
        recorded = self.trajectory
        seen, _ = self.env.reset(seed=recorded.seed, options={"episode_id": recorded.episode_id})
        info: dict[str, Any] = {}
        for number, turn in enumerate(recorded.turns):
            if "end_reason" in info:
                self._differ(None, "turns", len(recorded.turns), number)
                break
            self._compare_sight(number, turn, seen)
            if self.on_observation is not None:
                self.on_observation(number, seen)
            seen, reward, _, _, info = self.env.step(turn.action)
            self.reward += float(reward)
            if _is_far(turn.reward, float(reward)):
                self._differ(number, "reward", turn.reward, float(reward))
        self._compare_end(info)

    def _compare_sight(self, number: int, turn: TurnRecord, seen: dict[str, Any]) -> None:
        if turn.observation != seen["text"]:
            self._differ(number, "text", *_excerpts(turn.observation, seen["text"]))
        times = np.asarray(seen["timestamps"], dtype=np.float64).tolist()
        if len(times) != len(turn.timestamps):
            self._differ(number, "timestamps", f"{len(turn.timestamps)} frames", f"{len(times)} frames")
            return
        pairs = zip(turn.timestamps, times, strict=True)
        far = next(((was, now) for was, now in pairs if _is_far(was, now)), None)
        if far is not None:
            self._differ(number, "timestamps", f"{far[0]:g} s", f"{far[1]:g} s")

    def _compare_end(self, info: dict[str, Any]) -> None:
        recorded = self.trajectory
        if recorded.is_error:  # what went wrong then, in the policy or in the video, is not there to be seen again
            return
        status = status_of(info["end_reason"]) if "end_reason" in info else "under way"
        if recorded.status != status:
            self._differ(None, "status", recorded.status or "none", status)
        score = info.get("score")
        if (recorded.score is None) != (score is None) or _is_far(recorded.score or 0.0, score or 0.0):
            self._differ(None, "score", recorded.score, score)
        if _is_far(recorded.reward, self.reward):
            self._differ(None, "reward", recorded.reward, self.reward)

    def _differ(self, turn: int | None, what: str, recorded: object, replayed: object) -> None:
        self.replay.differences.append(Difference(turn=turn, what=what, recorded=str(recorded), replayed=str(replayed)))


def _is_far(one: float, other: float) -> bool:
    return not math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _excerpts(recorded: str, replayed: str) -> tuple[str, str]:
    """Both texts around the first letter that differs."""
    letters = zip(recorded, replayed, strict=False)
    place = next((place for place, (one, other) in enumerate(letters) if one != other), None)
    start = max(0, (min(len(recorded), len(replayed)) if place is None else place) - _EXCERPT // 3)
    return repr(recorded[start : start + _EXCERPT]), repr(replayed[start : start + _EXCERPT])
