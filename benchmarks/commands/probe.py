"""`vz probe`: what a video file is, what looking into it costs, whether it is worth re-encoding."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from vz_env.errors import ConfigError

from ..console import progress_bar, show, show_table
from ..probing import FileReport, probe_file

__all__ = ["ProbeArgs", "run_probe"]


@dataclass(frozen=True, kw_only=True)
class ProbeArgs:
    """Say what a video file is and what looking into it costs, measured on this machine with one thread."""

    file: Annotated[Path, tyro.conf.Positional]
    """The video."""
    max_pixels: int = 100_352
    """Most pixels of a frame, as a budget has it."""
    overview_frames: int = 64
    """Frames of the overview whose cost is estimated."""
    json: bool = False
    """Print one JSON object instead of the table."""


def run_probe(args: ProbeArgs) -> int:
    """Run the command; returns its exit code."""
    if args.overview_frames < 1:
        raise ConfigError(f"overview-frames must be at least 1, got {args.overview_frames}")
    with progress_bar("reading packets") as progress:
        report = probe_file(
            args.file, max_pixels=args.max_pixels, overview_frames=args.overview_frames, progress=progress
        )
    if args.json:
        sys.stdout.write(json.dumps(report.to_json()) + "\n")  # one line, however long
        return 0
    table = Table(show_header=False, title=Text(str(args.file)), title_justify="left")
    for name, value in _rows(report):
        table.add_row(Text(name), Text(value))
    show_table(table)
    show(_advice(report))
    return 0


def _rows(report: FileReport) -> list[tuple[str, str]]:
    info, costs, size = report.info, report.costs, report.frame_size
    cut = ", TRUNCATED: the file ends before the end it declares" if info.is_truncated else ""
    turned = f", turned by {info.rotation_degrees} degrees" if info.rotation_degrees else ""
    order = "reordered (B-frames)" if report.is_reordered else "not reordered"
    return [
        ("container, codec", f"{info.container}, {info.codec}"),
        ("length", f"{info.duration_seconds:.3f} s, {report.pictures} pictures{cut}"),
        ("picture", f"{info.width}x{info.height}{turned}, {info.average_fps:.3f} a second on average"),
        ("size on disk", f"{info.file_bytes / 1e6:.1f} MB"),
        ("keyframes", f"{report.keyframes}, one every {report.median_group_seconds:.2f} s (median), {order}"),
        ("groups", f"{report.median_group_pictures:.0f} pictures (median), {report.largest_group_pictures} at most"),
        ("open", f"{costs.open_seconds * 1e3:.0f} ms"),
        (f"overview, {report.overview_frames} frames of {size[0]}x{size[1]}", f"{costs.overview_seconds:.2f} s"),
        ("the same from keyframes", f"{costs.keyframe_overview_seconds:.2f} s"),
        ("zoom, 16 frames in 8 s", f"{costs.zoom_seconds:.3f} s"),
        ("the same after vz prepare", f"{costs.prepared_zoom_seconds:.3f} s"),
    ]


def _advice(report: FileReport) -> str:
    costs = report.costs
    if costs.zoom_seconds <= costs.prepared_zoom_seconds:
        return "not worth re-encoding: zooms would not get faster"
    gain = costs.zoom_seconds / costs.prepared_zoom_seconds
    facts = (
        f"zooms would be {gain:.1f}x faster; re-encoding takes about {report.prepare_seconds:.0f} s "
        f"and pays back after about {report.pays_back_after_zooms:.0f} zooms into this video"
    )
    if report.is_worth_preparing:
        return f"worth re-encoding for training (vz prepare): {facts}"
    return f"not worth re-encoding unless you zoom into it more than that: {facts}"
