"""Pictures of an episode for people: a timeline as text, and a contact sheet of the frames shown last.

Evidence is drawn only when it is handed over, which the env does once the episode has ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from .episode import Segment
from .prompts import format_seconds

if TYPE_CHECKING:
    from .episode_state import EpisodeState

__all__ = ["SHEET_SIZE", "contact_sheet", "draw_sheet", "draw_timeline", "timeline"]

SHEET_SIZE: Final = (640, 416)
"""Width and height of a contact sheet: always the same, so that recordings can hold them."""

_COLUMNS: Final = 64  # of a timeline
_BAR, _LABEL, _MARGIN = 40, 14, 4  # pixels: height of the bar on a sheet, height of a time below a frame, space around
_PAPER, _INK, _LINE = (250, 250, 248), (40, 40, 40), (205, 205, 200)
_OVERVIEW, _ZOOM, _EVIDENCE = (120, 120, 120), (30, 110, 200), (215, 95, 20)


def draw_timeline(run: EpisodeState, evidence: Sequence[Segment]) -> str:
    """The timeline of a running or ended episode; `evidence` is empty while it is secret."""
    return timeline(**_drawn(run, evidence), question=run.episode.question)


def draw_sheet(run: EpisodeState, frames: NDArray[np.uint8], evidence: Sequence[Segment]) -> NDArray[np.uint8]:
    """The contact sheet of an episode: `frames` are those of the last zoom, or of the overview before any."""
    times = run.zooms[-1].timestamps_seconds if run.zooms else run.overview.timestamps_seconds
    return contact_sheet(frames, times.tolist(), **_drawn(run, evidence))


def _drawn(run: EpisodeState, evidence: Sequence[Segment]) -> dict[str, Any]:
    """What both pictures show of an episode."""
    return {
        "duration_seconds": run.duration_seconds,
        "overview_seconds": run.overview.timestamps_seconds.tolist(),
        "zooms": [plan.segment for plan in run.zooms],
        "evidence": evidence,
    }


def timeline(
    *,
    duration_seconds: float,
    overview_seconds: Sequence[float],
    zooms: Sequence[Segment],
    evidence: Sequence[Segment],
    question: str = "",
) -> str:
    """Draw an episode as lines of text.

    Args:
        duration_seconds: length of the video.
        overview_seconds: moments shown at the start.
        zooms: segments zoomed into, in order.
        evidence: where the answer can be seen; empty while that is secret.
        question: a first line; control characters are taken out of it.

    Returns:
        A line each for the overview, every zoom and the evidence, without colours.
    """
    overview = [Segment(time, math.nextafter(time, math.inf)) for time in overview_seconds]
    rows = [("overview", "|", overview, f"{len(overview)} frames")]
    rows += [(f"zoom {n}", "=", [zoom], _span(zoom)) for n, zoom in enumerate(zooms, start=1)]
    rows += [("evidence", "^", list(evidence), ", ".join(map(_span, evidence)))] if evidence else []
    lines = ["".join(c for c in question if c.isprintable())] if question else []
    lines.append(f"{'video':<9} 0s{format_seconds(duration_seconds):>{_COLUMNS}}")
    lines += [f"{name:<9} [{_row(marks, mark, duration_seconds)}] {note}" for name, mark, marks, note in rows]
    return "\n".join(lines)


def _row(segments: Sequence[Segment], mark: str, duration_seconds: float) -> str:
    """A row of `_COLUMNS` cells, marked where a segment reaches; the shortest segment still marks one."""
    cells = [" "] * _COLUMNS
    for segment in segments:
        first = min(_COLUMNS - 1, int(segment.start_seconds / duration_seconds * _COLUMNS))
        last = min(_COLUMNS, max(first + 1, math.ceil(segment.end_seconds / duration_seconds * _COLUMNS - 1e-6)))
        cells[first:last] = mark * (last - first)
    return "".join(cells)


def _span(segment: Segment) -> str:
    """`130s to 140s`."""
    return f"{format_seconds(segment.start_seconds)} to {format_seconds(segment.end_seconds)}"


def contact_sheet(
    frames: NDArray[np.uint8],
    timestamps_seconds: Sequence[float],
    *,
    duration_seconds: float,
    overview_seconds: Sequence[float],
    zooms: Sequence[Segment],
    evidence: Sequence[Segment],
) -> NDArray[np.uint8]:
    """Draw frames in a grid under a bar that shows where in the video they lie.

    Args:
        frames: uint8 (n, height, width, 3), n may be 0.
        timestamps_seconds: n times.
        duration_seconds: length of the video.
        overview_seconds: moments shown at the start.
        zooms: segments zoomed into.
        evidence: where the answer can be seen; empty while that is secret.

    Returns:
        uint8 (416, 640, 3).
    """
    width, height = SHEET_SIZE
    sheet = Image.new("RGB", SHEET_SIZE, _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_bar(draw, duration_seconds, overview_seconds, zooms, evidence)
    columns = _best_columns(frames.shape)
    rows = math.ceil(len(frames) / columns)
    for index, (frame, time) in enumerate(zip(frames, timestamps_seconds, strict=True)):
        cell_width, cell_height = width / columns, (height - _BAR) / rows
        left, top = index % columns * cell_width + _MARGIN, index // columns * cell_height + _BAR
        picture = Image.fromarray(frame)
        picture.thumbnail((max(1, int(cell_width - 2 * _MARGIN)), max(1, int(cell_height - _LABEL))))
        sheet.paste(picture, (int(left), int(top)))
        draw.text((left, top + picture.height), format_seconds(time), fill=_INK, font=_font())
    return np.asarray(sheet, dtype=np.uint8).copy()


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    duration_seconds: float,
    overview_seconds: Sequence[float],
    zooms: Sequence[Segment],
    evidence: Sequence[Segment],
) -> None:
    """The video as a bar: ticks of the overview, zooms above the line, evidence below it."""
    left, right, middle = _MARGIN * 2, SHEET_SIZE[0] - _MARGIN * 2, _BAR // 2
    scale = (right - left) / duration_seconds
    draw.line((left, middle, right, middle), fill=_LINE)
    for time in overview_seconds:
        draw.line((left + time * scale, middle - 3, left + time * scale, middle + 3), fill=_OVERVIEW)
    for segments, colour, top in ((zooms, _ZOOM, middle - 12), (evidence, _EVIDENCE, middle + 5)):
        for segment in segments:
            start = left + segment.start_seconds * scale
            end = max(start + 1, min(right, left + segment.end_seconds * scale))
            draw.rectangle((start, top, end, top + 7), fill=colour)


def _best_columns(shape: tuple[int, ...]) -> int:
    """The number of columns that draws frames of this aspect largest on the sheet."""
    count, height, width = max(1, shape[0]), shape[1], shape[2]

    def scale(columns: int) -> float:
        rows = math.ceil(count / columns)
        cell_width, cell_height = SHEET_SIZE[0] / columns - 2 * _MARGIN, (SHEET_SIZE[1] - _BAR) / rows - _LABEL
        return min(cell_width / width, cell_height / height)

    return max(range(1, count + 1), key=scale)


@cache
def _font() -> ImageFont.ImageFont | FreeTypeFont:
    """The font that comes with the imaging library."""
    return ImageFont.load_default(size=10)
