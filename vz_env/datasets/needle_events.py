"""Where a scene's events go: cards placed between the timestamps of the overview, all in whole frames.

Each card shows for about a second inside one overview slot, so that no overview frame shows it. Most cards stay on at
least as long as the spacing of a 16-frame zoom of their slot; the others may slip through a single sweep.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from ..episode import Segment
from .needle_config import FRAMES_PER_SECOND
from .needle_script import Card, Family

__all__ = ["ZOOM_FRAMES", "draw_cards", "slot_window"]

ZOOM_FRAMES: Final = 16
"""Frames a zoom into one slot may take: the yardstick of an event's difficulty."""

_EVENT_SECONDS: Final = (0.4, 1.5)
_CHANGE_SECONDS: Final = (0.5, 1.2)
_LONG_ENOUGH_SHARE: Final = 0.8
_MARGIN_FRAMES: Final = FRAMES_PER_SECOND // 2  # to a slot's border; two margins keep events 1 s apart

_Look = tuple[Literal["rectangle", "disc"], float, float, float, float]


def draw_cards(
    rng: np.random.Generator,
    *,
    family: Family,
    repeats: int,
    free: list[str],
    windows: list[tuple[int, int]],
    zoom_spacing_seconds: float,
) -> tuple[Card, ...]:
    """Place a family's events into a scene's slots.

    Args:
        rng: the video's generator.
        family: what the group of events is for.
        repeats: how often the card of a "count" shows, at most `len(windows)`; 1 for the other families.
        free: colours the cards may wear, taken from the front.
        windows: one `(start, end)` a slot, in frames, from `slot_window`.
        zoom_spacing_seconds: distance of the frames of a 16-frame zoom of one slot.

    Returns:
        the cards in order of time.
    """
    slots = sorted(int(i) for i in rng.choice(len(windows), size=repeats, replace=False))
    look = _draw_look(rng)
    if family == "count":  # every card of a count is seen by one sweep of its slot
        lengths = [_frames(rng, max(1.0, zoom_spacing_seconds), _EVENT_SECONDS[1]) for _ in slots]
        spans = [_place(rng, windows[i], [length], [])[0] for i, length in zip(slots, lengths, strict=True)]
        return tuple(_card(free[0], span, look) for span in spans)
    seconds = _CHANGE_SECONDS if family == "change" else _EVENT_SECONDS
    lengths = [_draw_length(rng, seconds, zoom_spacing_seconds) for _ in range(1 if family == "appears" else 2)]
    second_look = look if family == "change" else _draw_look(rng)
    if family == "first":
        spans = _place_two(rng, windows, lengths)
    else:
        gaps = {"appears": [], "change": [0], "after": [_frames(rng, 0.2, 0.6)]}[family]
        spans = _place(rng, windows[slots[0]], lengths, gaps)
    return tuple(_card(*card) for card in zip(free, spans, (look, second_look), strict=False))


def _place_two(rng: np.random.Generator, windows: list[tuple[int, int]], lengths: list[int]) -> list[tuple[int, int]]:
    """Two events at least a second apart, in one slot or in two."""
    first, second = sorted(int(i) for i in rng.choice(len(windows), size=2))
    if first == second:
        return _place(rng, windows[first], lengths, [_frames(rng, 1.0, 1.5)])
    return [_place(rng, windows[i], [length], [])[0] for i, length in zip((first, second), lengths, strict=True)]


def slot_window(slot: int, *, scene_end: int, spacing_seconds: int) -> tuple[int, int]:
    """Frames of a slot where events may be: clear of both its borders and of the scene's end (a frame number).

    A zoom of the whole slot whose fps was rounded down takes 15 frames and does not look at its last sixteenth.
    """
    start, end = (slot * spacing_seconds * FRAMES_PER_SECOND, (slot + 1) * spacing_seconds * FRAMES_PER_SECOND)
    tail = max(_MARGIN_FRAMES, math.ceil(spacing_seconds * FRAMES_PER_SECOND / ZOOM_FRAMES))
    return start + _MARGIN_FRAMES, min(end - tail, scene_end - _MARGIN_FRAMES)


def _place(
    rng: np.random.Generator, window: tuple[int, int], lengths: list[int], gaps: list[int]
) -> list[tuple[int, int]]:
    """Put a chain of events with fixed gaps at a random place of a window; all in frames."""
    room = window[1] - window[0] - sum(lengths) - sum(gaps)
    cursor = window[0] + int(rng.integers(0, room + 1))
    spans = []
    for length, gap in zip(lengths, [*gaps, 0], strict=True):
        spans.append((cursor, cursor + length))
        cursor += length + gap
    return spans


def _draw_length(rng: np.random.Generator, seconds: tuple[float, float], zoom_spacing_seconds: float) -> int:
    """An event's length in frames: most are as long as a zoom's spacing, some slip through a single sweep."""
    low, high = seconds
    long_enough = max(low, zoom_spacing_seconds)
    if rng.random() < _LONG_ENOUGH_SHARE:
        return _frames(rng, long_enough, high)
    return _frames(rng, low, long_enough)


def _frames(rng: np.random.Generator, low: float, high: float) -> int:
    """A whole number of frames in `[low, high]` seconds."""
    fewest, most = math.ceil(low * FRAMES_PER_SECOND), math.floor(high * FRAMES_PER_SECOND)
    return int(rng.integers(fewest, max(fewest, most) + 1))


def _draw_look(rng: np.random.Generator) -> _Look:
    """Shape, area, x, y and aspect of a card."""
    shape: Literal["rectangle", "disc"] = "disc" if rng.random() < 0.5 else "rectangle"
    return (
        shape,
        float(rng.uniform(0.28, 0.40)),
        float(rng.uniform(0, 1)),
        float(rng.uniform(0, 1)),
        float(rng.uniform(0.9, 1.8)),
    )


def _card(color: str, span: tuple[int, int], look: _Look) -> Card:
    shape, area, x, y, aspect = look
    return Card(color=color, segment=_segment(*span), shape=shape, area=area, x=x, y=y, aspect=aspect)


def _segment(start_frame: int, end_frame: int) -> Segment:
    return Segment(start_frame / FRAMES_PER_SECOND, end_frame / FRAMES_PER_SECOND)
