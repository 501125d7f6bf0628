"""From a decoder's picture to RGB: colour, size and rotation, in one pass of the scaler straight to the final size."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .pixels import empty_pixels

__all__ = ["PictureScaler"]

_BT709: Final = 1
_BT2020: Final = 9
_HDR_CURVES: Final = frozenset({16, 18})  # PQ and HLG
_KNOWN_CURVES: Final = frozenset({1, 2, 6, 14, 15}) | _HDR_CURVES  # the scaler fails at reserved values
_MAY_CONVERT_COLOUR: Final = int(av.__version__.split(".")[0]) >= 17  # older PyAV hands the scaler no curves
_RED_GREEN_BLUE: Final = (2, 0, 1)
"""The planes of `gbrp`. Made by the scaler and interleaved here, a picture takes 0.7 to 0.8 of the time that the scaler
takes for `rgb24`, and is right to half a level, its colours at full resolution; `rgb24` is off by up to three."""
MAX_IDLE: Final = 4


class PictureScaler:
    """YUV to RGB at the wanted size in one pass, with the rotation applied. Not thread-safe.

    Args:
        width: of the picture handed out.
        height: of the picture handed out.
        rotation_degrees: counterclockwise turn, a multiple of 90.
        reformatter: what to convert with; a new one without.
    """

    def __init__(
        self, width: int, height: int, rotation_degrees: int, *, reformatter: VideoReformatter | None = None
    ) -> None:
        """Keep one scaler context: a context for each frame costs 81 MB over 48 frames."""
        self._wanted = (width, height, rotation_degrees)
        self._quarter_turns = rotation_degrees // 90 % 4
        self._size = (height, width) if self._quarter_turns % 2 else (width, height)
        self._reformatter = reformatter or VideoReformatter()

    def by(self, reformatter: VideoReformatter) -> PictureScaler:
        """The same, done by the reformatter of another thread; one that did the same before is ready at once."""
        return PictureScaler(*self._wanted, reformatter=reformatter)

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert one decoded frame; the result is contiguous and read-only."""
        width, height = self._size
        with _reformatter_for(frame, self._size, self._reformatter) as (reformatter, colours):
            scaled = reformatter.reformat(
                frame, width=width, height=height, format="gbrp", interpolation="BICUBIC", threads=1, **colours
            )
        upright = [_pixels(scaled, plane) for plane in _RED_GREEN_BLUE]
        if self._quarter_turns:
            upright = [np.rot90(values, self._quarter_turns) for values in upright]
        picture = empty_pixels((*upright[0].shape, 3))
        for channel, values in enumerate(upright):
            picture[..., channel] = values  # a copy: FFmpeg re-uses its buffers
        picture.setflags(write=False)
        return picture


def _pixels(frame: VideoFrame, plane: int) -> NDArray[np.uint8]:
    """The values of one plane, without what pads its rows: (height, width)."""
    found = frame.planes[plane]
    rows = np.frombuffer(memoryview(found), dtype=np.uint8).reshape(-1, found.line_size)
    return rows[: found.height, : found.width]


def _to_screen(frame: VideoFrame) -> dict[str, int]:
    """What the scaler must be told of a wide-gamut or high-dynamic-range frame: shown as it is it looks grey.

    PQ, HLG and BT.2020 become BT.709, with diffuse white (203 cd/m2) at full white and what is brighter cut off there.
    """
    is_wide = frame.color_primaries == _BT2020 or frame.color_trc in _HDR_CURVES
    if not is_wide or frame.color_trc not in _KNOWN_CURVES or not _MAY_CONVERT_COLOUR:
        return {}
    return {"dst_color_trc": _BT709, "dst_color_primaries": _BT709}


class _Idle:
    """Reformatters of wide colours that nobody is using. Thread-safe.

    Making the table that such a conversion looks up takes some two seconds of one core, so it must not be made for each
    call, each file or each thread; conversions between the same kinds of pictures share it, one after the other.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, list[VideoReformatter]] = OrderedDict()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Take a fresh lock in a forked child."""
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> VideoReformatter:
        """One that did the same conversion before, if one is free, else a new one."""
        with self._lock:
            free = self._kept.get(key)
            return free.pop() if free else VideoReformatter()

    def give_back(self, key: Hashable, reformatter: VideoReformatter) -> None:
        """Keep it for the next one, dropping those not used for longest."""
        with self._lock:
            self._kept.setdefault(key, []).append(reformatter)
            self._kept.move_to_end(key)
            while sum(map(len, self._kept.values())) > MAX_IDLE:
                oldest = next(iter(self._kept))
                if self._kept[oldest]:
                    self._kept[oldest].pop()
                else:
                    del self._kept[oldest]


_IDLE: Final = _Idle()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.renew_lock)


@contextmanager
def _reformatter_for(
    frame: VideoFrame, size: tuple[int, int], own: VideoReformatter
) -> Iterator[tuple[VideoReformatter, dict[str, int]]]:
    """What converts a frame, and what it must be told: the scaler's own reformatter, or one for wide colours."""
    colours = _to_screen(frame)
    if not colours:
        yield own, colours
        return
    source = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
    key = (*source, frame.color_primaries, frame.color_trc, size)
    reformatter = _IDLE.take(key)
    try:
        yield reformatter, colours
    finally:
        _IDLE.give_back(key, reformatter)
