"""A scripted in-memory environment: what a rollout needs of one, without videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from vz_env.episode import Episode
from vz_env.errors import UnknownEpisode, VideoDecodeError


class ScriptedEnv(gym.Env[dict[str, Any], str]):
    """Ends when answered or after three turns; "B" is right; an id with "broken" in it has no pictures."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids, self.turn, self.episode, self.is_closed = ids, 0, None, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        episode_id = options["episode_id"]
        if episode_id not in self.ids:
            raise UnknownEpisode(f"no episode {episode_id!r}")
        if "broken" in episode_id:
            raise VideoDecodeError(f"{episode_id}.mp4 is empty")
        self.turn = 0
        self.episode = Episode(
            id=episode_id,
            question="In the teal scene a card appears. Which colour is it?",
            video_path=Path("/nowhere/a.mp4"),
            duration_seconds=320.0,
            options=("red", "blue", "gold", "pink"),
        )
        return self._see("0s: teal 88%\n10s: teal 60%, gold 30%"), {"dataset": "Scripted", "split": "test"}

    def step(self, action):
        self.turn += 1
        if "tear" in action:
            raise VideoDecodeError("torn in the middle")
        if action.startswith("<answer>"):
            score = float("B" in action)
            return self._see("Episode over."), score, True, False, self._end("answered", score)
        if self.turn == 3:
            return self._see("Episode over."), 0.0, False, True, self._end("out_of_turns", 0.0)
        return self._see(f"Zoom {self.turn}"), 0.0, False, False, {"action": "zoom", "frames_new": np.int64(2)}

    def close(self):
        self.is_closed = True

    def _see(self, text):
        budget = {name: np.array(3 - self.turn, dtype=np.int64) for name in ("turns", "zooms", "frames")}
        frames, stamps = np.zeros((2, 4, 4, 3), np.uint8), np.array([0.0, 10.0])
        return {"text": text, "frames": frames, "timestamps": stamps, "budget": budget}

    def _end(self, reason, score):
        return {
            "end_reason": reason,
            "score": score,
            "action": "answer",
            "frames_used": 4,
            "zooms": self.turn - 1,
            "evidence_hit": False,
            "reward_terms": {"accuracy": score},
        }


@pytest.fixture
def scripted_env():
    """A maker of scripted environments over the given ids."""

    def make(*ids: str) -> ScriptedEnv:
        return ScriptedEnv(ids)

    return make
