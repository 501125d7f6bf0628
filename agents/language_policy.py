"""A language model as a policy: whole episodes with the cache kept over turns, or single replies from a history."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

import gymnasium as gym

from .frames import Chunk, FrameStore, PlacedFrame
from .model import LanguageModel
from .policy import Observation, PastTurn, SeenTurn
from .rollout import episode_seed
from .sampler import SamplerConfig, complete, sample_episodes
from .trajectory import Trajectory
from .weights import explain_memory

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = ["LanguagePolicy"]

_SMALLER_PLAY: Final = (
    "lower the budget of frames (--budget.overview-frames, --budget.max-pixels), build the policy with a smaller "
    "batch_size, or compute on the CPU (--device cpu)"
)


class LanguagePolicy:
    """Plays with a `LanguageModel`; greedy by default, so an evaluation has one outcome.

    Attributes:
        name: shown in tables.
        fingerprint: a hash of the weights and the sampling settings; other weights never reuse its results.
        needs_frames: whether its model looks at frames, or reads the text alone.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        name: str = "LanguageModel",
        overview_frames: int | None = None,
        sampling: SamplerConfig | None = None,
        batch_size: int = 32,
    ) -> None:
        """Wrap a model.

        Args:
            model: whose replies are the actions.
            name: shown in tables.
            overview_frames: play with this many uniform frames and no zooms, instead of the environment's budget.
            sampling: temperature (greedy by default) and limits.
            batch_size: episodes side by side.
        """
        self.model, self.name, self.batch_size = model, name, batch_size
        self.overview_frames = overview_frames
        self.needs_frames = model.needs_frames
        self.sampling = sampling or SamplerConfig(temperature=0.0)
        self.fingerprint = _hash_weights(model, self.sampling)

    def budget_for(self, budget: Budget) -> Budget:
        """The environment's budget, or uniform frames alone."""
        if self.overview_frames is None:
            return budget
        most = max(self.overview_frames, budget.max_frames)
        return replace(budget, overview_frames=self.overview_frames, max_frames=most, max_zooms=0)

    def run_episodes(
        self, envs: Sequence[gym.Env[Any, str]], episode_ids: Sequence[str], seeds: Sequence[int]
    ) -> list[Trajectory]:
        """Play one episode in each environment, all in one batch.

        Raises:
            ConfigError: the device is out of memory, and what to change.
        """
        with explain_memory(_SMALLER_PLAY):
            rollouts = sample_episodes(
                self.model, envs, episode_ids, seeds, config=self.sampling, policy_name=self.name
            )
        return [rollout.trajectory for rollout in rollouts]

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """One reply to each observation; the conversation so far is rendered from its history.

        The history holds texts alone, but for a `SeenTurn`: a model that sees is shown the frames of the current turn,
        and only `run_episodes` keeps those of earlier ones.
        """
        chat, store = self.model.chat, self.model.new_store()
        prompts, randoms = [], []
        for seen in observations:
            ids: list[int] = []
            frames: list[PlacedFrame] = []
            for past in [*seen.history, None]:
                shown = self._chunk(seen if past is None else past, is_first=not ids, store=store)
                frames += [PlacedFrame(len(ids) + start, frame) for start, frame in shown.frames]
                ids += shown.ids + ([] if past is None else chat.reply_ids(past.action))
            prompts.append(Chunk(ids, tuple(frames)))
            randoms.append(Random(episode_seed(seen.turn, seen.episode.id)))
        return [chat.reply_text(ids) for ids in complete(self.model, prompts, randoms, config=self.sampling)]

    def _chunk(self, shown: Observation | PastTurn, *, is_first: bool, store: FrameStore | None) -> Chunk:
        """A message of the environment, with its frames where they are there."""
        if isinstance(shown, Observation):
            text, frames, timestamps = shown.text, shown.frames, shown.timestamps.tolist()
        elif isinstance(shown, SeenTurn):
            text, frames, timestamps = shown.observation_text, shown.frames, shown.timestamps.tolist()
        else:
            text, frames, timestamps = shown.observation_text, None, []
        return self.model.chunk(text, frames, timestamps, is_first=is_first, store=store)


def _hash_weights(model: LanguageModel, sampling: SamplerConfig) -> str:
    """16 hexadecimal digits over every weight, the vocabulary, the wrapping of messages and the sampling settings."""
    chat, vocabulary = model.chat, sorted(model.tokenizer.get_vocab().items())
    words = f"{sampling} {chat.first('')} {chat.next('')} {vocabulary}"
    digest = hashlib.sha256(words.encode("utf-8", "backslashreplace"))
    for name, weight in sorted(model.lm.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
