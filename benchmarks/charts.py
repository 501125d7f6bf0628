"""The report's pictures as small SVG texts: accuracy against frames, the learning curve, an episode's timeline.

They are drawn by hand rather than by a plotting library because they take their colours from the page's style sheet, so
that one file suits light and dark screens. Everything that comes from data is escaped here; the result is safe markup.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from markupsafe import Markup

from vz_env.episode import Segment

from .statistics import Interval

__all__ = ["Point", "ZoomMark", "draw_frames_chart", "draw_learning_chart", "draw_timeline"]

WIDTH, HEIGHT = 540, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 42
_FEW: Final = 8  # points whose labels find room in a chart of the usual height
_LABEL_GAP, _LETTER_WIDTH = 15.0, 7.5  # what a label and its letters take, in pixels

_SERIES: Final = {"accuracy": "accuracy", "eval_accuracy": "validation", "evidence_hit": "evidence found"}
"""Columns of a learning curve that are drawn, by the names of `vz_agents.learning_log`, and what they are called."""
_NUMBERED: Final = re.compile(r"(.*\w)-(\d+)(\D*)", re.DOTALL | re.ASCII)
_SMOOTHED: Final = 5
"""Iterations of a running mean: each draws other questions, and their difficulty hides the trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy in the chart of accuracy against frames; `style` is main, baseline, other or cheating."""

    label: str
    frames: float
    accuracy: Interval
    style: str = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomMark:
    """One zoom in a timeline; `turn` counts from 1, `is_hit` says whether a frame of it lay inside the evidence."""

    turn: int
    segment: Segment
    is_hit: bool


class _Scale:
    """A linear map from data to pixels, with round tick values."""

    def __init__(self, low: float, high: float, start: float, end: float, *, ticks: int = 5) -> None:
        span = (high - low) or 1.0
        step = 10.0 ** math.floor(math.log10(span / ticks))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= ticks + 1e-9)
        self.low, self.high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        self.start, self.end = start, end
        count = round((self.high - self.low) / step)
        self.ticks = [self.low + index * step for index in range(count + 1)]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def draw_frames_chart(
    points: Iterable[Point], *, axis: str = "frames looked at per episode", unit: str = "frames"
) -> Markup:
    """Draw accuracy (from 0%) with its interval against a mean cost an episode; NaN points are left out.

    Args:
        points: `frames` of each is the cost: frames, tokens or seconds.
        axis: what the cost is, below the chart.
        unit: of the cost, in the texts that show when a pointer rests on a point.
    """
    shown = [point for point in points if not (math.isnan(point.accuracy.mean) or math.isnan(point.frames))]
    if not shown:
        return Markup("")
    height = HEIGHT if len(shown) <= _FEW else HEIGHT + 120
    most = max(point.frames for point in shown) or 1.0  # of seconds, all may be far below one
    across = _Scale(0.0, most * 1.15, LEFT, WIDTH - RIGHT)
    highest = max(point.accuracy.high for point in shown)  # NaN compares as nothing, and 1 is then the top
    down = _Scale(0.0, min(1.0, 1.1 * highest) if highest > 0 else 1.0, height - BOTTOM, TOP)
    parts = _axes(across, down, axis, is_percent=True)
    names = [point.label for point in shown]
    for curve in _curves(shown):
        path = "L".join(f"{across(shown[index].frames)} {down(shown[index].accuracy.mean)}" for index in curve)
        parts.append(f'<path class="curve" d="M{path}"/>')
        for index in curve[:-1]:  # the last tells the name, the others their number
            names[index] = _NUMBERED.fullmatch(names[index])[2]  # type: ignore[index] - only such are in a curve
    labels = [
        _place(across(point.frames), down(point.accuracy.mean), name) for point, name in zip(shown, names, strict=True)
    ]
    first = {index for index, point in enumerate(shown) if point.style in {"main", "baseline"}}
    for index, label_y in enumerate(_spread(labels, first, bottom=height - BOTTOM)):
        point, label = shown[index], labels[index]
        title = f"{point.label}: {point.accuracy} %, {point.frames:.4g} {unit}"
        text_x, anchor = (label.end - 11, "end") if label.is_left else (label.start + 11, "start")
        text = "" if label_y is None else _text(names[index], text_x, label_y + 4, anchor)
        parts.append(_mark(point, across(point.frames), down, title) + text + "</g>")
    return _svg(parts, f"Accuracy against {axis}", WIDTH, height)


def _mark(point: Point, x: float, down: _Scale, title: str) -> str:
    """A circle with its interval, in a group that is left open for the label."""
    low, mean, high = down(point.accuracy.low), down(point.accuracy.mean), down(point.accuracy.high)
    return (
        f'<g class="point {escape(point.style)}"><title>{escape(title)}</title>'
        f'<path d="M{x} {low}V{high}M{x - 4} {low}h8M{x - 4} {high}h8"/><circle cx="{x}" cy="{mean}" r="5"/>'
    )


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _curves(points: Sequence[Point]) -> list[list[int]]:
    """Indices of policies that differ in a number alone, such as UniformSampling-8 to -128, by what they cost."""
    families: dict[tuple[str, str], list[int]] = {}
    for index, point in enumerate(points):
        match = _NUMBERED.fullmatch(point.label)
        if match:
            families.setdefault((match[1], match[3]), []).append(index)
    return [sorted(one, key=lambda index: points[index].frames) for one in families.values() if len(one) > 2]


def draw_learning_chart(rows: Sequence[Mapping[str, float]]) -> Markup:
    """Draw the known columns of a learning curve against `episodes`, or `iteration` where there are none.

    What was measured in every iteration of a long run is drawn as a running mean, and the axis says so.
    """
    axis = "episodes" if any("episodes" in row for row in rows) else "iteration"
    is_smoothed = len(rows) >= 3 * _SMOOTHED
    lines = {name: _column(rows, axis, name) for name in _SERIES}
    lines = {
        name: _running_mean(line) if is_smoothed and len(line) == len(rows) else line
        for name, line in lines.items()
        if len(line) > 1
    }
    if not lines:
        return Markup("")
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    across = _Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT - 128)
    down = _Scale(min(0.0, *ys), max(1.0, *ys), HEIGHT - BOTTOM, TOP)
    means = f" (means of {_SMOOTHED} iterations)" if is_smoothed else ""
    parts = _axes(across, down, f"{axis} of training{means}", is_percent=False)
    ends = [_Label(0.0, WIDTH, down(line[-1][1]), is_left=False) for line in lines.values()]
    for number, ((name, line), height) in enumerate(zip(lines.items(), _spread(ends), strict=True)):
        path = "L".join(f"{across(x)} {down(y)}" for x, y in line)
        end_x = across(line[-1][0])
        parts.append(
            f'<g class="series s{number}"><path d="M{path}"/><text x="{end_x + 8}" y="{(height or 0.0) + 4:.1f}">'
            f"{escape(_SERIES[name])} {line[-1][1]:.2f}</text></g>"
        )
    return _svg(parts, "Learning curve", WIDTH, HEIGHT)


def draw_timeline(
    duration_seconds: float,
    *,
    overview: Sequence[float],
    zooms: Sequence[ZoomMark],
    evidence: Sequence[Segment],
) -> Markup:
    """Draw an episode along its video: overview ticks, a box for each zoom on its turn's row, evidence behind them."""
    row, width, pad = 16, 560, 22
    rows = max([zoom.turn for zoom in zooms], default=0)
    bottom = 26 + rows * row
    scale = _Scale(0.0, duration_seconds, pad, width - pad)
    scale.low, scale.high = 0.0, duration_seconds  # the bar ends where the video ends, ticks stay round
    parts = [f'<path class="bar" d="M{pad} 14H{width - pad}"/>']
    for segment in evidence:
        parts.append(_box(scale, segment, (2, bottom), style="evidence", title=f"evidence {_span(segment)}"))
    ticks = "".join(f"M{scale(time)} 8v12" for time in overview)
    parts.append(f'<path class="ticks" d="{ticks}"><title>{len(overview)} overview frames</title></path>')
    for zoom in zooms:
        top = 26 + (zoom.turn - 1) * row
        label = f"turn {zoom.turn}: zoom {_span(zoom.segment)}{', shows evidence' if zoom.is_hit else ''}"
        style = "zoom hit" if zoom.is_hit else "zoom"
        parts.append(_box(scale, zoom.segment, (top, top + row - 4), style=style, title=label))
        parts.append(f'<text class="turn" x="4" y="{top + 11}">{zoom.turn}</text>')
    for tick in scale.ticks:
        if tick <= duration_seconds:
            parts.append(f'<text x="{scale(tick)}" y="{bottom + 14}" text-anchor="middle">{_clock(tick)}</text>')
    return _svg(parts, "Timeline of the episode", width, bottom + 20, style="timeline")


