"""The number that every frame of a test video carries: twenty grey blocks in a strip at the top, light ones for 1.

It survives the resize, so a frame that a library hands out says which one it is. `decode_peer.read_numbers` reads it
there; here it is painted, and read back where an encoder may have changed it.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vz_env.video.access import open_video, video_stream

__all__ = ["BITS", "read_back", "stamp"]

BITS: Final = 20
_DARK, _LIGHT = 16, 235
_SURE: Final = 40
"""How far from what was painted a block may be and still be certain in every library's resize."""


def stamp(frame: VideoFrame, number: int) -> None:
    """Paint the number into the top two forty-fifths of a yuv420p picture, most significant block first."""
    strip = _strip(frame)
    bits = (number >> np.arange(BITS - 1, -1, -1)) & 1
    columns = np.arange(frame.width) * BITS // frame.width
    _rows(frame, 0)[:strip] = np.where(bits[columns], _LIGHT, _DARK).astype(np.uint8)
    for plane in (1, 2):
        _rows(frame, plane)[: strip // 2] = 128


def read_back(path: Path) -> list[int | None]:
    """The numbers that the frames of a video carry, decoded one after the other from the beginning.

    Some encoders skip blocks although they change. None: a block of the frame is neither light nor dark, and nobody
    can say what its number is.
    """
    container, _ = open_video(path)
    with closing(container):
        return [_number(frame) for frame in container.decode(video_stream(container, str(path)))]


def _number(frame: VideoFrame) -> int | None:
    """The number of one frame, or None."""
    edges = np.arange(BITS + 1) * frame.width // BITS
    blocks = [_rows(frame, 0)[: _strip(frame), left:right] for left, right in itertools.pairwise(edges)]
    lights = np.array([block[2:-2, 4:-4].mean() for block in blocks])
    spread = np.array([np.abs(block[2:-2, 4:-4] - light).max() for block, light in zip(blocks, lights, strict=True)])
    if np.any(np.minimum(np.abs(lights - _DARK), np.abs(lights - _LIGHT)) + spread > _SURE):
        return None
    return int("".join("1" if light > (_DARK + _LIGHT) / 2 else "0" for light in lights), 2)


def _strip(frame: VideoFrame) -> int:
    """Height of the strip."""
    return frame.height * 2 // 45 // 2 * 2


def _rows(frame: VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
