"""What both sides of a comparison play: zooms and an answer that are written down, so that both do the same work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gymnasium as gym

from vz_env.actions import format_answer, format_zoom

__all__ = ["FRAME_WORDS", "Scripted", "scripted_actions", "scripted_reply"]

FRAME_WORDS: Final = "new teal 78%, gold 6%, gray 3%, red 2%, pink 2%, blue 2%, black 2%, white 2%, brown 2%, lime 1%"
"""Describes a frame where a model reads; 64 of them make a prompt of some 2,300 tokens."""

_ZOOM_STARTS: Final = (10, 30, 50)


def scripted_actions(zooms: int) -> tuple[str, ...]:
    """So many zooms of 8 s at 2 frames a second, three at most, and an answer."""
    return (*(format_zoom((start, start + 8), 2) for start in _ZOOM_STARTS[:zooms]), format_answer("A"))


def scripted_reply(action: list[int], *, filler: int, end: int, length: int) -> list[int]:
    """The ids of an action, behind as many tokens as make a reply of the wanted length.

    Raises:
        ValueError: the action is longer.
    """
    if len(action) >= length:
        raise ValueError(f"wanted an action of fewer than {length} tokens, got {len(action)}")
    return [*[filler] * (length - len(action) - 1), *action, end]


class Scripted(gym.Wrapper[Any, str, Any, str]):
    """Plays the scripted actions, whatever the policy wrote."""

    def __init__(self, env: gym.Env[Any, str], actions: Sequence[str], *, pay: float | None = None) -> None:
        """Wrap an environment.

        Args:
            env: what is played.
            actions: one a turn.
            pay: the reward of the last turn, in place of the environment's own rewards.
        """
        super().__init__(env)
        self.actions, self.pay, self.turn = actions, pay, 0

    def reset(self, **given: Any) -> Any:
        """Begin at the first action."""
        self.turn = 0
        return super().reset(**given)

    def step(self, action: str) -> Any:
        """Play the next action."""
        self.turn += 1
        seen, reward, terminated, truncated, info = super().step(self.actions[self.turn - 1])
        paid = reward if self.pay is None else self.pay * float(terminated or truncated)
        return seen, paid, terminated, truncated, info
