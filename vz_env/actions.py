"""What a policy may write, and the one parser of it: `parse_action(text) -> Zoom | Answer | InvalidAction`.

The grammar: an optional `<think>...</think>`, then exactly one of

    <video_zoom>{"segment":[start,end],"fps":n}</video_zoom>
    <answer>...</answer>

Tags inside the thinking do not count, and text around the action is ignored. The parser is total (it never raises),
linear in the length of the text, and looks at no more than `MAX_ACTION_CHARS` characters. It knows the grammar only:
what depends on the video or the budget (OUT_OF_RANGE, OVER_BUDGET, EMPTY_CLIP, REPEATED_ZOOM, LAST_TURN) is the env's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, get_args

from .episode import Segment
from .errors import ConfigError

__all__ = [
    "INVALID_CODES",
    "MAX_ACTION_CHARS",
    "Action",
    "Answer",
    "InvalidAction",
    "InvalidCode",
    "Zoom",
    "format_answer",
    "format_number",
    "format_zoom",
    "parse_action",
]

InvalidCode = Literal[
    "NO_ACTION",
    "TWO_ACTIONS",
    "ANSWER_AND_ZOOM",
    "BAD_JSON",
    "BAD_TYPE",
    "BAD_RANGE",
    "TOO_LONG",
    "OUT_OF_RANGE",
    "OVER_BUDGET",
    "EMPTY_CLIP",
    "REPEATED_ZOOM",
    "LAST_TURN",
]
INVALID_CODES: Final[tuple[InvalidCode, ...]] = get_args(InvalidCode)

MAX_ACTION_CHARS: Final = 64 * 1024
_MAX_ZOOM_CHARS: Final = 4096  # a zoom is some 50 characters; the bound keeps hostile bulk from the JSON reader

_TAG: Final = re.compile(r"<(/?)(think|video_zoom|answer)>")


@dataclass(frozen=True, slots=True)
class Zoom:
    """A request for the frames of a segment; `segment` is (start, end) in seconds as asked, not yet clamped.

    `start < end` and `fps > 0` hold and all three are finite; the segment may lie partly or wholly outside the video.
    """

    segment: tuple[float, float]
    fps: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer of an episode: stripped, never empty, always encodable as UTF-8."""

    text: str


@dataclass(frozen=True, slots=True)
class InvalidAction:
    """A mistake of the policy: a code for programs and one sentence that says what is legal for the policy."""

    code: InvalidCode
    message: str


Action = Zoom | Answer | InvalidAction


def parse_action(text: str) -> Action:
    """Read a policy's reply.

    Args:
        text: the reply of one turn; anything at all, of any length.

    Returns:
        The action, or an `InvalidAction` that says what is wrong; never raises.
    """
    if len(text) > MAX_ACTION_CHARS:
        return InvalidAction("TOO_LONG", f"A reply has at most {MAX_ACTION_CHARS} characters.")
    zooms, answers = _find_actions(text)
    if zooms and answers:
        return InvalidAction("ANSWER_AND_ZOOM", "Give a zoom or an answer, not both in one turn.")
    if not zooms and not answers:
        return InvalidAction("NO_ACTION", "Give one zoom or one answer, each in its tags.")
    if len(zooms) + len(answers) > 1:
        return InvalidAction("TWO_ACTIONS", "Give exactly one zoom or one answer in a turn.")
    if zooms:
        return _parse_zoom(_body(text, zooms[0], "</video_zoom>"))
    return _parse_answer(_body(text, answers[0], "</answer>"))


def _find_actions(text: str) -> tuple[list[int], list[int]]:
    """Where the bodies of zooms and of answers begin, outside the thinking; an unclosed thought hides the rest."""
    zooms: list[int] = []
    answers: list[int] = []
    is_thinking = has_thought = False
    for tag in _TAG.finditer(text):
        is_closing, name = tag[1] == "/", tag[2]
        if name == "think":
            if is_closing and not has_thought:
                # Chat templates often open the thought in the prompt: then the reply holds its closing tag alone.
                zooms.clear()
                answers.clear()
            is_thinking, has_thought = not is_closing, True
        elif not is_thinking and not is_closing:
            (zooms if name == "video_zoom" else answers).append(tag.end())
    return zooms, answers


