"""What the environment is given by its caller, read and checked: the dataset, the overview, actions."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from .datasets.dataset import Dataset

__all__ = ["as_action_text", "check_overview", "open_dataset"]


def open_dataset(
    dataset: Dataset | str,
    split: str | None,
    root: str | os.PathLike[str] | None,
    options: Mapping[str, Any] | None,
) -> Dataset:
    """Load a dataset by name; one that is loaded already takes neither split nor options, and no other root.

    Raises:
        ConfigError: an unknown name, or arguments that belong to a name beside a dataset that is loaded.
        DatasetError: the dataset cannot be loaded.
    """
    given: dict[str, Any] = {"split": split, "root": root}
    if isinstance(dataset, str):
        from .datasets.registry import load_dataset

        return load_dataset(
            dataset, **{name: value for name, value in given.items() if value is not None}, **(options or {})
        )
    if root is not None and dataset.root != Path(root).resolve():
        raise ConfigError(f"root is for datasets given by name: this one is loaded already, from {dataset.root}")
    if (split is not None and split != dataset.split) or options:
        raise ConfigError("split and dataset_options are for datasets given by name: this one is loaded already")
    return dataset


def check_overview(name: str, fps: float | None, protocol: str) -> None:
    """Refuse an `overview_from` or `overview_fps` that cannot be had.

    Raises:
        ConfigError: they are unknown, or the protocol says itself which frames it shows.
    """
    if fps is not None and not 0.0 < fps < math.inf:
        raise ConfigError(f"overview_fps must be positive and finite, got {fps}")
    if name not in ("exact", "keyframes"):
        raise ConfigError(f"overview_from must be 'exact' or 'keyframes', got {name!r}")
    if name == "keyframes" and protocol != "strict":
        raise ConfigError(
            f"overview_from='keyframes' is for protocol 'strict': {protocol!r} says which frames it shows"
        )


def as_action_text(action: Any) -> str:
    """The action, if it is text.

    Raises:
        ConfigError: it is anything else: a caller's mistake, not a policy's.
    """
    if not isinstance(action, str):
        raise ConfigError(f"an action must be a str, got {type(action).__name__}")
    return action
