"""Which frames the published VideoZoomer tool shows, computed as it computes them: by frame number over average rate.

Pure functions of numbers and text, after the public description of its behaviour (release 5638153): truncation towards
zero, both ends of a clip included, clamping that nobody is told of, clips without any frame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..action_types import InvalidAction

__all__ = ["OVERVIEW_FPS", "Clip", "find_zoom", "overview_indices", "plan_clip", "read_request", "spoken"]

OVERVIEW_FPS: Final = 0.5

_OPEN, _CLOSE = "<video_zoom>", "</video_zoom>"
_NO_OBJECT: Final = InvalidAction("BAD_JSON", "")
"""Anything but one JSON object on one line: the tool's assertion has no text, and so has its error."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip of n >= 0 frames: their numbers, int64 (n,), and the numbers of its ends, both included."""

    indices: NDArray[np.int64]
    first: int
    last: int


def overview_indices(frame_count: int, average_fps: float, most: int, fps: float = OVERVIEW_FPS) -> NDArray[np.int64]:
    """Numbers of the overview frames: one every 1/fps, or `most` spread from the first to the last if that is fewer.

    Args:
        frame_count: frames of the video.
        average_fps: their average rate.
        most: frames at most.
        fps: rate of the overview.
    """
    step = max(1, round(average_fps / fps))
    indices = np.arange(0, frame_count, step, dtype=np.int64)
    return indices if len(indices) <= most else np.linspace(0, frame_count - 1, most).astype(np.int64)


def find_zoom(text: str) -> str | None:
    """The inside of the zoom of a reply, None when it has no complete one.

    Generation stops at the first closing tag, so nothing after it counts; a zoom inside the thinking does.
    """
    end = text.find(_CLOSE)
    start = text.find(_OPEN, 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len(_OPEN) : end]


def spoken(text: str) -> str:
    """A reply as far as it would have been generated: up to the first closing tag of a zoom."""
    end = text.find(_CLOSE)
    return text if end < 0 else text[: end + len(_CLOSE)]


def read_request(body: str) -> tuple[float, float, float] | InvalidAction:
    """(start, end, fps) of the inside of a zoom, converted as Python's `float` converts: "12" reads as 1 to 2."""
    objects = _objects(body)
    if len(objects) != 1:
        return _NO_OBJECT
    try:
        value: Any = json.loads(objects[0])
    except (ValueError, RecursionError):
        return InvalidAction("BAD_JSON", "the zoom is not valid JSON")
    try:
        segment = value["segment"]
        return float(segment[0]), float(segment[1]), float(value["fps"])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return InvalidAction("BAD_TYPE", "the zoom wants segment, a list of two numbers, and fps, a number")


def _objects(body: str) -> list[str]:
    """Every shortest run from a brace to a closing brace on the same line."""
    found: list[str] = []
    for line in body.split("\n"):
        start = line.find("{")
        while start >= 0 and (end := line.find("}", start)) >= 0:
            found.append(line[start : end + 1])
            if len(found) > 1:
                return found
            start = line.find("{", end + 1)
    return found


def plan_clip(
    start: float, end: float, fps: float, *, frame_count: int, average_fps: float, most: int
) -> Clip | InvalidAction:
    """The frames of a clip.

    Args:
        start: seconds, any float.
        end: seconds, any float.
        fps: frames a second, any float.
        frame_count: frames of the video, at least one.
        average_fps: their average rate.
        most: frames a clip may have.

    Returns:
        The clip, which may be empty, repeat frames, or lie elsewhere than was asked for; or an error.
    """
    try:
        count = int(fps * (end - start))
        if count > most:
            return InvalidAction("OVER_BUDGET", f"the zoom wants {count} frames, the limit is {most}")
        first = min(max(int(start * average_fps), 0), frame_count - 1)
        last = min(max(int(end * average_fps), first), frame_count - 1)
    except (ValueError, OverflowError):
        return InvalidAction("BAD_RANGE", "the zoom wants finite numbers")
    if count < 0:
        return InvalidAction("BAD_RANGE", f"the number of frames must not be negative, it is {count}")
    return Clip(np.linspace(first, last, count).astype(np.int64), first, last)