def _box(scale: _Scale, segment: Segment, rows: tuple[float, float], *, style: str, title: str) -> str:
    start = scale(segment.start_seconds)
    width = max(3.0, round(scale(segment.end_seconds) - start, 1))  # an event of a second in ten minutes stays visible
    return (
        f'<rect class="{style}" x="{start}" y="{rows[0]}" width="{width}" height="{rows[1] - rows[0]}" rx="2">'
        f"<title>{escape(title)}</title></rect>"
    )


def _axes(across: _Scale, down: _Scale, label: str, *, is_percent: bool) -> list[str]:
    parts = []
    for tick in down.ticks:
        text = f"{100 * tick:.0f}%" if is_percent else f"{tick:g}"
        parts.append(f'<path class="grid" d="M{LEFT} {down(tick)}H{across.end}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down(tick) + 4}" text-anchor="end">{text}</text>')
    for tick in across.ticks:
        parts.append(f'<text x="{across(tick)}" y="{down.start + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + across.end) / 2
    axis_y = down.start + BOTTOM - 6
    parts.append(f'<text class="axis" x="{middle}" y="{axis_y}" text-anchor="middle">{escape(label)}</text>')
    return parts


def _column(rows: Sequence[Mapping[str, float]], axis: str, name: str) -> list[tuple[float, float]]:
    pairs = [(row.get(axis), row.get(name)) for row in rows]
    return [(float(x), float(y)) for x, y in pairs if x is not None and y is not None and math.isfinite(float(y))]


def _running_mean(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each value replaced by the mean of itself and up to four before it."""
    ys = [y for _, y in line]
    windows = [ys[max(0, end - _SMOOTHED) : end] for end in range(1, len(ys) + 1)]
    return [(x, sum(window) / len(window)) for (x, _), window in zip(line, windows, strict=True)]


@dataclass(frozen=True, slots=True)
class _Label:
    """The room a label takes: from x to x, around a height."""

    start: float
    end: float
    height: float
    is_left: bool


def _place(x: float, height: float, text: str) -> _Label:
    """Put a label right of its point, or left of it where it would leave the chart."""
    length = 11 + _LETTER_WIDTH * len(text)
    is_left = x + length > WIDTH
    return _Label(x - length if is_left else x, x if is_left else x + length, height, is_left=is_left)


def _spread(labels: Sequence[_Label], first: Collection[int] = (), *, bottom: float = math.inf) -> list[float | None]:
    """Heights at which no two labels lie on one another: each in turn moves down past those already placed.

    Args:
        labels: where they would like to be.
        first: those that are placed before the others.
        bottom: below it there is no room; a label that would come to lie there is left out, one of the first is not.
    """
    placed: dict[int, float] = {}
    for index in sorted(range(len(labels)), key=lambda index: (index not in first, labels[index].height)):
        label, height = labels[index], labels[index].height
        rivals = [other for other in placed if labels[other].start < label.end and label.start < labels[other].end]
        for taken in sorted(placed[other] for other in rivals):
            if abs(taken - height) < _LABEL_GAP:
                height = taken + _LABEL_GAP
        if height < bottom or index in first:
            placed[index] = height
    return [placed.get(index) for index in range(len(labels))]


def _svg(parts: Iterable[str], title: str, width: float, height: float, *, style: str = "chart") -> Markup:
    head = f'<svg class="{style}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text from data was escaped above


def _span(segment: Segment) -> str:
    return f"{segment.start_seconds:.1f}s to {segment.end_seconds:.1f}s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
