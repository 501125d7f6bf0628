"""VideoZoomer-Gym: environments in which a policy learns where to look in a long video.

Importing this package registers the environments; `gymnasium.make("vz_env:VZ/Needle-v0")` imports it on the way.
Everything that reads videos or annotation files is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from . import registration as _registration  # noqa: F401  (importing it registers the ids)
from .actions import Answer, InvalidAction, Zoom, format_answer, format_zoom, parse_action
from .budget import Budget
from .episode import AnswerKey, Episode, Segment
from .errors import ConfigError, DatasetError, ResetNeeded, VideoError, VZError

if TYPE_CHECKING:
    from .datasets.dataset import Dataset
    from .datasets.registry import list_datasets, load_dataset, register_dataset
    from .env import VideoZoomEnv
    from .rewards import RewardConfig
    from .scoring import score_answer
    from .vector import VideoZoomVectorEnv

__all__ = [
    "Answer",
    "AnswerKey",
    "Budget",
    "ConfigError",
    "Dataset",
    "DatasetError",
    "Episode",
    "InvalidAction",
    "ResetNeeded",
    "RewardConfig",
    "Segment",
    "VZError",
    "VideoError",
    "VideoZoomEnv",
    "VideoZoomVectorEnv",
    "Zoom",
    "__version__",
    "format_answer",
    "format_zoom",
    "list_datasets",
    "load_dataset",
    "parse_action",
    "register_dataset",
    "score_answer",
]

__version__ = "0.1.0"

_LAZY: Final = {
    "Dataset": "datasets.dataset",
    "RewardConfig": "rewards",
    "VideoZoomEnv": "env",
    "VideoZoomVectorEnv": "vector",
    "list_datasets": "datasets.registry",
    "load_dataset": "datasets.registry",
    "register_dataset": "datasets.registry",
    "score_answer": "scoring",
}


def __getattr__(name: str) -> Any:
    """Import what reads videos or annotation files when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public surface, lazy names included."""
    return sorted(__all__)
