"""Dividing an evaluation among machines, and joining what they wrote: `--shard 0/8` and `vz merge`.

A run is named by policy, configuration and code, not by the shard, so results of all shards fit together, and merging
is a union by key in which a result wins over a failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vz_env.errors import ConfigError, DatasetError

from .records import EpisodeRecord, ResultsFile, read_json, read_records, to_pretty_json, write_atomically

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["merge_results", "take_shard"]

_SHARD: Final = re.compile(r"(\d{1,6})/(\d{1,6})")


def take_shard(dataset: Dataset, shard: str) -> Dataset:
    """The questions of one shard: every n-th, so that each shard has its share of every part of the dataset.

    Args:
        dataset: all questions.
        shard: `i/n`, 0 <= i < n; empty for all of them.

    Raises:
        ConfigError: it is written otherwise, or the shard holds no question.
    """
    if not shard:
        return dataset
    match = _SHARD.fullmatch(shard)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 <= index < count:
        raise ConfigError(f"wanted a shard as i/n with 0 <= i < n, such as 0/8, got {shard!r}")
    ids = dataset.ids[index::count]
    if not ids:
        raise ConfigError(f"shard {shard} holds none of the {len(dataset)} questions; take fewer shards")
    return dataset.subset(ids=ids)


def merge_results(folders: Sequence[Path], out: Path) -> tuple[int, int]:
    """Join results folders into one.

    Args:
        folders: what `vz eval` wrote, each with `results.jsonl` and `runs.json`.
        out: the folder to write; it may be one of them, or hold results from an earlier merge.

    Returns:
        How many results there are now, and how many of them are failures.

    Raises:
        ConfigError: another process writes to `out`.
        DatasetError: a folder has no results, or two folders say different things of one run.
    """
    runs: dict[str, Any] = {}
    incoming: dict[str, EpisodeRecord] = {}
    for folder in folders:
        for record in read_records(folder / "results.jsonl"):
            incoming[record.key] = _better(incoming.get(record.key), record)
        for run, description in read_json(folder / "runs.json").items():
            if runs.setdefault(run, description) != description:
                raise DatasetError(f"{folder / 'runs.json'}: run {run} is described otherwise than in another folder")
    with ResultsFile(out / "results.jsonl") as results:
        for key, record in incoming.items():
            present = results.get(key)
            if present is None or _better(present, record) is not present:
                results.append(record)
        known = read_json(out / "runs.json") if (out / "runs.json").exists() else {}
        write_atomically(out / "runs.json", to_pretty_json({**known, **runs}))
        _keep_config(folders, out)
        total, done = len(results), len(results.done_keys())
    return total, total - done


def _better(present: EpisodeRecord | None, other: EpisodeRecord) -> EpisodeRecord:
    """The result to keep of two under one key: a result before a failure, else the one that was there."""
    if present is None or (present.trajectory.is_error and not other.trajectory.is_error):
        return other
    return present


def _keep_config(folders: Sequence[Path], out: Path) -> None:
    """The configuration of the first folder, so that a report finds the dataset; without the shard."""
    source = next((folder / "config.json" for folder in folders if (folder / "config.json").exists()), None)
    if source is not None and not (out / "config.json").exists():
        config = read_json(source)
        config.pop("shard", None)
        write_atomically(out / "config.json", to_pretty_json(config))
