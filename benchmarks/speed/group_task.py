"""What a GRPO step is made of, told to both sides of a comparison, and what a step of one of them cost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .scripted import scripted_actions

__all__ = ["GroupTask", "StepCost"]


@dataclass(frozen=True, kw_only=True)
class GroupTask:
    """A group of episodes of one question, and how it is trained on; goes to the other process as JSON."""

    episodes: int = 8
    width: int = 576
    """Hidden size of the model of four layers, in heads of 64."""
    frame_words: str = "new teal 88%, gold 6%, gray 3%"
    """Tells a frame; some 17 tokens."""
    overview_frames: int = 64
    zooms: int = 3
    reply_tokens: int = 24
    steps: int = 1
    model: str = ""
    """Folder of the model and its tokenizer."""
    videos: str = ""
    """Folder of the needle dataset, made already."""
    device: str = "cpu"
    threads: int = 1
    lr: float = 5e-5
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.27
    dual_clip: float = 3.0
    kl_coef: float = 0.001
    temperature: float = 0.8

    @property
    def actions(self) -> tuple[str, ...]:
        """What is played, whatever was sampled."""
        return scripted_actions(self.zooms)

    @property
    def optimisation(self) -> dict[str, Any]:
        """The hyper-parameters under the names of `PPOConfig`."""
        names = ("lr", "weight_decay", "clip_low", "clip_high", "dual_clip", "kl_coef", "temperature")
        return {"betas": (self.beta1, self.beta2), **{name: getattr(self, name) for name in names}}

    def replace(self, **given: Any) -> GroupTask:
        """The same with other values."""
        return dataclasses.replace(self, **given)

    def make_env(self, dataset: Dataset) -> VideoZoomEnv:
        """An environment that tells every frame in the same words, and decodes none for it."""
        budget = Budget(overview_frames=self.overview_frames, max_turns=self.zooms + 1, max_zooms=self.zooms)
        return VideoZoomEnv(dataset, budget=budget, describe=lambda *_: self.frame_words, with_frames=False)

    @staticmethod
    def reward(number: int) -> float:
        """Of the n-th episode of the group: half of them are paid, so that there is something to learn."""
        return float(number % 2)


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds that one step took, on the wall and of CPU; tokens of each conversation, and how many were sampled."""

    seconds: float
    cpu_seconds: float
    tokens: list[int]
    sampled: list[int]
