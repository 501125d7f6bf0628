"""`vz list`: what there is to evaluate, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from vz_env.datasets.registry import list_datasets
from vz_env.registration import env_id

from ..console import show_table

__all__ = ["ListArgs", "run_list"]

_POLICIES = {
    "uniform": "frames spread evenly over the video, no zoom (--frames)",
    "blind": "guesses without looking",
    "random": "zooms to random places",
    "oracle": "reads the answer key; marked as cheating",
    "package.module:Name": "a policy of your own",
    "<folder>": "what `vz train` or `vz demo` left behind",
}


@dataclass(frozen=True, kw_only=True)
class ListArgs:
    """List datasets and policies."""


def run_list(args: ListArgs) -> int:
    """Run the command; returns its exit code."""
    datasets = Table("dataset", "environment")
    for name in list_datasets():
        datasets.add_row(Text(name), Text(env_id(name)))
    datasets.add_row("path/to/file.jsonl", "any annotation file, by its path")
    policies = Table("policy", "what it does")
    for name, meaning in _POLICIES.items():
        policies.add_row(Text(name), Text(meaning))
    show_table(datasets)
    show_table(policies)
    return 0
