"""Frames as lines of text, for policies that read and do not see.

A describer is any callable `(frame, timestamp_seconds, episode) -> str`. Three come with the package: `none` says
nothing, `palette` names the colours that fill the picture (computed from the decoded pixels, never from a file's
metadata) and marks where the largest one changes, and `captions` quotes the subtitle line that is on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..episode import Episode, SubtitleFile
from ..errors import ConfigError
from ..subtitles import SubtitleTrack, load_subtitles
from .palette import PALETTE, name_pixels

__all__ = [
    "DESCRIBERS",
    "Describer",
    "describe_captions",
    "describe_none",
    "describe_palette",
    "make_describer",
    "mark_changes",
]

Describer = Callable[[NDArray[np.uint8], float, Episode], str]
"""(uint8 RGB of shape (h, w, 3), its time in seconds, the episode) -> one line of text, possibly empty."""

LEAST_SHARE: Final = 0.08
"""A colour on less of the frame than this is noise: edges, chroma bleeding, a distant figure."""

MOST_COLOURS: Final = 3

_NAMES: Final = tuple(PALETTE)


def describe_none(frame: NDArray[np.uint8], timestamp_seconds: float, episode: Episode) -> str:
    """Say nothing."""
    return ""


def describe_palette(frame: NDArray[np.uint8], timestamp_seconds: float, episode: Episode) -> str:
    """Name the colours that fill the frame, largest first: `teal 62%, red 31%`.

    At most three colours, each on at least 8% of the frame, in whole percent; colours of the same share keep the order
    of the palette.

    Raises:
        ConfigError: the frame holds no pixel.
    """
    if not frame.size:
        raise ConfigError(f"a frame with pixels was wanted, got shape {frame.shape}")
    shares = np.bincount(name_pixels(frame).ravel(), minlength=len(_NAMES)) / (frame.shape[0] * frame.shape[1])
    largest = np.argsort(-shares, kind="stable")[:MOST_COLOURS]
    return ", ".join(f"{_NAMES[i]} {round(100 * float(shares[i]))}%" for i in largest if shares[i] >= LEAST_SHARE)


def mark_changes(descriptions: Sequence[str]) -> list[str]:
    """Put `new` before each palette description whose largest colour is not that of the line before, and the first.

    A reader of thirty lines sees where scenes begin, as a viewer of thirty pictures does: `new teal 62%, red 31%`.
    """
    largest = [words.rsplit(" ", 1)[0] for words in (line.split(",", 1)[0] for line in descriptions)]
    return [
        f"new {line}" if line and color != before else line
        for line, color, before in zip(descriptions, largest, ["", *largest], strict=False)
    ]


def describe_captions(frame: NDArray[np.uint8], timestamp_seconds: float, episode: Episode) -> str:
    """Quote the subtitle line that is on at the moment of the frame; empty when none is, or without subtitles.

    Raises:
        DatasetError: the episode's subtitle file cannot be read.
    """
    if episode.subtitles is None:
        return ""
    return _one_line(_track(episode.subtitles).at(timestamp_seconds))


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    """Load a track once: it is asked for at every frame."""
    return load_subtitles(file)


def _one_line(text: str) -> str:
    """Squeeze line breaks and runs of blanks into single spaces, so that one frame stays one line of text."""
    return " ".join(text.split())


DESCRIBERS: Final[dict[str, Describer]] = {
    "none": describe_none,
    "palette": describe_palette,
    "captions": describe_captions,
}
"""The describers that have a name."""


def make_describer(spec: str | Describer, episode: Episode | None = None) -> Describer:
    """Return the describer that a name or a callable stands for.

    A callable is wrapped so that what it returns is one line of text.

    Args:
        spec: "none", "palette", "captions", or a callable.
        episode: when given, its subtitles are loaded now for "captions", so that a broken file is found at once.

    Raises:
        ConfigError: an unknown name.
        DatasetError: see `describe_captions`.
    """
    if callable(spec):
        return _wrapped(spec)
    if spec not in DESCRIBERS:
        raise ConfigError(f"no describer named {spec!r}; there are {', '.join(DESCRIBERS)}, or give a callable")
    if spec == "captions" and episode is not None and episode.subtitles is not None:
        _track(episode.subtitles)
    return DESCRIBERS[spec]


def _wrapped(describer: Describer) -> Describer:
    """Hold a foreign describer to one line of text."""

    @functools.wraps(describer, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())
    def describe(frame: NDArray[np.uint8], timestamp_seconds: float, episode: Episode) -> str:
        text: object = describer(frame, timestamp_seconds, episode)
        if not isinstance(text, str):
            raise ConfigError(f"a describer must return a string, {describer!r} returned {type(text).__name__}")
        return _one_line(text)

    return describe
