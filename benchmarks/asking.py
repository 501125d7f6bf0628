"""An environment in which one policy has looked already, and whoever plays is asked once for the answer.

The looking policy's zooms are played inside `reset`; what it saw is one observation, told in words of the caller's or
in the environment's own. Whatever the reply is, it is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vz_agents.policy import Observation, PastTurn, Policy
from vz_env.actions import Answer, Zoom, format_answer, parse_action
from vz_env.episode import Episode
from vz_env.prompts import left_line

__all__ = ["AskOnce", "Seen"]

MAX_ANSWER_CHARS: Final = 4096  # nothing longer is read as an answer
_NO_TAGS: Final = str.maketrans("<>", "()")
_NOTHING_LEFT: Final = left_line(zooms_left=0, frames_per_zoom=0)


@dataclass(slots=True)
class Seen:
    """What was seen of an episode, turn by turn; `pictures` of the question stand behind the frames of the first."""

    episode: Episode
    texts: list[str] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, seen: dict[str, Any]) -> None:
        """Take a turn in."""
        self.texts.append(seen["text"])
        self.frames.append(seen["frames"])
        self.times.append(np.asarray(seen["timestamps"], dtype=np.float64))

    @property
    def video_times(self) -> NDArray[np.float64]:
        """Times of the video's frames (n,) in order, without those of the question's pictures."""
        pictures = len(self.episode.question_images)
        first = self.times[0][: len(self.times[0]) - pictures]
        return np.sort(np.concatenate([first, *self.times[1:]]))

    def told_by_environment(self) -> tuple[str, NDArray[np.uint8], NDArray[np.float64]]:
        """All turns' messages one after the other, frames in the order of their lines; no zoom is left to make."""
        bodies = [_without_left(text) for text in self.texts[:-1]]
        last = _without_left(self.texts[-1])
        is_ours = len(last) < len(self.texts[-1])
        text = "\n".join([*bodies, last, _NOTHING_LEFT] if is_ours else [*bodies, last])
        return text, _joined(self.frames), np.concatenate(self.times)

    def in_order(self) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """All frames in order of time, the question's pictures last."""
        pictures, first = len(self.episode.question_images), len(self.times[0])
        times, frames = np.concatenate(self.times), _joined(self.frames)
        is_picture = np.zeros(len(times), dtype=bool)
        is_picture[first - pictures : first] = True
        order = np.lexsort((times, is_picture))
        return (frames[order] if len(frames) else frames), times[order]


class AskOnce(gym.Wrapper[dict[str, Any], str, dict[str, Any], str]):
    """See the module.

    Args:
        env: an episode's environment.
        look: who looks first; None for whoever is content with the overview.
        tell: makes the text of the one observation; None for the environment's own words.
    """

    def __init__(
        self, env: gym.Env[dict[str, Any], str], *, look: Policy | None, tell: Callable[[Seen], str] | None
    ) -> None:
        """Wrap an environment."""
        super().__init__(env)
        self.look, self.tell = look, tell

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode, look, and show everything at once."""
        shown, info = self.env.reset(seed=seed, options=options)
        seen = Seen(self.env.unwrapped.episode)  # type: ignore[attr-defined]
        seen.add(shown)
        if self.look is not None:
            shown = self._look(self.look, seen, shown)
        if self.tell is None:
            text, frames, times = seen.told_by_environment()
        else:
            text, (frames, times) = self.tell(seen), seen.in_order()
        # What is left of the budget is for whoever looked; the one that is asked has one turn.
        budget = {name: np.zeros_like(left) for name, left in shown["budget"].items()}
        budget["turns"] = np.ones_like(shown["budget"]["turns"])
        return {**shown, "text": text, "frames": frames, "timestamps": times, "budget": budget}, info

    def step(self, action: str) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Give the reply as the answer, inside tags where it has put none."""
        return self.env.step(_as_answer(action))

    def _look(self, look: Policy, seen: Seen, shown: dict[str, Any]) -> dict[str, Any]:
        """Play a policy's zooms until it would answer, errs, or could not answer any more afterwards."""
        history: tuple[PastTurn, ...] = ()
        while True:
            (action,) = look.act([_observation(shown, seen.episode, history)])
            if not isinstance(parse_action(action), Zoom) or int(shown["budget"]["turns"]) < 2:
                return shown
            history = (*history, PastTurn(shown["text"], action))
            shown, _, _, _, info = self.env.step(action)
            if info.get("action") != "zoom":
                return shown
            seen.add(shown)


def _as_answer(reply: str) -> str:
    """A reply as an answer; other tags in it, such as a zoom that nobody offered, are words of the answer."""
    for text in (reply, f"<answer>{reply}</answer>"):
        if isinstance(parse_action(text), Answer):
            return text
    plain = reply.translate(_NO_TAGS)[:MAX_ANSWER_CHARS]
    return format_answer(plain if plain.strip() else "(no answer)")


def _observation(shown: dict[str, Any], episode: Episode, history: tuple[PastTurn, ...]) -> Observation:
    return Observation(
        text=shown["text"],
        frames=shown["frames"],
        timestamps=np.asarray(shown["timestamps"], dtype=np.float64),
        budget={name: int(left) for name, left in shown["budget"].items()},
        episode=episode,
        turn=len(history),
        history=history,
    )


def _without_left(text: str) -> str:
    """A message of the environment without its last line, which says what may still be asked for."""
    body, _, last = text.rpartition("\n")
    return body if last.startswith("Left: ") else text


def _joined(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames of all turns as one stack; none where the policy reads, and each turn has none."""
    some = [one for one in frames if len(one)]
    return np.concatenate(some) if some else frames[0]
