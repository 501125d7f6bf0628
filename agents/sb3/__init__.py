"""Stable-Baselines3 at home here: PPO on `DiscreteZoom`, and SB3's evaluation, callbacks and logger for any policy.

- `train_discrete_zoom`: SB3's own PPO on the environment in numbers, warm-started by imitating a teacher that acts in
  text; `DiscretePolicy` makes of what it trained a policy of this package.
- `BinExtractor`: features that share weights over the bins of a video and over the options of a question;
  `TextExtractor`: features of the text by a language model, frozen or trained.
- `EpisodeVecEnv` and `AgentModel`: a policy that reads and writes text, such as a language model, where SB3 expects a
  `VecEnv` and a model: `evaluate_policy`, `EvalCallback`, `CheckpointCallback` and `Logger` drive it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from vz_env.errors import ConfigError

if TYPE_CHECKING:
    from .bridge import AgentModel, EpisodeVecEnv
    from .cloning import Demonstration, clone_behaviour, collect_demonstrations
    from .extractors import BinExtractor, TextExtractor
    from .recipe import DiscretePolicy, DiscreteZoomConfig, HideVideo, train_discrete_zoom

__all__ = [
    "AgentModel",
    "BinExtractor",
    "Demonstration",
    "DiscretePolicy",
    "DiscreteZoomConfig",
    "EpisodeVecEnv",
    "HideVideo",
    "TextExtractor",
    "clone_behaviour",
    "collect_demonstrations",
    "train_discrete_zoom",
]

_HOMES: Final = {
    "bridge": ("AgentModel", "EpisodeVecEnv"),
    "cloning": ("Demonstration", "clone_behaviour", "collect_demonstrations"),
    "extractors": ("BinExtractor", "TextExtractor"),
    "recipe": ("DiscretePolicy", "DiscreteZoomConfig", "HideVideo", "train_discrete_zoom"),
}
_LAZY: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a module when something of it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    except ModuleNotFoundError as fault:
        if fault.name not in {"stable_baselines3", "torch", "transformers"}:
            raise
        raise ConfigError(f"{name} wants {fault.name}: pip install 'vz-env[sb3,llm]'") from fault
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public surface, lazy names included."""
    return sorted(__all__)
