"""Writes needle videos as H.264 files: the same pictures give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.codec.codec import UnknownCodecError

from ..errors import ConfigError
from ..video.access import create_video
from .needle_config import FRAMES_PER_SECOND, NeedleConfig
from .needle_paint import Picture, Planes

__all__ = ["encode_video"]

_TIME_BASE: Final = Fraction(1, FRAMES_PER_SECOND)

# One thread, or x264 splits pictures by the number of cores and the bytes depend on the machine. A keyframe every five
# seconds keeps seeks short. A film moves all over: a slower preset makes its videos a third of the size.
_X264_CANVAS: Final = {"preset": "ultrafast", "crf": "23", "g": "120", "threads": "1"}
_X264_FILM: Final = {"preset": "superfast", "crf": "28", "g": "120", "threads": "1"}
_BT601, _LIMITED_RANGE = 6, 1  # what `to_planes` writes, in H.264's numbers


def encode_video(path: Path, pictures: Iterable[Picture], config: NeedleConfig) -> int:
    """Encode a video; the file appears under its name only when it is complete.

    Args:
        path: where to; its folder exists.
        pictures: in order, covering every frame once.
        config: the size.

    Returns:
        number of frames written.

    Raises:
        ConfigError: PyAV was built without the encoder.
    """
    options = _X264_CANVAS if config.haystack is None else _X264_FILM
    frames = 0
    try:
        with create_video(path) as container:
            stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=dict(options))
            stream.width, stream.height, stream.pix_fmt = config.width, config.height, "yuv420p"
            stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED_RANGE
            for picture in pictures:
                frame = _to_frame(picture.planes)
                for number in range(picture.first_frame, picture.end_frame):
                    frame.pts = number
                    container.mux(stream.encode(frame))
                    frames += 1
            container.mux(stream.encode(None))
    except UnknownCodecError as error:
        raise ConfigError("needle videos want PyAV with the libx264 encoder; install the av wheel from PyPI") from error
    return frames


def _to_frame(planes: Planes) -> av.VideoFrame:
    """Copy planes into an encoder frame, whose rows may be padded."""
    height, width = planes.y.shape
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.time_base, frame.colorspace, frame.color_range = _TIME_BASE, _BT601, _LIMITED_RANGE
    for target, source in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        rows = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, target.line_size)
        rows[:, : target.width] = source
    return frame
