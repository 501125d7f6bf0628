"""Policies, rollouts and trainers for VideoZoomer-Gym; imported as `vz_agents`.

Nothing here needs torch: what does is imported by its module's name, such as `vz_agents.ppo`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .baselines import Blind, Oracle, RandomZoom, UniformSampling
    from .policy import Observation, PastTurn, Policy, as_policy, load_policy
    from .rollout import EpisodeRun, collect_rollouts, run_episode
    from .trajectory import TokenRecord, Trajectory, TurnRecord

__all__ = [
    "Blind",
    "EpisodeRun",
    "Observation",
    "Oracle",
    "PastTurn",
    "Policy",
    "RandomZoom",
    "TokenRecord",
    "Trajectory",
    "TurnRecord",
    "UniformSampling",
    "as_policy",
    "collect_rollouts",
    "load_policy",
    "run_episode",
]

_HOMES: Final = {
    "baselines": ("Blind", "Oracle", "RandomZoom", "UniformSampling"),
    "policy": ("Observation", "PastTurn", "Policy", "as_policy", "load_policy"),
    "rollout": ("EpisodeRun", "collect_rollouts", "run_episode"),
    "trajectory": ("TokenRecord", "Trajectory", "TurnRecord"),
}
_LAZY: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a module when something of it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public surface, lazy names included."""
    return sorted(__all__)
