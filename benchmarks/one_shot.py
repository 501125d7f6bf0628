"""One-shot evaluation as a benchmark's own code does it: frames, a prompt, one reply, no zoom.

Wraps any policy that answers single observations. What the environment says is replaced by the benchmark's one-shot
prompt or by a template of the user's, with the subtitles of the frames that are shown where the episode has any; the
question's picture comes after the video where the question is about one, and the whole reply is the answer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vz_agents.policy import Observation, Policy, fingerprint, needs_frames, policy_name, reads_key
from vz_env.episode import Episode, SubtitleFile
from vz_env.subtitles import SubtitleTrack, load_subtitles

from .adapters.benchmark import plain_prompt
from .adapters.catalogue import BENCHMARKS
from .prompt_template import PromptTemplate

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = ["OneShot"]

SUBTITLES: Final = "Said at the frames of the video:"


class OneShot:
    """A policy that answers one-shot prompts.

    Args:
        policy: whose `act` replies; it is shown one observation a question.
        dataset: name of the benchmark whose prompt is used; any other gets question, options and a closing sentence.
        template: a prompt in place of the benchmark's.
        frames: how many frames are shown.
    """

    def __init__(
        self,
        policy: Policy,
        dataset: str,
        *,
        template: PromptTemplate | None = None,
        frames: int = 32,
    ) -> None:
        """Keep the policy and the prompt."""
        self.policy, self.frames, self.template = policy, frames, template
        self.prompt: Callable[[Episode], str] = getattr(BENCHMARKS.get(dataset), "prompt", plain_prompt)
        self.name = f"{policy_name(policy)}, {'own' if template else 'one-shot'} prompt"
        self.needs_frames, self.reads_key = needs_frames(policy), reads_key(policy)
        self.fingerprint = (
            f"one-shot-2-{frames}-{dataset}-{template.fingerprint if template else ''}-{fingerprint(policy)}"
        )

    def budget_for(self, budget: Budget) -> Budget:
        """One turn, no zooms, an overview of `frames` frames."""
        own = {"overview_frames": self.frames, "max_turns": 1, "max_zooms": 0, "max_frames": self.frames}
        return dataclasses.replace(budget, **own, min_overview_frames=None)

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Ask the policy in one shot; what it says is the answer, inside tags where it has put none."""
        replies = self.policy.act([self._asked(observation) for observation in observations])
        return [reply if "<answer>" in reply else f"<answer>{reply}</answer>" for reply in replies]

    def _asked(self, observation: Observation) -> Observation:
        episode = observation.episode
        times = observation.timestamps[: len(observation.timestamps) - len(episode.question_images)]
        said = _said(_track(episode.subtitles), times) if episode.subtitles is not None else []
        if self.template is not None:
            text = self.template.fill(episode, said)
        else:
            text = "\n".join([SUBTITLES, *said, self.prompt(episode)] if said else [self.prompt(episode)])
        return dataclasses.replace(observation, text=text)


def _said(track: SubtitleTrack, timestamps: NDArray[np.float64]) -> list[str]:
    """What is said at each frame, without saying one line twice in a row."""
    lines = [track.at(time) for time in timestamps.tolist()]
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line and line != before]


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    return load_subtitles(file)
