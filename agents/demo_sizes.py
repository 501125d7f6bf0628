"""How large `vz demo` is with a model of one's own: what fits an hour on two processor cores.

The tiny model that the demo takes by default reads some ten thousand tokens a second. SmolLM2-135M reads a few hundred,
so its demo has shorter videos, fewer frames in an observation, adapters in place of all weights, and fewer episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from vz_env.budget import Budget

from .ppo_config import PPOConfig
from .sft import SFTConfig
from .smollm2 import MODEL_NAME
from .train_config import TrainConfig
from .weights import WeightsConfig

__all__ = ["DemoSizes", "demo_sizes"]

_SMALL: Final = {
    "budget": Budget(overview_frames=12, max_turns=4, max_zooms=3, max_frames_per_zoom=8, max_frames=36),
    "weights": WeightsConfig(dtype="bfloat16", lora_rank=16),
    "sft": SFTConfig(epochs=2, batch_tokens=4_000, lr=1e-3, checkpoint_every=20),
    "ppo": PPOConfig(iterations=6, prompts=4, samples=4, lr=1e-4, micro_tokens=4_000, max_new_tokens=48),
    "eval_every": 3,
    "eval_episodes": 8,
}
"""About 800 tokens an episode; replies of an action and a short note."""


@dataclass(frozen=True, slots=True)
class DemoSizes:
    """Sizes of a demo: how to train, videos to learn from and to be tested on, and options of the needle dataset."""

    config: TrainConfig
    videos_train: int | None = None
    videos_test: int | None = None
    needle: Mapping[str, Any] = field(default_factory=dict)


def demo_sizes(config: TrainConfig) -> DemoSizes:
    """Choose sizes for a demo's model.

    Args:
        config: what was asked for; whatever of it differs from the default is kept.

    Returns:
        The configuration to run with; None and nothing where the demo's own sizes stand.
    """
    if config.model != MODEL_NAME:
        return DemoSizes(config)
    usual = TrainConfig()
    asked = {made.name for made in fields(TrainConfig) if getattr(config, made.name) != getattr(usual, made.name)}
    small = replace(config, **{name: value for name, value in _SMALL.items() if name not in asked})
    return DemoSizes(small, 48, 12, {"overview_frames": 12, "spacings_seconds": (8,)})
