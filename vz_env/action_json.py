"""The JSON inside an action's tags: the body of a zoom, and the tool calls that other systems write for one.

Every reader takes text and returns a value or an `InvalidAction`; none of them raises.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from .action_types import Crop, Grammar, InvalidAction, Zoom

__all__ = ["MAX_ZOOM_CHARS", "read_tool_call", "read_zoom"]

MAX_ZOOM_CHARS: Final = 4096  # a zoom is some 50 characters; the bound keeps hostile bulk from the JSON reader

CROP_VIDEO_FPS: Final = 1.0
"""The rate of `crop_video`, which names none: its tool samples one frame a second."""

SEEK_FRAMES: Final = 8
"""Frames of `seek_video_frames` when it names no number."""

_BAD_CALL: Final = (
    "A tool call is crop_video with start_time and end_time, or seek_video_frames with start_time, end_time and "
    "num_frames."
)


def read_zoom(body: str, grammar: Grammar) -> Zoom | InvalidAction:
    """Check the JSON, then the types, then the ranges, and name the first that fails."""
    value = _decode(body)
    if value is _TOO_LONG:
        return InvalidAction("TOO_LONG", f"A zoom has at most {MAX_ZOOM_CHARS} characters.")
    if value is _NO_JSON:
        return InvalidAction("BAD_JSON", 'A zoom is JSON: {"segment":[start,end],"fps":n} with finite numbers.')
    crop = value.pop("crop", _NO_JSON) if grammar.crop and isinstance(value, dict) else _NO_JSON
    numbers = _zoom_numbers(value)
    if numbers is None:
        return InvalidAction("BAD_TYPE", 'The keys are "segment", a list of two numbers, and "fps", a number.')
    region = None if crop is _NO_JSON else _read_crop(crop)
    if isinstance(region, InvalidAction):
        return region
    return _check_range(*numbers, region)


def read_tool_call(body: str) -> Zoom | InvalidAction:
    """Read `{"name": ..., "arguments": {...}}` of `crop_video` or `seek_video_frames` as the zoom that it means.

    A seek by a text query would need a retriever, which this package has none of: it is refused, never ignored.
    """
    value = _decode(body)
    if value is _TOO_LONG:
        return InvalidAction("TOO_LONG", f"A tool call has at most {MAX_ZOOM_CHARS} characters.")
    if value is _NO_JSON:
        return InvalidAction("BAD_JSON", 'A tool call is JSON: {"name":"crop_video","arguments":{...}}.')
    if not isinstance(value, dict) or not isinstance(value.get("arguments"), dict):
        return InvalidAction("BAD_TYPE", _BAD_CALL)
    return _called(value.get("name"), value["arguments"])


def _called(name: Any, given: dict[str, Any]) -> Zoom | InvalidAction:
    """The zoom that a call of a tool means."""
    if given.get("query"):
        return InvalidAction("BAD_TYPE", "A seek by a query is not available, name start_time and end_time alone.")
    start, end = _as_float(given.get("start_time")), _as_float(given.get("end_time"))
    frames = _as_float(given.get("num_frames", SEEK_FRAMES))
    if name not in ("crop_video", "seek_video_frames") or start is None or end is None or frames is None:
        return InvalidAction("BAD_TYPE", _BAD_CALL)
    if name == "crop_video":
        return _check_range(start, end, CROP_VIDEO_FPS, None)
    if not frames >= 1 or frames != math.floor(frames):
        return InvalidAction("BAD_RANGE", "num_frames must be a whole number of at least 1.")
    # A length of nothing is refused with the range, where its message belongs.
    return _check_range(start, end, frames / (end - start) if end > start else 1.0, None)


class _Nothing:
    """Stands for a body that holds no value."""


_NO_JSON: Final = _Nothing()
_TOO_LONG: Final = _Nothing()


def _decode(body: str) -> Any:
    """The value of a body, `_TOO_LONG`, or `_NO_JSON`."""
    if len(body) > MAX_ZOOM_CHARS:
        return _TOO_LONG
    try:
        return _DECODER.decode(body.strip())
    except (ValueError, RecursionError):
        return _NO_JSON


def _check_range(start: float, end: float, fps: float, crop: Crop | None) -> Zoom | InvalidAction:
    """Accept finite numbers with start < end and fps > 0."""
    if not (math.isfinite(start) and math.isfinite(end) and math.isfinite(fps)):
        return InvalidAction("BAD_RANGE", "The start, the end and fps must be finite numbers.")
    if not start < end:
        return InvalidAction("BAD_RANGE", "The start of the segment must be less than its end.")
    if not fps > 0:
        return InvalidAction("BAD_RANGE", "The fps must be greater than 0.")
    return Zoom((start, end), fps, crop)


def _zoom_numbers(value: Any) -> tuple[float, float, float] | None:
    """(start, end, fps) of a decoded zoom, infinite where an integer is too large, or None when a type is wrong."""
    if not isinstance(value, dict) or value.keys() != {"segment", "fps"}:
        return None
    segment = value["segment"]
    if not isinstance(segment, list) or len(segment) != 2:
        return None
    start, end, fps = _as_float(segment[0]), _as_float(segment[1]), _as_float(value["fps"])
    if start is None or end is None or fps is None:
        return None
    return start, end, fps


def _read_crop(value: Any) -> Crop | InvalidAction | None:
    """The part of the picture; None when it is all of it."""
    sides = [_as_float(side) for side in value] if isinstance(value, list) else []
    if len(sides) != 4 or None in sides:
        return InvalidAction("BAD_TYPE", 'The "crop" is [x0,y0,x1,y1], four numbers.')
    x0, y0, x1, y1 = (side for side in sides if side is not None)
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        return InvalidAction("BAD_RANGE", "The crop must satisfy 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1.")
    return None if (x0, y0, x1, y1) == (0, 0, 1, 1) else (x0, y0, x1, y1)


def _as_float(value: Any) -> float | None:
    """A JSON number as a float; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) + 0.0  # + 0.0 turns -0.0 into 0.0, which prints without a sign
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes although they are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: which of the two was meant is a guess."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
