"""What a policy may write, and the one parser of it: `parse_action(text) -> Zoom | Answer | InvalidAction`.

The grammar: an optional `<think>...</think>`, then exactly one of

    <video_zoom>{"segment":[start,end],"fps":n}</video_zoom>
    <answer>...</answer>

Tags inside the thinking do not count, and text around the action is ignored. The parser is total (it never raises),
linear in the length of the text, and looks at no more than `MAX_ACTION_CHARS` characters. It knows the grammar only:
what depends on the video or the budget (OUT_OF_RANGE, OVER_BUDGET, EMPTY_CLIP, REPEATED_ZOOM, LAST_TURN) is the env's.
A `Grammar` other than the plain one adds a crop to the zoom, several zooms in a turn, `<subtitle_search>` and the
`<tool_call>` of other systems.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from .action_json import read_tool_call, read_zoom
from .action_types import (
    INVALID_CODES,
    PLAIN_GRAMMAR,
    Action,
    Answer,
    Crop,
    Grammar,
    InvalidAction,
    InvalidCode,
    SubtitleSearch,
    Zoom,
    Zooms,
)
from .episode import Segment
from .errors import ConfigError

__all__ = [
    "INVALID_CODES",
    "MAX_ACTION_CHARS",
    "MAX_ZOOMS_A_TURN",
    "Action",
    "Answer",
    "Grammar",
    "InvalidAction",
    "InvalidCode",
    "SubtitleSearch",
    "Zoom",
    "Zooms",
    "format_answer",
    "format_number",
    "format_subtitle_search",
    "format_zoom",
    "parse_action",
]

MAX_ACTION_CHARS: Final = 64 * 1024
MAX_ZOOMS_A_TURN: Final = 8
"""With several zooms in a turn; looking for more closing tags than these would no longer be linear."""

_MAX_SEARCH_CHARS: Final = 256
_OF_ZOOMS: Final = ("video_zoom", "tool_call")


def parse_action(text: str, grammar: Grammar = PLAIN_GRAMMAR) -> Action:
    """Read a policy's reply.

    Args:
        text: the reply of one turn; anything at all, of any length.
        grammar: what may stand in it; the plain one knows one zoom or one answer.

    Returns:
        The action, or an `InvalidAction` that says what is wrong; never raises. `Zooms` and `SubtitleSearch` come only
        of a grammar that allows them.
    """
    if len(text) > MAX_ACTION_CHARS:
        return InvalidAction("TOO_LONG", f"A reply has at most {MAX_ACTION_CHARS} characters.")
    found = _find_actions(text, grammar)
    names = {name for name, _ in found}
    wanted = "a zoom, a search or an answer" if grammar.subtitle_search else "a zoom or an answer"
    if not found:
        one = wanted.replace("a zoom", "one zoom").replace("a search", "one search").replace("an answer", "one answer")
        return InvalidAction("NO_ACTION", f"Give {one}, each in its tags.")
    if "answer" in names and len(names) > 1:
        end = "not two" if grammar.subtitle_search else "not both"
        return InvalidAction("ANSWER_AND_ZOOM", f"Give {wanted}, {end} in one turn.")
    if len(found) > 1:
        return _parse_several(text, found, grammar)
    name, start = found[0]
    return _PARSERS[name](_body(text, start, f"</{name}>"), grammar)


@cache
def _tag(grammar: Grammar) -> re.Pattern[str]:
    """The tags of a grammar."""
    names = ["think", "video_zoom", "answer"]
    names += ["subtitle_search"] * grammar.subtitle_search + ["tool_call"] * grammar.aliases
    return re.compile(rf"<(/?)({'|'.join(names)})>")


def _find_actions(text: str, grammar: Grammar) -> list[tuple[str, int]]:
    """Names and where their bodies begin, outside the thinking; an unclosed thought hides the rest."""
    found: list[tuple[str, int]] = []
    is_thinking = has_thought = False
    for tag in _tag(grammar).finditer(text):
        is_closing, name = tag[1] == "/", tag[2]
        if name == "think":
            if is_closing and not has_thought:
                # Chat templates often open the thought in the prompt: then the reply holds its closing tag alone.
                found.clear()
            is_thinking, has_thought = not is_closing, True
        elif not is_thinking and not is_closing:
            found.append((name, tag.end()))
    return found


def _parse_several(text: str, found: list[tuple[str, int]], grammar: Grammar) -> Zooms | InvalidAction:
    """More than one action in a turn: legal for zooms where the grammar says so, and then all of them must be."""
    if not grammar.several_zooms or any(name not in _OF_ZOOMS for name, _ in found):
        several = "one or more zooms" if grammar.several_zooms else "exactly one zoom"
        one_search = ", one search" if grammar.subtitle_search else ""
        return InvalidAction("TWO_ACTIONS", f"Give {several}{one_search} or one answer in a turn.")
    if len(found) > MAX_ZOOMS_A_TURN:
        return InvalidAction("TWO_ACTIONS", f"Give at most {MAX_ZOOMS_A_TURN} zooms in a turn.")
    zooms: list[Zoom] = []
    for number, (name, start) in enumerate(found, start=1):
        body = _body(text, start, f"</{name}>")
        zoom = _parse_zoom(body, grammar) if name == "video_zoom" else _parse_tool_call(body, grammar)
        if isinstance(zoom, InvalidAction):
            return InvalidAction(zoom.code, f"Zoom {number}: {zoom.message}")
        zooms.append(zoom)
    if len({zoom.crop for zoom in zooms}) > 1:  # the frames of a turn are one array, of one size
        return InvalidAction("BAD_RANGE", "The zooms of one turn must have one and the same crop.")
    return Zooms(tuple(zooms))


def _body(text: str, start: int, closing_tag: str) -> str | None:
    """The text from `start` up to the closing tag, or None when the tag never comes."""
    end = text.find(closing_tag, start)
    return None if end < 0 else text[start:end]


def _parse_answer(body: str | None, grammar: Grammar) -> Answer | InvalidAction:
    """Accept any text that says something."""
    if body is None:
        return InvalidAction("NO_ACTION", "The answer wants its closing tag </answer>.")
    # A lone surrogate cannot be encoded: left in, it would break a log long after the episode ended.
    answer = body.encode("utf-8", "replace").decode("utf-8").strip()
    if not answer:
        return InvalidAction("NO_ACTION", "The answer must not be empty.")
    return Answer(answer)


def _parse_zoom(body: str | None, grammar: Grammar) -> Zoom | InvalidAction:
    """Read the JSON of a zoom."""
    if body is None:
        return InvalidAction("NO_ACTION", "The zoom wants its closing tag </video_zoom>.")
    return read_zoom(body, grammar)


def _parse_tool_call(body: str | None, grammar: Grammar) -> Zoom | InvalidAction:
    """Read the JSON of a tool call."""
    if body is None:
        return InvalidAction("NO_ACTION", "The tool call wants its closing tag </tool_call>.")
    return read_tool_call(body)


def _parse_search(body: str | None, grammar: Grammar) -> SubtitleSearch | InvalidAction:
    """Accept a few words."""
    if body is None:
        return InvalidAction("NO_ACTION", "The search wants its closing tag </subtitle_search>.")
    if len(body) > _MAX_SEARCH_CHARS:
        return InvalidAction("TOO_LONG", f"A search has at most {_MAX_SEARCH_CHARS} characters.")
    words = " ".join(body.encode("utf-8", "replace").decode("utf-8").split())
    if not any(letter.isalnum() for letter in words):
        return InvalidAction("NO_ACTION", "The search wants words to look for.")
    return SubtitleSearch(words)


_PARSERS: Final = {
    "video_zoom": _parse_zoom,
    "answer": _parse_answer,
    "tool_call": _parse_tool_call,
    "subtitle_search": _parse_search,
}


def format_number(value: float) -> str:
    """Write a number with at most two decimals and no trailing zeros: 130, 140.5, 1.67.

    Args:
        value: any finite number.

    Returns:
        The decimal text; never `-0`.
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_zoom(segment: Segment | Sequence[float], fps: float, crop: Crop | None = None) -> str:
    """Write the canonical text of a zoom: `<video_zoom>{"segment":[130,140.5],"fps":1.6}</video_zoom>`.

    Args:
        segment: a Segment, or (start, end) in seconds.
        fps: frames a second.
        crop: part of the picture, for a grammar that knows it.

    Returns:
        Text that `parse_action` reads back as the same zoom, rounded to two decimals.

    Raises:
        ConfigError: when the rounded zoom would not be legal.
    """
    start, end = (segment.start_seconds, segment.end_seconds) if isinstance(segment, Segment) else segment
    text = f'<video_zoom>{{"segment":[{format_number(start)},{format_number(end)}],"fps":{format_number(fps)}'
    text += "" if crop is None else f',"crop":[{",".join(map(format_number, crop))}]'
    text += "}</video_zoom>"
    if not isinstance(parse_action(text, Grammar(crop=crop is not None)), Zoom):
        region = "" if crop is None else f" cropped to {list(crop)}"
        raise ConfigError(
            f"a zoom wants start < end and fps > 0 at two decimals, got [{start}, {end}] at {fps} fps{region}"
        )
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


def format_subtitle_search(words: str) -> str:
    """Write the canonical text of a search: `<subtitle_search>red card</subtitle_search>`.

    Raises:
        ConfigError: when the words cannot stand in a search (none, too many, or holding a tag of the grammar).
    """
    reply = f"<subtitle_search>{words}</subtitle_search>"
    if not isinstance(parse_action(reply, Grammar(subtitle_search=True)), SubtitleSearch):
        raise ConfigError(f"a search wants words without tags of the grammar, got {words[:80]!r}")
    return reply
