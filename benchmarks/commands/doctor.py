"""`vz doctor`: look through an annotation file and its videos before anybody plays them, and say what to fix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table
from rich.text import Text

from vz_env.datasets.checkup import Checkup, check_files

from ..console import progress_bar, show, show_table
from ..viewer import clean_text

__all__ = ["DoctorArgs", "run_doctor"]

EXIT_NOT_HEALTHY = 2


@dataclass(frozen=True, kw_only=True)
class DoctorArgs:
    """Check every record and every video of an annotation file. Exit code 0: all of it can be played; 2: not."""

    annotations: tyro.conf.Positional[Path]
    """The .jsonl file, one question a line."""
    root: Path | None = None
    """Folder of the videos: the annotation file's own by default."""
    decode: bool = True
    """Decode frames of every video; without, files are only opened."""


def run_doctor(args: DoctorArgs) -> int:
    """Run the command; returns its exit code."""
    root = args.root or args.annotations.parent
    with progress_bar("looking at the videos") as progress:
        checkup = check_files(args.annotations, root, decode=args.decode, progress=progress)
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
        show(f"try: vz eval --dataset {args.annotations} --root {root} --policy uniform --limit 20 --out runs/first")
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
