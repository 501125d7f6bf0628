"""Frames on their way into a language model: pixels, the places of their tokens in a sequence, and their positions.

A frame stands in a sequence as a run of image tokens. Which tokens these are is known from where the frame was put, and
never read off the ids: an image token that a model samples is a token like any other.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Chunk", "Frame", "FrameStore", "PlacedFrame", "RowFrames", "cut_into_patches", "pack_frames"]


@dataclass(slots=True, eq=False)
class Frame:
    """One frame as a vision tower takes it.

    Attributes:
        pixels: uint8 (height, width, 3).
        rows: image tokens from top to bottom.
        columns: image tokens from left to right.
        patches: (patches, numbers a patch) as the tower reads them; None once they were read by a frozen one.
        features: what a frozen tower made of them: (rows * columns, hidden_size), and as much for each deeper layer
            that takes features in.
    """

    pixels: NDArray[np.uint8]
    rows: int
    columns: int
    patches: Tensor | None = None
    features: tuple[Tensor, ...] | None = None

    def __repr__(self) -> str:
        """Show shapes, not the pixels."""
        return f"Frame({self.pixels.shape[0]}x{self.pixels.shape[1]} pixels, {self.tokens} tokens)"

    @property
    def tokens(self) -> int:
        """How many image tokens stand for it."""
        return self.rows * self.columns

    @property
    def advance(self) -> int:
        """How many positions it takes: the longer of its sides (Qwen2-VL, arXiv 2409.12191, section 2.1)."""
        return max(self.rows, self.columns)


class PlacedFrame(NamedTuple):
    """A frame and the index of its first token in a sequence."""

    start: int
    frame: Frame


@dataclass(slots=True)
class RowFrames:
    """The frames of one row of a batch: what `LanguageModel.hidden` takes as `frames`, one a row.

    Attributes:
        placed: frames by the index of their first token in the row, in order.
        shift: how far positions lie behind indices already, on account of frames before the row's first token.
    """

    placed: list[PlacedFrame] = field(default_factory=list)
    shift: int = 0

    def add(self, start: int, frames: Sequence[PlacedFrame]) -> None:
        """Append the frames of a chunk whose first token has the index `start`."""
        self.placed += [PlacedFrame(start + place, frame) for place, frame in frames]

    def part(self, start: int, stop: int) -> RowFrames:
        """The frames of the tokens [start, stop), which begin there; no frame may be cut in two."""
        before = sum(frame.advance - frame.tokens for place, frame in self.placed if place < start)
        inside = [PlacedFrame(place - start, frame) for place, frame in self.placed if start <= place < stop]
        return RowFrames(inside, self.shift + before)

    @property
    def end_shift(self) -> int:
        """The `shift` of what follows the row."""
        return self.shift + sum(frame.advance - frame.tokens for _, frame in self.placed)

    def offsets(self, length: int) -> Tensor:
        """What is added to plain positions for time, height and width: int64 (3, length).

        A frame's tokens share the time at which it begins; height and width count its rows and columns from there.
        What follows goes on after the longer side (multimodal rotary positions, as in Qwen2-VL).
        """
        offsets = torch.full((3, length), self.shift, dtype=torch.long)
        shift = self.shift
        for start, frame in self.placed:
            stop = start + frame.tokens
            index = torch.arange(frame.tokens)
            rows, columns = index // frame.columns, index % frame.columns
            offsets[:, start:stop] = shift - index + torch.stack([torch.zeros_like(index), rows, columns])
            shift += frame.advance - frame.tokens
            offsets[:, stop:] = shift
        return offsets

    def named(self, ids: Sequence[int]) -> list[int]:
        """The ids with a name of its frame, below 0, in place of each image token: equal where the inputs are."""
        names = list(ids)
        for start, frame in self.placed:
            names[start : start + frame.tokens] = [-id(frame)] * frame.tokens
        return names

    def is_frame(self, length: int) -> Tensor:
        """True where a frame's tokens stand: (length,)."""
        mask = torch.zeros(length, dtype=torch.bool)
        for start, frame in self.placed:
            mask[start : start + frame.tokens] = True
        return mask


def pack_frames(frames: Sequence[RowFrames], rows: Tensor, columns: Tensor) -> tuple[RowFrames, Tensor]:
    """The frames and positions of a sequence put together from tokens of several rows; no frame may be cut in two.

    Args:
        frames: of each row.
        rows: (tokens,) which row a token is of.
        columns: (tokens,) its index in that row.

    Returns:
        The frames by their places in the sequence, and positions (3, 1, tokens).
    """
    starts = {(row, start): frame for row, held in enumerate(frames) for start, frame in held.placed}
    places = enumerate(zip(rows.tolist(), columns.tolist(), strict=True))
    packed = RowFrames([PlacedFrame(index, starts[place]) for index, place in places if place in starts])
    offsets = torch.stack([held.offsets(int(columns.max()) + 1) for held in frames], 1)
    return packed, (offsets[:, rows, columns] + columns)[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Ids to append to a sequence, and the frames among them, by the index of their first token in the chunk."""

    ids: list[int]
    frames: tuple[PlacedFrame, ...] = ()

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.ids)

    def key(self) -> tuple[Any, ...]:
        """What is equal where ids and frames are the same."""
        return (tuple(self.ids), tuple((start, id(frame)) for start, frame in self.frames))


class FrameStore:
    """Every distinct frame once, whoever saw it: samples of a question share its overview, and often their zooms.

    Safe to use from several threads.
    """

    def __init__(self, processor: Any) -> None:
        """Start empty.

        Args:
            processor: an image processor of the Qwen2-VL family.
        """
        self._processor = processor
        self._frames: dict[bytes, Frame] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of distinct frames."""
        return len(self._frames)

    def frame(self, pixels: NDArray[np.uint8]) -> Frame:
        """The frame of these pixels (height, width, 3), cut into patches when it is new."""
        digest = hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16, person=repr(pixels.shape).encode()[:16])
        with self._lock:
            known = self._frames.get(digest.digest())
        if known is not None:
            return known
        made = cut_into_patches(self._processor, pixels)
        with self._lock:
            return self._frames.setdefault(digest.digest(), made)


def cut_into_patches(processor: Any, pixels: NDArray[np.uint8]) -> Frame:
    """Let an image processor resize a frame to whole patches and normalise it."""
    made = processor(images=[pixels], return_tensors="pt", input_data_format="channels_last")
    _, height, width = made["image_grid_thw"][0].tolist()
    merge = processor.merge_size
    return Frame(pixels, height // merge, width // merge, made["pixel_values"])
