"""`vz doctor`: look through annotations and their videos before anybody plays them, and say what to fix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table
from rich.text import Text

from vz_env.datasets.checkup import Checkup, check_dataset, check_files
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError

from ..adapters.catalogue import find_variant
from ..console import progress_bar, show, show_table
from ..viewer import clean_text

__all__ = ["DoctorArgs", "run_doctor"]

EXIT_NOT_HEALTHY = 2


@dataclass(frozen=True, kw_only=True)
class DoctorArgs:
    """Check the records and videos of an annotation file or a benchmark. Exit code 0: all can be played; 2: not."""

    annotations: tyro.conf.Positional[Path | None] = None
    """The .jsonl file, one question a line."""
    benchmark: str = ""
    """In its place an official benchmark by its variant, such as mlvu-dev; --root is the folder of its files."""
    root: Path | None = None
    """Folder of the videos: the annotation file's own by default."""
    decode: bool = True
    """Decode frames of every video; without, files are only opened."""


def run_doctor(args: DoctorArgs) -> int:
    """Run the command; returns its exit code."""
    if (args.annotations is None) == (not args.benchmark):
        raise ConfigError("vz doctor wants an annotation file, or --benchmark and --root")
    if args.annotations is not None:
        root = args.root or args.annotations.parent
        words = f"--dataset {args.annotations} --root {root}"
        with progress_bar("looking at the videos") as progress:
            checkup = check_files(args.annotations, root, decode=args.decode, progress=progress)
    else:
        benchmark, options = find_variant(args.benchmark)
        dataset = load_dataset(benchmark.name, root=args.root, **options)
        words = f"--benchmark {args.benchmark} --root {args.root}"
        with progress_bar("looking at the videos") as progress:
            checkup = check_dataset(dataset, decode=args.decode, progress=progress)
    if checkup.findings:
        table = Table("", "where", "what is wrong, and what to do")
        for finding in checkup.findings:
            style = "bold red" if finding.severity == "error" else "yellow"
            table.add_row(
                Text(finding.severity, style=style), Text(clean_text(finding.where)), Text(clean_text(finding.message))
            )
        show_table(table)
    show(_summary(checkup))
    if checkup.is_healthy:
        show(f"try: vz eval {words} --policy uniform --limit 20 --out runs/first")
        return 0
    return EXIT_NOT_HEALTHY


def _summary(checkup: Checkup) -> str:
    """One line of counts."""
    errors = sum(finding.severity == "error" for finding in checkup.findings)
    return (
        f"{_count(checkup.questions, 'question')} about {_count(checkup.videos, 'video')} ({checkup.hours:.2f} h), "
        f"{checkup.with_evidence} with evidence, {checkup.with_subtitles} with subtitles: "
        f"{_count(errors, 'error')}, {_count(len(checkup.findings) - errors, 'warning')}"
    )


def _count(number: int, thing: str) -> str:
    """`1 video`, `2 videos`."""
    return f"{number} {thing}{'s' * (number != 1)}"
