"""`vz import`: questions of VideoZoomer's files, and conversations of its or other trainers', in our formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vz_agents.interchange.annotations import write_annotations
from vz_agents.interchange.trl import read_trl
from vz_agents.interchange.videozoomer import read_videozoomer_sft
from vz_agents.trajectory_files import write_trajectories
from vz_env.errors import DatasetError

from ..adapters.videozoomer import load
from ..console import note, show

__all__ = ["ImportArgs", "run_import"]

EXIT_SOME_LEFT_OUT = 3


@dataclass(frozen=True, kw_only=True)
class ImportArgs:
    """Read files of another system. Exit code 3: some records were left out, and stderr says which and why."""

    file: tyro.conf.Positional[Path]
    """The .json file (for questions also a .yaml mixture; of TRL a .jsonl file)."""
    kind: Annotated[Literal["videozoomer-sft", "llama-factory", "trl", "videozoomer-train"], tyro.conf.arg(name="from")]
    """What it holds: conversations with pictures, or (videozoomer-train) questions about videos."""
    out: Path
    """The .jsonl file to write: trajectories, or annotations."""
    root: Path | None = None
    """Of questions: the folder of the videos, which holds the file; the file's own by default."""


def run_import(args: ImportArgs) -> int:
    """Run the command; returns its exit code."""
    if args.kind == "videozoomer-train":
        return _import_questions(args)
    read = read_trl if args.kind == "trl" else read_videozoomer_sft  # LLaMA-Factory's ShareGPT form is the same
    trajectories, rejected = read(args.file)
    for message in rejected:
        note(f"left out: {message}")
    if not trajectories:
        raise DatasetError(f"{args.file}: holds no conversation that can be read")
    write_trajectories(args.out, trajectories)
    show(f"{len(trajectories)} trajectories, {len(rejected)} left out: {args.out}")
    return EXIT_SOME_LEFT_OUT if rejected else 0


def _import_questions(args: ImportArgs) -> int:
    root = (args.root or args.file.parent).resolve()
    file = args.file.resolve()
    if not file.is_relative_to(root):
        raise DatasetError(f"wanted the file below the folder of its videos, got {file} and the root {root}")
    dataset = load(root=root, split=file.relative_to(root).as_posix())
    for line in dataset.notes:
        note(line)
    count = write_annotations(args.out, dataset, root)
    show(f"{count} questions: {args.out}   try: vz doctor {args.out} --root {root}")
    return 0