def _body(text: str, start: int, closing_tag: str) -> str | None:
    """The text from `start` up to the closing tag, or None when the tag never comes."""
    end = text.find(closing_tag, start)
    return None if end < 0 else text[start:end]


def _parse_answer(body: str | None) -> Answer | InvalidAction:
    """Accept any text that says something."""
    if body is None:
        return InvalidAction("NO_ACTION", "The answer wants its closing tag </answer>.")
    # A lone surrogate cannot be encoded: left in, it would break a log long after the episode ended.
    answer = body.encode("utf-8", "replace").decode("utf-8").strip()
    if not answer:
        return InvalidAction("NO_ACTION", "The answer must not be empty.")
    return Answer(answer)


def _parse_zoom(body: str | None) -> Zoom | InvalidAction:
    """Check the JSON, then the types, then the ranges, and name the first that fails."""
    if body is None:
        return InvalidAction("NO_ACTION", "The zoom wants its closing tag </video_zoom>.")
    if len(body) > _MAX_ZOOM_CHARS:
        return InvalidAction("TOO_LONG", f"A zoom has at most {_MAX_ZOOM_CHARS} characters.")
    try:
        value = _DECODER.decode(body.strip())
    except (ValueError, RecursionError):
        return InvalidAction("BAD_JSON", 'A zoom is JSON: {"segment":[start,end],"fps":n} with finite numbers.')
    numbers = _zoom_numbers(value)
    if numbers is None:
        return InvalidAction("BAD_TYPE", 'The keys are "segment", a list of two numbers, and "fps", a number.')
    return _check_range(*numbers)


def _check_range(start: float, end: float, fps: float) -> Zoom | InvalidAction:
    """Accept finite numbers with start < end and fps > 0."""
    if not (math.isfinite(start) and math.isfinite(end) and math.isfinite(fps)):
        return InvalidAction("BAD_RANGE", "The start, the end and fps must be finite numbers.")
    if not start < end:
        return InvalidAction("BAD_RANGE", "The start of the segment must be less than its end.")
    if not fps > 0:
        return InvalidAction("BAD_RANGE", "The fps must be greater than 0.")
    return Zoom((start, end), fps)


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


def format_number(value: float) -> str:
    """Write a number with at most two decimals and no trailing zeros: 130, 140.5, 1.67.

    Args:
        value: any finite number.

    Returns:
        The decimal text; never `-0`.
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_zoom(segment: Segment | Sequence[float], fps: float) -> str:
    """Write the canonical text of a zoom: `<video_zoom>{"segment":[130,140.5],"fps":1.6}</video_zoom>`.

    Args:
        segment: a Segment, or (start, end) in seconds.
        fps: frames a second.

    Returns:
        Text that `parse_action` reads back as the same zoom, rounded to two decimals.

    Raises:
        ConfigError: when the rounded zoom would not be legal.
    """
    start, end = (segment.start_seconds, segment.end_seconds) if isinstance(segment, Segment) else segment
    text = f'<video_zoom>{{"segment":[{format_number(start)},{format_number(end)}],"fps":{format_number(fps)}}}'
    text += "</video_zoom>"
    if not isinstance(parse_action(text), Zoom):
        raise ConfigError(f"a zoom wants start < end and fps > 0 at two decimals, got [{start}, {end}] at {fps} fps")
    return text


def format_answer(text: str) -> str:
    """Write the canonical text of an answer: `<answer>B</answer>`.

    Raises:
        ConfigError: when the text cannot stand in an answer (empty, too long, or holding a tag of the grammar).
    """
    reply = f"<answer>{text}</answer>"
    if not isinstance(parse_action(reply), Answer):
        raise ConfigError(f"an answer wants text without tags of the grammar, got {text[:80]!r}")
    return reply
