"""What an episode earns: accuracy, format, and the costs of mistakes, zooms and frames, each a small named term.

A reward is a weighted sum. The costs fall due at the step that causes them, the rest at the end; `info["reward_terms"]`
at the end holds every weighted term summed over the episode, so that the terms add up to the episode's return.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from .errors import ConfigError
from .scoring import Score

__all__ = [
    "REWARD_PRESETS",
    "TERMS",
    "EndValues",
    "EpisodeEnd",
    "RewardConfig",
    "end_terms",
    "end_values",
    "reward_config",
    "step_terms",
    "weigh_end",
]

TERMS: Final = ("accuracy", "format", "zoom_bonus", "invalid", "zooms", "frames")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Weights of the terms; a cost is taken off.

    `accuracy` weighs the score in [0, 1]; `format` is paid when every action was legal and the last one an answer;
    `zoom_bonus` when the answer is right and at least one zoom returned frames not seen before; `cost_per_invalid`,
    `cost_per_zoom` and `cost_per_frame` (frames of zooms, not of the overview) are taken at once.
    """

    accuracy: float = 1.0
    format: float = 0.0
    zoom_bonus: float = 0.0
    cost_per_invalid: float = 0.1
    cost_per_zoom: float = 0.0
    cost_per_frame: float = 0.0

    def __post_init__(self) -> None:
        """Refuse weights that are no finite numbers."""
        for weight in fields(self):
            value = getattr(self, weight.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"reward weight {weight.name} must be a finite number, got {value!r}")


REWARD_PRESETS: Final[Mapping[str, RewardConfig]] = {
    "strict": RewardConfig(),
    "videozoomer": RewardConfig(accuracy=0.9, format=0.1, zoom_bonus=0.5, cost_per_invalid=0.0),
    "videozoomer-script": RewardConfig(accuracy=0.9, format=0.1, zoom_bonus=0.0, cost_per_invalid=0.0),
}
"""`strict`: what counts is the answer. `videozoomer`: the paper's weights. `videozoomer-script`: those of the published
training script, which sets the bonus to 0. What a term is worth before it is weighted is the protocol's: `strict` pays
the bonus only for a zoom that showed something new, `videozoomer` for any attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEnd:
    """What the terms at the end look at."""

    score: Score
    is_answered: bool
    invalid_actions: int
    new_zooms: int


def reward_config(reward: str | RewardConfig | Mapping[str, float] | None, default: str = "strict") -> RewardConfig:
    """Read a preset's name, a config, the weights of one, or None for the preset `default`.

    Raises:
        ConfigError: for an unknown name or an unknown weight.
    """
    if isinstance(reward, RewardConfig):
        return reward
    reward = default if reward is None else reward
    if isinstance(reward, str):
        if reward not in REWARD_PRESETS:
            raise ConfigError(f"reward must be one of {sorted(REWARD_PRESETS)} or a RewardConfig, got {reward!r}")
        return REWARD_PRESETS[reward]
    known = {weight.name for weight in fields(RewardConfig)}
    if unknown := set(reward) - known:
        raise ConfigError(f"reward weights must be among {sorted(known)}, got {sorted(unknown)}")
    return RewardConfig(**reward)


def step_terms(config: RewardConfig, *, is_invalid: bool, zoom_frames: int, zooms: int = 1) -> dict[str, float]:
    """The costs of one step.

    Args:
        config: the weights.
        is_invalid: whether the action was a mistake.
        zoom_frames: frames that the zooms of the step returned, 0 when there was none.
        zooms: how many zooms they came of.

    Returns:
        Weighted terms by name, those that are not zero.
    """
    terms = {
        "invalid": -config.cost_per_invalid * is_invalid,
        "zooms": -config.cost_per_zoom * zooms * (zoom_frames > 0),
        "frames": -config.cost_per_frame * zoom_frames,
    }
    return {name: value for name, value in terms.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndValues:
    """What each term at the end is worth before it is weighted."""

    accuracy: float
    format: float
    zoom_bonus: float


def end_values(end: EpisodeEnd) -> EndValues:
    """The terms at the end as the strict protocol counts them."""
    return EndValues(accuracy=accuracy_term(end), format=format_term(end), zoom_bonus=zoom_bonus_term(end))


def weigh_end(config: RewardConfig, values: EndValues) -> dict[str, float]:
    """What the end of an episode pays, weighted, by name; terms that are zero are left out."""
    terms = {
        "accuracy": config.accuracy * values.accuracy,
        "format": config.format * values.format,
        "zoom_bonus": config.zoom_bonus * values.zoom_bonus,
    }
    return {name: value for name, value in terms.items() if value}


def end_terms(config: RewardConfig, end: EpisodeEnd) -> dict[str, float]:
    """What the end of an episode of the strict protocol pays; an unscorable answer pays no accuracy."""
    return weigh_end(config, end_values(end))


def accuracy_term(end: EpisodeEnd) -> float:
    """The score in [0, 1]; 0 when the episode ended without an answer or cannot be graded."""
    return end.score.value or 0.0 if end.is_answered else 0.0


def format_term(end: EpisodeEnd) -> float:
    """1 when the episode was answered and every action was legal."""
    return float(end.is_answered and end.invalid_actions == 0)


def zoom_bonus_term(end: EpisodeEnd) -> float:
    """1 when the answer is right and a zoom showed something new."""
    return float(end.is_answered and end.score.is_correct and end.new_zooms > 0)
