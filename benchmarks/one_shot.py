"""Asking once: frames are spread evenly, or a policy looks; a reader is shown all of it and replies with the answer.

So a benchmark's own code evaluates: so many uniform frames, one prompt, one reply and no zoom. And so one model becomes
every baseline: shown nothing, the beginning, uniform frames, random zooms, what a search in the subtitles found, or the
evidence. It is told the benchmark's one-shot prompt, a template of the user's, or what the environment says; what it
was told is what the trajectory records.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gymnasium as gym
from numpy.typing import NDArray

from vz_agents import policy as facts
from vz_agents.policy import Observation, Policy
from vz_agents.trajectory import Trajectory
from vz_env.episode import Episode, SubtitleFile
from vz_env.prompts import frame_lines
from vz_env.subtitles import SubtitleTrack, load_subtitles

from .adapters.benchmark import Benchmark, plain_prompt
from .adapters.catalogue import BENCHMARKS
from .asking import AskOnce, Seen
from .prompt_template import PromptTemplate

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = ["OneShot", "prompt_digest"]

SUBTITLES: Final = "Said at the frames of the video:"
_OPTIONS: Final = ("first", "second", "third", "fourth")
_SAMPLES: Final = (
    Episode(id="1", question="Which?", video_path=Path("/v"), options=_OPTIONS),
    Episode(id="2", question="What?", video_path=Path("/v"), answer_kind="text"),
    *(
        Episode(id=track, question="Which?", video_path=Path("/v"), options=_OPTIONS, groups={"track": track})
        for track in ("perception", "adaptation")
    ),
)


class OneShot:
    """A policy that is asked once.

    Args:
        policy: the reader, whose one reply is the answer.
        dataset: name of the benchmark whose prompt is used; any other gets question, options and a closing sentence.
        template: a prompt in place of the benchmark's.
        frames: how many uniform frames are shown, where nobody looks.
        look: who looks, with its own budget: a baseline.
        is_told_by_env: tell the reader what the environment says, in place of a prompt.
    """

    def __init__(
        self,
        policy: Policy,
        dataset: str,
        *,
        template: PromptTemplate | None = None,
        frames: int = 32,
        look: Policy | None = None,
        is_told_by_env: bool = False,
    ) -> None:
        """Keep the policies and the prompt."""
        self.policy, self.look, self.frames, self.template = policy, look, frames, template
        self.benchmark = BENCHMARKS.get(dataset)
        self.is_told_by_env = is_told_by_env
        self.prompt: Callable[[Episode], str] = self.benchmark.prompt if self.benchmark else plain_prompt
        self.name = self._name()
        self.needs_frames = facts.needs_frames(policy)
        self.reads_key = facts.reads_key(policy) or (look is not None and facts.reads_key(look))
        self.batch_size = facts.batch_size(policy)
        self.rules = {} if is_told_by_env else {"prompts": f"asked once, {self._wording()}"}
        parts = (frames, dataset, self._wording(), look and facts.fingerprint(look), facts.fingerprint(policy))
        self.fingerprint = f"one-shot-3-{'-'.join(map(str, parts))}"
        if hasattr(policy, "run_episodes"):
            self.run_episodes = self._run_episodes

    def _name(self) -> str:
        reader = facts.policy_name(self.policy)
        asked = "" if self.is_told_by_env else f", {'own' if self.template else 'one-shot'} prompt"
        return f"{reader}{asked}" if self.look is None else f"{facts.policy_name(self.look)} by {reader}{asked}"

    def _wording(self) -> str:
        if self.is_told_by_env:
            return "by the environment"
        if self.template is not None:
            return f"own prompt {self.template.fingerprint}"
        return f"one-shot prompt {prompt_digest(self.benchmark)}"

    def budget_for(self, budget: Budget) -> Budget:
        """That of who looks; else one turn, no zooms, an overview of `frames` frames."""
        if self.look is not None:
            return facts.budget_for(self.look, budget)
        own = {"overview_frames": self.frames, "max_turns": 1, "max_zooms": 0, "max_frames": self.frames}
        return dataclasses.replace(budget, **own, min_overview_frames=None)

    def wrap_env(self, env: gym.Env[Any, str]) -> gym.Env[Any, str]:
        """The environment in which the policy is asked once."""
        return AskOnce(env, look=self.look, tell=None if self.is_told_by_env else self._tell)

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Ask the reader; its environment makes an answer of what it says."""
        return self.policy.act(observations)

    def _run_episodes(
        self, envs: Sequence[gym.Env[Any, str]], episode_ids: Sequence[str], seeds: Sequence[int]
    ) -> list[Trajectory]:
        """Let the reader play the episodes, under the name of the two."""
        played: list[Trajectory] = self.policy.run_episodes(envs, episode_ids, seeds)  # type: ignore[attr-defined]
        return [dataclasses.replace(one, policy=self.name) for one in played]

    def _tell(self, seen: Seen) -> str:
        """The prompt, with what is said at the frames above it, or among them where the benchmark has it so."""
        episode, times = seen.episode, seen.video_times
        if episode.subtitles is None:
            said: list[str] = []
        elif self.template is None and self.benchmark is not None and self.benchmark.has_interleaved_subtitles:
            lines = frame_lines(times.tolist(), [_track(episode.subtitles).at(time) for time in times.tolist()])
            return "\n".join([*lines, self.prompt(episode)])
        else:
            said = _said(_track(episode.subtitles), times)
        if self.template is not None:
            return self.template.fill(episode, said)
        return "\n".join([SUBTITLES, *said, self.prompt(episode)] if said else [self.prompt(episode)])


def prompt_digest(benchmark: Benchmark | None) -> str:
    """A short hash of a benchmark's one-shot wording, over questions of every kind: 16 hexadecimal digits."""
    prompt = benchmark.prompt if benchmark is not None else plain_prompt
    told = [SUBTITLES, *(prompt(episode) for episode in _SAMPLES)]
    return hashlib.sha256("\x00".join(told).encode()).hexdigest()[:16]


def _said(track: SubtitleTrack, timestamps: NDArray[Any]) -> list[str]:
    """What is said at each frame, without saying one line twice in a row."""
    lines = [track.at(time) for time in timestamps.tolist()]
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line and line != before]


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    return load_subtitles(file)
