"""Part of a picture, re-sampled from frames of full resolution: a closer look than enlarging what was shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .action_types import Crop
from .video.frames import fit_size

if TYPE_CHECKING:
    from .video.reader import VideoReader

__all__ = ["crop_box", "crop_frames"]

_FULL_FRAMES_A_CALL: Final = 8  # full frames are large: 8 of 2160p are 200 MB
_LEAST_SIDE: Final = 2


def crop_box(crop: Crop, width: int, height: int) -> tuple[int, int, int, int]:
    """The pixels of a crop: (left, top, right, bottom) of at least 2 by 2, inside the picture.

    Args:
        crop: (x0, y0, x1, y1) in fractions.
        width: of the picture, in pixels, at least 2.
        height: likewise.
    """
    left, right = _span(crop[0], crop[2], width)
    top, bottom = _span(crop[1], crop[3], height)
    return left, top, right, bottom


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """The pixels from `low` to `high`, rounded outwards."""
    start = min(math.floor(low * length + 1e-9), length - _LEAST_SIDE)
    end = max(math.ceil(high * length - 1e-9), start + _LEAST_SIDE)
    return max(0, start), min(length, end)


def crop_frames(
    reader: VideoReader,
    timestamps_seconds: NDArray[np.float64],
    crop: Crop,
    *,
    size: tuple[int, int] | None,
    max_pixels: int,
) -> NDArray[np.uint8]:
    """Part of the frames at some moments.

    Args:
        reader: of the video.
        timestamps_seconds: float64 (n,), n >= 1.
        crop: the part.
        size: (width, height) to hand out; None keeps the aspect of the part.
        max_pixels: most pixels of a part that keeps its aspect; it is never enlarged.

    Returns:
        uint8 (n, height, width, 3), read-only.

    Raises:
        VideoError: when the frames cannot be read.
    """
    full = (reader.info.width, reader.info.height)
    box = crop_box(crop, *full)
    wanted = size or fit_size(box[2] - box[0], box[3] - box[1], max_pixels)
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, len(timestamps_seconds), _FULL_FRAMES_A_CALL):
        frames = reader.frames_at(timestamps_seconds[start : start + _FULL_FRAMES_A_CALL], size=full).frames
        parts += [_resized(frame[box[1] : box[3], box[0] : box[2]], wanted) for frame in frames]
    stack = np.stack(parts)
    stack.setflags(write=False)
    return stack


def _resized(part: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A part at another size, each pixel an average where it shrinks."""
    if (part.shape[1], part.shape[0]) == size:
        return part.copy()
    return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BICUBIC), dtype=np.uint8)
