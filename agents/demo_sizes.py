"""How large `vz demo` is with a model of one's own: what fits an hour on two processor cores.

The tiny model that the demo takes by default reads some ten thousand tokens a second. SmolLM2-135M reads a few hundred,
so its demo has shorter videos, and trains by the preset `needle-smollm2`: fewer frames in an observation, adapters in
place of all weights, fewer episodes of about 800 tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .presets import PRESETS
from .smollm2 import MODEL_NAME
from .train_config import TrainConfig

__all__ = ["DemoSizes", "demo_sizes"]


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
    usual, small = TrainConfig(), PRESETS["needle-smollm2"]
    asked = {made.name for made in fields(TrainConfig) if getattr(config, made.name) != getattr(usual, made.name)}
    config = replace(small, **{name: getattr(config, name) for name in asked})
    return DemoSizes(config, 48, 12, {"overview_frames": small.budget.overview_frames, "spacings_seconds": (8,)})
