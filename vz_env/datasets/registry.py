"""Names of datasets: the built-in one, those registered in this process, and those that installed packages bring.

A package brings a dataset by an entry point of the group `vz_env.datasets`: its name is the dataset's, its object a
loader, any callable `loader(*, split, **options) -> Dataset`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError, DatasetError, VZError
from ..registration import DATASET_GROUP, register_env_id
from .dataset import Dataset
from .jsonl import load_jsonl

__all__ = ["Loader", "list_datasets", "load_dataset", "register_dataset", "register_loader"]

Loader = Callable[..., Dataset]
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*")


def _load_needle(**options: Any) -> Dataset:
    """The built-in dataset; its generator is imported when it is wanted."""
    from .needle import load_needle

    return load_needle(**options)


_LOADERS: dict[str, Loader] = {"Needle": _load_needle}


def register_dataset(
    name: str,
    annotations: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    version: int = 0,
    **env_defaults: Any,
) -> str:
    """Register an annotation file under a name, and an environment for it.

    Args:
        name: letters, digits, `_` and `-`, beginning with a letter, not ending like a version (`-v1`).
        annotations: the .jsonl file; read when the dataset is first loaded, so that it may be made later.
        root: folder the video paths are relative to.
        split: the split that is loaded when the caller names none.
        version: raised by the owner whenever scores could change.
        **env_defaults: keyword arguments of the environment, such as `describe="captions"`.

    Returns:
        the environment's id, `VZ/<name>-v<version>`.

    Raises:
        ConfigError: the name cannot be used, or belongs to another dataset.
    """
    loader = partial(_load_file, Path(annotations).absolute(), Path(root).absolute(), name, split)
    return register_loader(name, loader, version=version, **env_defaults)


def register_loader(name: str, loader: Loader, *, version: int = 0, **env_defaults: Any) -> str:
    """Register any loader under a name, and an environment for it; see `register_dataset`."""
    if not _NAME.fullmatch(name) or re.search(r"-v\d+$", name):
        raise ConfigError(
            f"dataset name wants letters, digits, '_' and '-' and no version at its end, got {name!r}; "
            "the version is an argument of its own"
        )
    known = _LOADERS.get(name)
    if known is not None and not _is_same(known, loader):
        raise ConfigError(f"dataset name {name!r} is taken; choose another name")
    _LOADERS[name] = loader
    return register_env_id(name, version, **env_defaults)


def load_dataset(name: str, *, split: str | None = None, **options: Any) -> Dataset:
    """Load a dataset by its name.

    Args:
        name: one of `list_datasets()`.
        split: train, validation or test, where the dataset has them; the loader's default when None.
        **options: passed to the loader (Needle: `root`, `config`; annotation files: `on_error`, `check_files`).

    Raises:
        ConfigError: an unknown name, or an option its loader does not take.
        DatasetError: the dataset cannot be loaded.
    """
    loader = _LOADERS.get(name) or _installed(name)
    if split is not None:
        options["split"] = split
    dataset = loader(**options)
    if not isinstance(dataset, Dataset):
        raise DatasetError(f"the loader of dataset {name!r} must return a Dataset, got {type(dataset).__name__}")
    return dataset


def list_datasets() -> tuple[str, ...]:
    """Names that `load_dataset` knows, sorted."""
    return tuple(sorted({*_LOADERS, *(point.name for point in entry_points(group=DATASET_GROUP))}))


def _load_file(annotations: Path, root: Path, name: str, default_split: str | None, **options: Any) -> Dataset:
    """The loader behind `register_dataset`."""
    try:
        return load_jsonl(annotations, root, name=name, **{"split": default_split, **options})
    except TypeError as error:
        raise ConfigError(f"dataset {name!r}: {error}; its options are split, on_error and check_files") from error


def _installed(name: str) -> Loader:
    """Find the loader that an installed package brings."""
    points = list(entry_points(group=DATASET_GROUP, name=name))
    if not points:
        raise ConfigError(f"no dataset is called {name!r}; known: {', '.join(list_datasets())}")
    try:
        loader = points[0].load()
    except VZError:
        raise
    except Exception as error:  # whatever a foreign package raises while it is imported
        raise DatasetError(
            f"dataset {name!r}: its package cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(loader):
        raise DatasetError(f"dataset {name!r}: its entry point wants a loader, got {type(loader).__name__}")
    found: Loader = loader
    return found


def _is_same(known: Loader, loader: Loader) -> bool:
    """Whether a name is being registered again for the same files, as when a notebook's cell runs twice."""
    if isinstance(known, partial) and isinstance(loader, partial):
        return known.func is loader.func and known.args == loader.args and known.keywords == loader.keywords
    return known is loader
