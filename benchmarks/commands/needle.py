"""`vz needle make`: a needle dataset in a folder, over generated scenes or over a film of your own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vz_env.datasets.needle import NeedleConfig, make_needle

from ..console import progress_bar, show

__all__ = ["NeedleMakeArgs", "run_needle_make"]


@dataclass(frozen=True, kw_only=True)
class NeedleMakeArgs:
    """Make a needle dataset. The same command continues an interrupted one; the same arguments give the same bytes."""

    out: Path
    """Folder to write into."""
    haystack: Path | None = None
    """A film whose own frames the needles are hidden in; generated scenes without it."""
    videos_train: int = 40
    """Videos of the train split."""
    videos_validation: int = 8
    """Videos of the validation split."""
    videos_test: int = 20
    """Videos of the test split."""
    spacings_seconds: tuple[int, ...] = (10, 11, 12, 13, 14, 15, 16)
    """Seconds between overview frames; each video takes one of these, and lasts 32 times as long by default."""
    overview_frames: int = 32
    """Frames of the overview that the events hide from."""
    seed: int = 0
    """Decides everything that is drawn."""
    workers: int = 2
    """Threads that encode."""


def run_needle_make(args: NeedleMakeArgs) -> int:
    """Run the command; returns its exit code."""
    config = NeedleConfig(
        seed=args.seed,
        videos={"train": args.videos_train, "validation": args.videos_validation, "test": args.videos_test},
        overview_frames=args.overview_frames,
        spacings_seconds=args.spacings_seconds,
        haystack=args.haystack,
    )
    with progress_bar("making needle videos") as progress:
        folder = make_needle(args.out, config, progress=progress, workers=args.workers)
    show(f"needle dataset: {folder}   try: vz eval --dataset Needle --root {folder} --policy oracle")
    return 0
