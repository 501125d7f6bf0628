"""Wrappers of what a policy reads: the text alone, and the whole conversation so far."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
from gymnasium.spaces import Dict
from gymnasium.utils import RecordConstructorArgs

from ..actions import MAX_ACTION_CHARS
from ..errors import ConfigError
from ..spaces import Unicode

__all__ = ["TextOnly", "Transcript"]

_ACTION_MARK: Final = "> "
"""Begins each line of an action in a transcript, so that what the policy wrote is told from what it was told."""


class TextOnly(gym.ObservationWrapper[str, str, dict[str, Any]], RecordConstructorArgs):
    """The observation is this turn's text, a `str` of the space `Unicode`; frames and numbers are left out.

    Build the environment with `with_frames=False`: then pictures are not even decoded where their words are known.
    """

    def __init__(self, env: gym.Env[dict[str, Any], str]) -> None:
        """Replace the observation space by its text."""
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self.observation_space = _text_space(env)

    def observation(self, observation: dict[str, Any]) -> str:
        """Keep the text."""
        text: str = observation["text"]
        return text


class Transcript(gym.Wrapper[dict[str, Any], str, dict[str, Any], str], RecordConstructorArgs):
    """`text` holds everything said in the episode so far, for policies that keep no history of their own.

    Messages and actions follow one another, oldest first, joined by newlines; each line of an action begins with `>`
    and a blank. Of an action longer than the parser reads, the beginning is kept. The rest of the observation stays.
    """

    def __init__(self, env: gym.Env[dict[str, Any], str]) -> None:
        """Widen the space of the text by what an episode can add to it."""
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        message, turns = _text_space(env).max_length, env.get_wrapper_attr("budget").max_turns
        lines = 1 + len(_ACTION_MARK)  # an action of newlines alone gains this much by each
        spaces: dict[str, gym.Space[Any]] = dict(env.observation_space.spaces)  # type: ignore[attr-defined]
        spaces["text"] = Unicode((turns + 1) * (message + lines * MAX_ACTION_CHARS + lines))
        self.observation_space = Dict(spaces)
        self._said: list[str] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode and a transcript."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._said = []
        return self._add(observation), info

    def step(self, action: str) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Take the action and write it down; one that raised is not."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._said.append("\n".join(_ACTION_MARK + line for line in action[:MAX_ACTION_CHARS].split("\n")))
        return self._add(observation), reward, terminated, truncated, info

    def _add(self, observation: dict[str, Any]) -> dict[str, Any]:
        self._said.append(observation["text"])
        return {**observation, "text": "\n".join(self._said)}


def _text_space(env: gym.Env[Any, Any]) -> Unicode:
    """The space of the text of the observations that are wrapped."""
    space = env.observation_space
    text = space.spaces.get("text") if isinstance(space, Dict) else None
    if not isinstance(text, Unicode):
        raise ConfigError(f"wanted an environment whose observation holds `text`, got the space {space}")
    return text
