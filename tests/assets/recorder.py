"""A policy that keeps what it was shown."""

from __future__ import annotations

from collections.abc import Sequence

from vz_agents.policy import Observation

__all__ = ["Recorder"]


class Recorder:
    """Replies with the same words to everything, and keeps the observations."""

    name, fingerprint = "Recorder", "1"

    def __init__(self, reply: str = "B", *, needs_frames: bool = True) -> None:
        self.reply, self.needs_frames = reply, needs_frames
        self.seen: list[Observation] = []

    def act(self, observations: Sequence[Observation]) -> list[str]:
        self.seen += observations
        return [self.reply for _ in observations]
