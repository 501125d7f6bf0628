"""What the tests of policies and trainers share: a scripted environment, tiny needle videos, a tiny language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.env import VideoZoomEnv
from vz_env.episode import Episode
from vz_env.errors import UnknownEpisode, VideoDecodeError
from vz_env.prompts import frame_lines, overview_message


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


def tampered(rollouts: Sequence[Any]) -> Sequence[Any]:
    """Rollouts whose log-probabilities are not those of sampling."""
    for rollout in rollouts:
        tokens = rollout.trajectory.tokens
        tokens.log_probs = [p - 0.01 * mask for p, mask in zip(tokens.log_probs, tokens.mask, strict=True)]
    return rollouts


@pytest.fixture
def tamper() -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What makes log-probabilities others than those of sampling."""
    return tampered


@pytest.fixture
def scripted_env():
    """A maker of scripted environments over the given ids."""

    def make(*ids: str) -> ScriptedEnv:
        return ScriptedEnv(ids)

    return make


@pytest.fixture(scope="session")
def needle(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The train split of a tiny needle dataset: two videos of 96 s, overviews of 12 frames."""
    config = NeedleConfig(seed=3, videos={"train": 2}, overview_frames=12, spacings_seconds=(8,))
    return load_needle(split="train", root=tmp_path_factory.mktemp("needle"), config=config)


@pytest.fixture(scope="session")
def needle_budget() -> Budget:
    """Twelve overview frames and up to four zooms in five turns."""
    return Budget(overview_frames=12, max_turns=5, max_zooms=4, max_frames=12 + 4 * 16)


@pytest.fixture(scope="session")
def make_envs(needle: Dataset, needle_budget: Budget) -> Callable[[int], list[VideoZoomEnv]]:
    """A maker of so many environments over the tiny needle dataset."""

    def make(count: int) -> list[VideoZoomEnv]:
        return [VideoZoomEnv(needle, budget=needle_budget, with_frames=False) for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def tokenizer(needle: Dataset) -> Any:
    """A byte-level tokenizer trained on the tiny dataset's questions and a few actions."""
    from vz_agents.tokenizer import train_tokenizer

    texts = []
    for episode in needle.episodes:
        words = {"timestamps_seconds": (0.0, 8.0), "descriptions": ("teal 88%", "gold 64%, gray 20%")}
        left = {"duration_seconds": 96.0, "zooms_left": 4, "frames_per_zoom": 16}
        texts += [overview_message(question=episode.question, options=episode.options, **words, **left)]
        texts += [format_zoom((8, 16), 2), f"<think>none</think>{format_answer(episode.options[0])}"]
        texts += ["\n".join(["Zoom 8s to 16s", *frame_lines((8.0, 8.5), ("teal 87%", "teal 50%, red 30%"))])]
    return train_tokenizer(texts)


@pytest.fixture(scope="session")
def make_model(tokenizer: Any) -> Callable[..., Any]:
    """A maker of random language models of two narrow layers, with a critic that says something.

    `end_bias` is added to the logit of the end-of-turn token, in sampling and in training alike, so that replies of
    random weights end somewhere; `cls` is the class to build.
    """
    import torch

    from vz_agents.model import LanguageModel, TinyConfig

    class EagerModel(LanguageModel):
        end_bias = 0.0

        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            logits = super().logits(hidden)
            bias = torch.zeros(logits.shape[-1]).index_fill(0, torch.tensor([self.chat.end_id]), self.end_bias)
            return logits + bias

    def make(*, seed: int = 0, end_bias: float = 0.0, max_length: int = 2048) -> LanguageModel:
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2}
        model = EagerModel.tiny(tokenizer, TinyConfig(**shape, max_length=max_length), seed=seed)
        model.end_bias = end_bias
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.nn.init.normal_(model.value_head.outer.weight)
            torch.nn.init.normal_(model.value_head.outer.bias)
        return model

    return make


@pytest.fixture
def trainer(make_model: Callable[..., Any], scripted_env: Callable[..., ScriptedEnv]) -> Callable[..., Any]:
    """A maker of PPO trainers over the scripted environment, from one random model."""
    from functools import partial

    from tiny_trainer import make_trainer

    return partial(make_trainer, make_model, scripted_env)


@pytest.fixture
def script_replies(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, Sequence[str]]], None]:
    """Make the sampler write given texts, by the seed of the episode, one a turn; turns beyond them are sampled.

    Only the choice of the token is replaced: its log-probability stays the model's own.
    """
    import torch

    from vz_agents import decoder

    draw = decoder.Decoder._draw

    def scripted(replies: dict[int, Sequence[str]]) -> None:
        def choose(decoder: Any, logits: torch.Tensor, active: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
            sampled, log_probs = draw(decoder, logits, active)
            everything = torch.log_softmax(logits / (decoder.config.temperature or 1.0), -1)
            for index, row in enumerate(decoder.rows):
                texts = replies.get(row.run.seed, ())
                if active[index] and row.turn < len(texts):
                    sampled[index] = decoder.model.chat.reply_ids(texts[row.turn])[len(row.reply)]
                    log_probs[index] = everything[index, sampled[index]]
            return sampled, log_probs

        monkeypatch.setattr(decoder.Decoder, "_draw", choose)

    return scripted


@pytest.fixture(scope="session")
def make_vlm(tokenizer: Any) -> Callable[..., Any]:
    """A maker of random vision-language models of two narrow layers; arguments as of `make_model`, and a family."""
    import torch

    from vz_agents.tiny_vlm import TinyVisionConfig, build_tiny_vlm
    from vz_agents.vision_model import VisionLanguageModel

    class EagerModel(VisionLanguageModel):
        end_bias = 0.0

        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            logits = super().logits(hidden)
            bias = torch.zeros(logits.shape[-1]).index_fill(0, torch.tensor([self.chat.end_id]), self.end_bias)
            return logits + bias

    def make(
        *, seed: int = 0, end_bias: float = 0.0, max_length: int = 4096, family: str = "qwen2_5_vl", **given: Any
    ) -> VisionLanguageModel:
        shape = TinyVisionConfig(family=family, hidden_size=32, intermediate_size=64, max_length=max_length)
        model = build_tiny_vlm(tokenizer, shape, seed=seed, cls=EagerModel, **given)
        model.end_bias = end_bias
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.nn.init.normal_(model.value_head.outer.weight)
        return model

    return make


@pytest.fixture(scope="session")
def make_seeing_envs(needle: Dataset, needle_budget: Budget) -> Callable[[int], list[VideoZoomEnv]]:
    """A maker of environments that show small frames and describe none of them."""

    def make(count: int) -> list[VideoZoomEnv]:
        options = {"budget": needle_budget, "describe": "none", "frame_size": (56, 56)}
        return [VideoZoomEnv(needle, **options) for _ in range(count)]

    return make
