"""What a policy can ask for, as values: zooms, subtitle searches, answers, mistakes; and which of them are switched on.

The plain grammar knows one zoom or one answer in a turn. `Grammar` switches on more eyes, each of them off by default,
so that the text a policy was trained on means what it meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

from .errors import ConfigError

__all__ = [
    "INVALID_CODES",
    "PLAIN_GRAMMAR",
    "Action",
    "Answer",
    "Crop",
    "Grammar",
    "InvalidAction",
    "InvalidCode",
    "SubtitleSearch",
    "Zoom",
    "Zooms",
    "as_grammar",
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
    "ZOOM_FIRST",
]
INVALID_CODES: Final[tuple[InvalidCode, ...]] = get_args(InvalidCode)

Crop = tuple[float, float, float, float]
"""Part of a picture: (x0, y0, x1, y1) in fractions of its width and height from the top left; x0 < x1, y0 < y1."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """A request for the frames of a segment; `segment` is (start, end) in seconds as asked, not yet clamped.

    `start < end` and `fps > 0` hold and all three are finite; the segment may lie partly or wholly outside the video.
    `crop` is the part of the picture to look at, None for all of it.
    """

    segment: tuple[float, float]
    fps: float
    crop: Crop | None = None


@dataclass(frozen=True, slots=True)
class Zooms:
    """Two or more zooms of one turn, in the order in which they were asked for."""

    zooms: tuple[Zoom, ...]


@dataclass(frozen=True, slots=True)
class SubtitleSearch:
    """A search for words in the video's subtitles: stripped, never empty."""

    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer of an episode: stripped, never empty, always encodable as UTF-8."""

    text: str


@dataclass(frozen=True, slots=True)
class InvalidAction:
    """A mistake of the policy: a code for programs and one sentence that says what is legal for the policy."""

    code: InvalidCode
    message: str


Action = Zoom | Zooms | SubtitleSearch | Answer | InvalidAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What may be asked for besides one zoom or one answer.

    `crop` allows `"crop":[x0,y0,x1,y1]` in a zoom; `subtitle_search` the tag of that name; `several_zooms` more than
    one zoom in a turn; `aliases` the tool calls `crop_video` and `seek_video_frames` of other published systems.
    """

    crop: bool = False
    subtitle_search: bool = False
    several_zooms: bool = False
    aliases: bool = False


PLAIN_GRAMMAR: Final = Grammar()
"""One zoom or one answer in a turn, and nothing else."""


def as_grammar(eyes: Grammar | Iterable[str]) -> Grammar:
    """Read the names of the eyes that are switched on.

    Raises:
        ConfigError: for an unknown name.
    """
    if isinstance(eyes, Grammar):
        return eyes
    names = {eyes} if isinstance(eyes, str) else set(eyes)
    known = {eye.name for eye in fields(Grammar)}
    if unknown := names - known:
        raise ConfigError(f"eyes must be among {sorted(known)}, got {sorted(map(str, unknown))}")
    return Grammar(**dict.fromkeys(names, True))
