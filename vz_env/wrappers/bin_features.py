"""What `DiscreteZoom` shows, as arrays: colours (or thumbnails) over the bins of a video, and words as numbers.

A video is cut into equal bins. What the overview and the zooms showed is gathered bin by bin; the question and the
options become the palette colours they name and a hashed bag of words.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..video.palette import PALETTE, name_pixels
from .fixed_frames import letterbox

__all__ = ["NUM_COLORS", "NUM_WORDS", "BinMemory", "frame_shares", "hashed_words", "named_colors", "named_number"]

NUM_COLORS: Final = len(PALETTE)
NUM_WORDS: Final = 64
MOST_RUNS: Final = 8

_COLORS: Final = {name: index for index, name in enumerate(PALETTE)}
_LINE: Final = re.compile(r"^\d+(?:\.\d+)?s(?:: (.*))?$", re.MULTILINE)
_SHARE: Final = re.compile(r"(\w+) (\d{1,3})%")
_WORD: Final = re.compile(r"\w+")
_RUN_SHARE: Final = 0.08  # as the palette describer: less of a colour is noise


def named_colors(text: str) -> NDArray[np.float32]:
    """The first and the second palette colour that a text names, one-hot: float32 (2, colours)."""
    found = [_COLORS[word] for word in _WORD.findall(text.lower()) if word in _COLORS]
    hot = np.zeros((2, NUM_COLORS), dtype=np.float32)
    for row, color in enumerate(found[:2]):
        hot[row, color] = 1.0
    return hot


def hashed_words(text: str) -> NDArray[np.float32]:
    """A bag of words, each in the place that its checksum names: float32 (words,), 0 or 1.

    Colours are left out: `named_colors` says them.
    """
    bag = np.zeros(NUM_WORDS, dtype=np.float32)
    for word in _WORD.findall(text.lower()):
        if word not in _COLORS:
            bag[zlib.crc32(word.encode()) % NUM_WORDS] = 1.0
    return bag


def named_number(text: str) -> float:
    """The whole number that a text is, over `MOST_RUNS` and at most 1; 0 for other texts."""
    word = text.strip()
    return min(1.0, int(word) / MOST_RUNS) if word.isdecimal() and len(word) < 4 else 0.0


def frame_shares(observation: dict[str, Any]) -> NDArray[np.float32]:
    """How much of each frame each palette colour fills: float32 (frames, colours).

    From the pixels where there are some, else from the words of the `palette` describer; zeros where neither speaks.
    """
    count = len(observation["timestamps"])
    shares = np.zeros((count, NUM_COLORS), dtype=np.float32)
    if len(observation["frames"]):
        for index, frame in enumerate(observation["frames"]):
            named = np.bincount(name_pixels(frame).ravel(), minlength=NUM_COLORS)
            shares[index] = named / named.sum()
        return shares
    lines = _LINE.findall(observation["text"])[-count:] if count else []
    for index, words in enumerate(lines):
        for name, percent in _SHARE.findall(words):
            if name in _COLORS:
                shares[index, _COLORS[name]] = min(100, int(percent)) / 100
    return shares


@dataclass(slots=True, kw_only=True, eq=False)
class BinMemory:
    """What has been shown of a video so far, gathered in `bins` equal bins.

    Args:
        bins: how many.
        duration_seconds: length of the video.
        thumbnail_size: (height, width) of the pictures kept, None to keep none.
    """

    bins: int
    duration_seconds: float
    thumbnail_size: tuple[int, int] | None = None
    _overview: list[tuple[float, NDArray[np.float32]]] = field(default_factory=list, init=False)
    _zoomed: dict[float, NDArray[np.float32]] = field(default_factory=dict, init=False)
    _thumbnails: dict[int, NDArray[np.uint8]] = field(default_factory=dict, init=False)

    def add(self, observation: dict[str, Any], *, is_overview: bool) -> None:
        """Take in the frames of an observation."""
        times = [float(time) for time in observation["timestamps"]]
        shares = zip(times, frame_shares(observation), strict=True)
        pairs = [(time, share) for time, share in shares if time < self.duration_seconds]  # not the question's pictures
        if is_overview:
            self._overview += pairs
        else:
            self._zoomed |= dict(pairs)
        if self.thumbnail_size is not None:
            height, width = self.thumbnail_size
            for time, frame in zip(times, observation["frames"], strict=False):
                if time < self.duration_seconds:
                    self._thumbnails[self.bin_of(time)] = letterbox(frame, height, width)

    def bin_of(self, time_seconds: float) -> int:
        """The bin that a moment lies in; a moment on an edge, up to a rounding error, belongs to the later bin."""
        return max(0, min(self.bins - 1, int(time_seconds / self.duration_seconds * self.bins + 1e-6)))

    def palette_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Colours bin by bin, float32 (bins, colours), all in [0, 1].

        `overview`: mean share in the overview's frames; `zoomed`: largest share in the zooms' frames; `early`: 1 where
        the zooms show the colour at the bin's very start, falling to 0 towards its end, 0 where they never do; `runs`:
        how many separate times it came on in the zooms, over `MOST_RUNS`.
        """
        shape = (self.bins, NUM_COLORS)
        arrays = {name: np.zeros(shape, dtype=np.float32) for name in ("overview", "zoomed", "early", "runs")}
        counts = np.zeros(self.bins)
        for time, shares in self._overview:
            arrays["overview"][self.bin_of(time)] += shares
            counts[self.bin_of(time)] += 1
        arrays["overview"] /= np.maximum(counts, 1)[:, None].astype(np.float32)
        was_on = np.zeros(NUM_COLORS, dtype=np.bool_)
        last_bin = -1
        for time in sorted(self._zoomed):
            shares, place = self._zoomed[time], self.bin_of(time)
            is_on = shares >= _RUN_SHARE
            begins = is_on & ~(was_on if place - last_bin <= 1 else np.zeros_like(was_on))
            early = 1.0 - (time / self.duration_seconds * self.bins - place)
            fresh = is_on & (arrays["early"][place] == 0)
            arrays["early"][place][fresh] = min(1.0, max(1e-3, early))
            arrays["runs"][place] += begins / MOST_RUNS
            arrays["zoomed"][place] = np.maximum(arrays["zoomed"][place], shares)
            was_on, last_bin = is_on, place
        np.clip(arrays["runs"], 0.0, 1.0, out=arrays["runs"])
        return arrays

    def seen_mask(self, frames_per_zoom: int) -> NDArray[np.float32]:
        """float32 (bins, 2): whether the overview showed the bin; how many zoomed frames it has, over a zoom's most."""
        mask = np.zeros((self.bins, 2), dtype=np.float32)
        for time, _ in self._overview:
            mask[self.bin_of(time), 0] = 1.0
        for time in self._zoomed:
            mask[self.bin_of(time), 1] += 1 / max(1, frames_per_zoom)
        return np.minimum(mask, 1.0)

    def thumbnails(self) -> NDArray[np.uint8]:
        """The latest picture of each bin, black where there is none: uint8 (bins, height, width, 3)."""
        height, width = self.thumbnail_size or (1, 1)
        pictures = np.zeros((self.bins, height, width, 3), dtype=np.uint8)
        for place, picture in self._thumbnails.items():
            pictures[place] = picture
        return pictures
