"""Gymnasium ids of datasets: `VZ/<name>-v<version>` is `VideoZoomEnv` on the dataset of that name.

`gymnasium.make_vec` makes a `VideoZoomVectorEnv` of it. An id carries the dataset's name alone, so that a spec can be
written as JSON and holds nothing of the data.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any, Final

import gymnasium as gym

from .errors import ConfigError

__all__ = ["DATASET_GROUP", "ENTRY_POINT", "VECTOR_ENTRY_POINT", "env_id", "register_env_id"]

ENTRY_POINT: Final = "vz_env.env:VideoZoomEnv"
VECTOR_ENTRY_POINT: Final = "vz_env.vector:VideoZoomVectorEnv"
DATASET_GROUP: Final = "vz_env.datasets"
"""The entry points by which a package brings a dataset: its name, and a loader `loader(*, split, **options)`."""
_NAMESPACE: Final = "VZ"


def env_id(name: str, version: int = 0) -> str:
    """The id of a dataset's environment: `VZ/Needle-v0`."""
    return f"{_NAMESPACE}/{name}-v{version}"


def register_env_id(name: str, version: int = 0, **env_defaults: Any) -> str:
    """Register the environment of a dataset; registering it again replaces its defaults.

    Args:
        name: a name that `load_dataset` knows when the environment is made.
        version: grows whenever scores could change.
        **env_defaults: keyword arguments of `VideoZoomEnv`; `gym.make` may override each.

    Returns:
        The id.

    Raises:
        ConfigError: when the version is negative, or the id cannot be registered.
    """
    if version < 0:
        raise ConfigError(f"a version must be 0 or more, got {version}")
    identifier = env_id(name, version)
    gym.registry.pop(identifier, None)  # registering twice, as a notebook does, must not warn
    try:
        # The env says itself when reset is missing, so Gymnasium's order check is left out. No max_episode_steps: turns
        # are part of the budget, which the policy can see.
        gym.register(
            id=identifier,
            entry_point=ENTRY_POINT,
            vector_entry_point=VECTOR_ENTRY_POINT,
            kwargs={"dataset": name, **env_defaults},
            order_enforce=False,
        )
    except gym.error.Error as error:
        raise ConfigError(f"{identifier!r} is no id Gymnasium accepts: {error}") from error
    return identifier


register_env_id("Needle")
for _point in entry_points(group=DATASET_GROUP):  # what installed packages bring: their loaders stay unimported
    with suppress(ConfigError):  # a name that Gymnasium refuses must not keep this package from being imported
        register_env_id(_point.name)
