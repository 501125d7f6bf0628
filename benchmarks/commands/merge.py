"""`vz merge`: join what the shards of an evaluation wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..console import show
from ..sharding import merge_results

__all__ = ["MergeArgs", "run_merge"]


@dataclass(frozen=True, kw_only=True)
class MergeArgs:
    """Join results folders into one: each question of a run is kept once, and a result wins over a failure."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that `vz eval --shard` wrote."""
    out: Path
    """The folder to write; merging again into it adds what is new."""


def run_merge(args: MergeArgs) -> int:
    """Run the command; returns its exit code."""
    total, failed = merge_results(args.folders, args.out)
    show(f"{total} results, {failed} of them failures: {args.out}   page: vz report {args.out}")
    return 0
