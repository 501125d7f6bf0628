"""What an episode earns: accuracy, format, and the costs of mistakes, zooms and frames, each a small named term.

A reward is a weighted sum. The costs fall due at the step that causes them, the rest at the end; `info["reward_terms"]`
at the end holds every weighted term summed over the episode, so that the terms add up to the episode's return.

What the zooms of an episode earn at its end (a bonus, a penalty for each, one for many frames) may depend on how far a
training has come: the bonus can be annealed, and all of it left out while zooms are common enough. A trainer tells the
environment how far it is by `env.unwrapped.progress = TrainingProgress(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from .errors import ConfigError
from .scoring import Score

__all__ = [
    "REWARD_PRESETS",
    "TERMS",
    "EndValues",
    "EpisodeEnd",
    "RewardConfig",
    "TrainingProgress",
    "annealed_bonus",
    "end_terms",
    "end_values",
    "reward_config",
    "step_terms",
    "weigh_end",
]

TERMS: Final = ("accuracy", "format", "zoom_bonus", "invalid", "zooms", "frames")
"""The terms that every `info["reward_terms"]` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Weights of the terms; a cost or a penalty is taken off.

    `accuracy` weighs the score in [0, 1]; `format` is paid when every action was legal and the last one an answer;
    `zoom_bonus` when the answer is right and at least one zoom returned frames not seen before; `cost_per_invalid`,
    `cost_per_zoom` and `cost_per_frame` (frames of zooms, not of the overview) are taken at once.

    What zooms earn at the end besides, of which nothing is on by default: the bonus goes from `zoom_bonus` to
    `zoom_bonus_end` over `anneal_steps` steps of training; `penalty_per_zoom` is taken for every zoom, and
    `penalty_of_frames` once, where zooms came to at least `most_zoom_frames` frames. `zoom_scope` says whose reward the
    bonus and the penalties change: of episodes answered right, of the others, or of all; while more than
    `target_zoom_rate` of a trainer's episodes zoom, nobody's.
    """

    accuracy: float = 1.0
    format: float = 0.0
    zoom_bonus: float = 0.0
    cost_per_invalid: float = 0.1
    cost_per_zoom: float = 0.0
    cost_per_frame: float = 0.0
    penalty_per_zoom: float = 0.0
    penalty_of_frames: float = 0.0
    most_zoom_frames: int = 64
    zoom_scope: Literal["correct", "incorrect", "all"] = "correct"
    zoom_bonus_end: float | None = None
    anneal_steps: int = 0
    target_zoom_rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse weights that are no finite numbers, and an end that is never reached."""
        for weight in fields(self):
            value = getattr(self, weight.name)
            if weight.name == "zoom_scope" or (weight.name == "zoom_bonus_end" and value is None):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"reward weight {weight.name} must be a finite number, got {value!r}")
        if self.zoom_scope not in ("correct", "incorrect", "all"):
            raise ConfigError(f"zoom_scope must be 'correct', 'incorrect' or 'all', got {self.zoom_scope!r}")
        if (self.zoom_bonus_end is not None) != (self.anneal_steps > 0):
            raise ConfigError(
                "annealing wants both zoom_bonus_end and anneal_steps of at least 1, got "
                f"{self.zoom_bonus_end!r} and {self.anneal_steps!r}"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that `info["reward_terms"]` names: penalties are among them where they have a weight."""
        penalties = {"zoom_penalty": self.penalty_per_zoom, "frames_penalty": self.penalty_of_frames}
        return (*TERMS, *(name for name, weight in penalties.items() if weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far a training is: `step` updates done, and the share of its latest episodes that zoomed."""

    step: int = 0
    zoom_rate: float = 0.0


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
    """What the terms at the end look at; `new_zooms` of the `zooms` showed something new."""

    score: Score
    is_answered: bool
    invalid_actions: int
    new_zooms: int
    zooms: int = 0
    zoom_frames: int = 0


def reward_config(reward: str | RewardConfig | Mapping[str, Any] | None, default: str = "strict") -> RewardConfig:
    """Read a preset's name, a config, or None for the preset `default`; a mapping changes some weights of that preset.

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
    return replace(REWARD_PRESETS[default], **reward)


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
    """What an episode came to, before anything is weighted.

    `accuracy` and `format` in [0, 1]; `is_correct` decides whose zooms a scope means; `has_zoom_credit` says whether
    the zooms deserve the bonus; `zooms` and `zoom_frames` are what penalties count.
    """

    accuracy: float = 0.0
    format: float = 0.0
    is_correct: bool = False
    has_zoom_credit: bool = False
    zooms: int = 0
    zoom_frames: int = 0


def end_values(end: EpisodeEnd) -> EndValues:
    """The end as the strict protocol counts it: credit for zooming only where a zoom showed something new."""
    return EndValues(
        accuracy=accuracy_term(end),
        format=format_term(end),
        is_correct=end.is_answered and end.score.is_correct,
        has_zoom_credit=end.is_answered and end.new_zooms > 0,
        zooms=end.zooms,
        zoom_frames=end.zoom_frames,
    )


def weigh_end(config: RewardConfig, values: EndValues, progress: TrainingProgress | None = None) -> dict[str, float]:
    """What the end of an episode pays, weighted, by name; terms that are zero are left out."""
    progress = progress or TrainingProgress()
    terms = {"accuracy": config.accuracy * values.accuracy, "format": config.format * values.format}
    if should_pay_zooms(config, values, progress):
        terms |= {
            "zoom_bonus": annealed_bonus(config, progress.step) * values.has_zoom_credit,
            "zoom_penalty": -config.penalty_per_zoom * values.zooms,
            "frames_penalty": -config.penalty_of_frames * has_many_frames(config, values),
        }
    return {name: value for name, value in terms.items() if value}


def should_pay_zooms(config: RewardConfig, values: EndValues, progress: TrainingProgress) -> bool:
    """Whether the bonus and the penalties are of this episode: it is in scope, and zooms are to be steered still."""
    is_meant = config.zoom_scope == "all" or (config.zoom_scope == "correct") == values.is_correct
    return is_meant and progress.zoom_rate <= config.target_zoom_rate


def has_many_frames(config: RewardConfig, values: EndValues) -> bool:
    """Whether the zooms of an episode came to so many frames that the penalty for it is taken."""
    return values.zooms > 0 and values.zoom_frames >= config.most_zoom_frames


def annealed_bonus(config: RewardConfig, step: int) -> float:
    """The bonus after so many steps of training: in a straight line to its end, where it stays."""
    if config.zoom_bonus_end is None:
        return config.zoom_bonus
    share = min(1.0, max(0, step) / config.anneal_steps)
    return config.zoom_bonus + share * (config.zoom_bonus_end - config.zoom_bonus)


def end_terms(config: RewardConfig, end: EpisodeEnd) -> dict[str, float]:
    """What the end of an episode of the strict protocol pays; an unscorable answer pays no accuracy."""
    return weigh_end(config, end_values(end))


def accuracy_term(end: EpisodeEnd) -> float:
    """The score in [0, 1]; 0 when the episode ended without an answer or cannot be graded."""
    return end.score.value or 0.0 if end.is_answered else 0.0


def format_term(end: EpisodeEnd) -> float:
    """1 when the episode was answered and every action was legal."""
    return float(end.is_answered and end.invalid_actions == 0)
