"""Whole configurations by name: `vz train --preset NAME` begins from one, and every other flag changes it."""

from __future__ import annotations

from typing import Final

from vz_env.budget import PUBLISHED_BUDGET, Budget

from .ppo_config import PPOConfig
from .sft import SFTConfig
from .smollm2 import MODEL_NAME
from .train_config import TrainConfig
from .weights import WeightsConfig

__all__ = ["PRESETS"]

_NEEDLE_TINY: Final = TrainConfig()

_NEEDLE_SMOLLM2: Final = TrainConfig(
    model=MODEL_NAME,
    weights=WeightsConfig(dtype="bfloat16", lora_rank=16),
    budget=Budget(overview_frames=12, max_turns=4, max_zooms=3, max_frames_per_zoom=8, max_frames=36),
    sft=SFTConfig(epochs=2, batch_tokens=4_000, lr=1e-3, checkpoint_every=20),
    ppo=PPOConfig(iterations=6, prompts=4, samples=4, lr=1e-4, micro_tokens=4_000, max_new_tokens=48),
    eval_every=3,
    eval_episodes=8,
)

_VIDEOZOOMER: Final = TrainConfig(
    protocol="videozoomer",
    describe="none",
    weights=WeightsConfig(dtype="bfloat16", gradient_checkpointing=True),
    budget=PUBLISHED_BUDGET,
    sft=SFTConfig(epochs=1, batch_tokens=64 * 8_192, lr=5e-6, warmup=0.1),
    ppo=PPOConfig(
        iterations=70,
        prompts=128,
        samples=16,
        epochs=1,
        minibatches=4,
        micro_tokens=32_768,
        estimator="grpo",
        group_filter="total",
        refills=255,
        lr=1e-6,
        schedule="constant",
        warmup_iterations=0,
        betas=(0.9, 0.999),
        weight_decay=0.01,
        critic_warmup=0,
        clip_low=0.2,
        clip_high=0.27,
        dual_clip=None,
        kl_coef=0.001,
        kl_kind="k3",
        entropy_coef=0.001,
        aggregation="sequence",
        temperature=1.0,
        max_new_tokens=4_096,
    ),
)

PRESETS: Final[dict[str, TrainConfig]] = {
    "needle-tiny": _NEEDLE_TINY,
    "needle-smollm2": _NEEDLE_SMOLLM2,
    "videozoomer": _VIDEOZOOMER,
}
"""`needle-tiny` is the demo's: the tiny model on its cold-start base. `needle-smollm2`: SmolLM2-135M with adapters and
short observations, for two cores. `videozoomer`: the published hyper-parameters (train_video.sh and table 5b: 128
questions of 16 samples, mini-batches of 32, GRPO, episodes weigh alike, a filter on the total reward that draws anew, a
constant learning rate without warm-up), to be given a `--model`; the published run also trains the vision tower in RL
(`--weights.train-vision`)."""
