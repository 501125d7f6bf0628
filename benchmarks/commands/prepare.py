"""`vz prepare`: a dataset's videos re-encoded small and with many keyframes, so that zooms cost next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from vz_agents.stopping import StopRequest

from ..console import note, progress_bar, show
from ..preparing import PrepareResult, PrepareSettings, prepare_dataset
from ..probing import measure_zoom

__all__ = ["PrepareArgs", "run_prepare"]

EXIT_SOME_FAILED = 3


@dataclass(frozen=True, kw_only=True)
class PrepareArgs:
    """Re-encode a dataset for training. Lossy: keep the original. The same command continues an interrupted one."""

    root: Annotated[Path, tyro.conf.Positional]
    """The folder of videos; nothing in it is changed."""
    out: Path
    """Where the copy goes: the same tree, annotation files and subtitles included."""
    settings: Annotated[PrepareSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=PrepareSettings)
    """What the copies are like."""
    workers: int = 2
    """Videos encoded at the same time."""


def run_prepare(args: PrepareArgs) -> int:
    """Run the command; returns its exit code: 0, 3 when a video failed, 130 or 143 when stopped."""
    with StopRequest() as stop, progress_bar("re-encoding, MB of sources") as progress:
        result = prepare_dataset(
            args.root,
            args.out,
            args.settings,
            workers=args.workers,
            progress=progress,
            should_stop=stop.is_set,
        )
        code = stop.exit_code(EXIT_SOME_FAILED if result.failed else 0)
    for name, reason in sorted(result.failed.items()):
        note(f"{name}: left out: {reason}")
    if result.is_stopped:
        note(f"stopped after {len(result.done) + result.found_done} videos; the same command continues")
        return code
    show(_summary(result, args.out))
    if result.done:
        show(_saved(max(result.done, key=lambda path: path.stat().st_size), args))
    return code


def _summary(result: PrepareResult, out: Path) -> str:
    before = f" ({result.found_done} of them earlier)" if result.found_done else ""
    return (
        f"{len(result.done) + result.found_done} videos{before}, {result.source_bytes / 1e6:.1f} MB -> "
        f"{result.copy_bytes / 1e6:.1f} MB in {out}"
    )


def _saved(source: Path, args: PrepareArgs) -> str:
    """Measure a zoom before and after, on the largest video."""
    name = source.relative_to(args.root.resolve())
    before = measure_zoom(source, args.settings.max_pixels)
    after = measure_zoom((args.out / name).with_suffix(".mp4"), args.settings.max_pixels)
    return f"a zoom of 16 frames: {before:.3f} s -> {after:.3f} s, {before / after:.1f}x faster ({name})"
