"""`vz list`: what there is to evaluate, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from vz_env.datasets.registry import list_datasets
from vz_env.registration import env_id

from ..adapters.catalogue import BENCHMARKS
from ..console import show, show_table
from ..policies import POLICY_WORDS

__all__ = ["ListArgs", "benchmark_lines", "run_list"]


@dataclass(frozen=True, kw_only=True)
class ListArgs:
    """List datasets, official benchmarks with the files they want on the disk, and policies."""


def run_list(args: ListArgs) -> int:
    """Run the command; returns its exit code."""
    datasets = Table("dataset", "environment")
    for name in sorted(set(list_datasets()) - set(BENCHMARKS)):
        datasets.add_row(Text(name), Text(env_id(name)))
    datasets.add_row("path/to/file.jsonl", "any annotation file, by its path")
    policies = Table("policy", "what it does")
    for name, meaning in POLICY_WORDS.items():
        policies.add_row(Text(name), Text(meaning))
    show_table(datasets)
    for line in benchmark_lines():
        show(line)
    show_table(policies)
    return 0


def benchmark_lines() -> list[str]:
    """For each official benchmark: its environment, its variants, and what it wants under `--root`."""
    lines = []
    for benchmark in BENCHMARKS.values():
        lines += [
            f"{env_id(benchmark.name)}   --benchmark {' | '.join(benchmark.variants)}",
            f"  {benchmark.title}; licence: {benchmark.licence}",
            f"  files under --root, from {benchmark.home}:",
            *(f"    {line}" for line in benchmark.needs),
        ]
    return lines
