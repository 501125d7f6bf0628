"""Does every estimator learn? A two-turn copy task, from random weights, for PPO, GRPO and RLOO and several seeds.

    python -m vz_benchmarks.studies.copy_task

Each turn shows a letter and wants it back; the second letter is shown only after the first reply, so the policy learns
from a conversation. A random policy gets one turn in eighteen right. The last line is one JSON object.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.table import Table
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from vz_agents.model import LanguageModel
from vz_agents.ppo import PPO, PPOConfig
from vz_agents.ppo_config import Estimator
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_agents.tokenizer import CHAT_TEMPLATE, PAD_TOKEN, TURN_END, TURN_START
from vz_env.episode import Episode

from ..console import show_table

__all__ = ["COPY_PPO", "CopyEnv", "CopyTaskArgs", "copy_model", "run_study", "solve"]

LETTERS: Final = "abcdefghij"
EPISODES: Final = tuple(one + other for one in LETTERS for other in LETTERS)
SOLVED: Final = 0.95
COPY_PPO: Final = PPOConfig(
    prompts=16,
    samples=8,
    minibatches=2,
    lr=1e-3,
    value_lr=1e-3,
    critic_warmup=0,
    kl_coef=0.0,
    entropy_coef=0.02,
    temperature=1.0,
    max_new_tokens=1,
)


@dataclass(frozen=True, kw_only=True)
class CopyTaskArgs:
    """Let every estimator learn to copy."""

    estimators: tuple[Estimator, ...] = ("gae", "group_gae", "grpo", "rloo")
    """What to try; gae is PPO with a critic."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Of weights and draws."""
    seconds: float = 120.0
    """Allowed for each run."""


class CopyEnv(gym.Env[dict[str, Any], str]):
    """Two turns, each of which shows a letter and pays 0.5 for it."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """Begin the episode that is named by its two letters."""
        super().reset(seed=seed)
        name = (options or {})["episode_id"]
        self.episode = Episode(
            id=name, question="Copy.", options=("this", "that"), video_path=Path("none"), duration_seconds=1.0
        )
        self.turn, self.earned = 0, 0.0
        return self._see(name[0]), {"dataset": "Copy", "split": "train"}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Pay for the letter that was shown."""
        reward = 0.5 * float(action == self.episode.id[self.turn])
        self.earned += reward
        self.turn += 1
        is_over = self.turn == len(self.episode.id)
        info = {"end_reason": "answered", "score": float(self.earned == 1.0)} if is_over else {}
        return self._see("" if is_over else self.episode.id[self.turn]), reward, is_over, False, info

    def _see(self, text: str) -> dict[str, Any]:
        return {"text": text, "frames": np.zeros((0, 1, 1, 3), np.uint8), "timestamps": np.zeros(0), "budget": {}}


def copy_model(seed: int) -> LanguageModel:
    """A Llama of two layers with the library's own random weights, over a vocabulary of letters."""
    words = [PAD_TOKEN, TURN_START, TURN_END, "?", "user", "assistant", "system", "\n", *LETTERS]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))  # noqa: S106 (a piece of text)
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s|\w+|[^\s\w]+"), behavior="isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD_TOKEN,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    torch.manual_seed(seed)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    lm = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), max_position_embeddings=64, **shape))
    return LanguageModel(lm, tokenizer)


def solve(estimator: Estimator, seed: int, seconds: float) -> dict[str, Any]:
    """Train from random weights until the greedy policy copies.

    Returns:
        `estimator`, `seed`, `accuracy` of the greedy policy, `iterations` and `seconds` (of CPU) that it took.
    """
    config = replace(COPY_PPO, estimator=estimator, seed=seed)
    model = copy_model(seed)
    ppo = PPO(model, copy.deepcopy(model), [CopyEnv() for _ in range(128)], EPISODES, config)
    started = time.process_time()  # of this process: others may be running
    accuracy = 0.0
    while accuracy < SOLVED and time.process_time() - started < seconds:
        _, metrics = ppo.step()
        if metrics["rollout/accuracy"] > 0.8 * SOLVED:
            accuracy = greedy_accuracy(model, EPISODES)
    taken = round(time.process_time() - started, 1)
    return {"estimator": estimator, "seed": seed, "accuracy": accuracy, "iterations": ppo.iteration, "seconds": taken}


def greedy_accuracy(model: LanguageModel, names: Sequence[str]) -> float:
    """The share of episodes in which both letters come back."""
    seeds = [Random(name).getrandbits(31) for name in names]
    sampling = SamplerConfig(temperature=0.0, max_new_tokens=COPY_PPO.max_new_tokens)
    rollouts = sample_episodes(model, [CopyEnv() for _ in names], names, seeds, config=sampling)
    return sum(rollout.trajectory.score or 0.0 for rollout in rollouts) / len(names)


def run_study(args: CopyTaskArgs) -> list[dict[str, Any]]:
    """Run every estimator with every seed, and show the table."""
    torch.set_num_threads(1)
    table = Table("estimator", "seed", "greedy accuracy", "iterations", "seconds of CPU")
    runs = [solve(estimator, seed, args.seconds) for estimator in args.estimators for seed in args.seeds]
    for run in runs:
        table.add_row(*(str(value) for value in run.values()))
    show_table(table)
    solved = {
        name: sum(run["accuracy"] >= SOLVED for run in runs if run["estimator"] == name) for name in args.estimators
    }
    summary = {
        "ratios": {name: count / len(args.seeds) for name, count in solved.items()},
        "targets": dict.fromkeys(args.estimators, 1.0),
        "slowest_seconds": max(run["seconds"] for run in runs),
    }
    sys.stdout.write(json.dumps(summary) + "\n")  # not folded, as a console would
    return runs


if __name__ == "__main__":
    run_study(tyro.cli(CopyTaskArgs))
