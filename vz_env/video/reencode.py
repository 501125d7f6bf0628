"""One video written anew, small and with a keyframe every second or so: the same frames at the same times.

Zooms into such a file decode a handful of small pictures instead of a group of large ones. It is lossy: keep the
source.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.codec.codec import UnknownCodecError
from av.video.frame import VideoFrame

from ..episode import Segment
from ..errors import ConfigError, VideoDecodeError
from .access import create_video, map_errors, open_video, video_stream
from .frames import fit_size
from .limits import DecodeLimits
from .reader import VideoReader
from .scaling import PictureScaler

__all__ = ["ReencodeStopped", "reencode_video"]

_OPTIONS: Final = {"preset": "veryfast", "bf": "2", "threads": "1"}
_BT601, _LIMITED_RANGE = 6, 1  # what the scaler writes when RGB goes back to YUV, in H.264's numbers


class ReencodeStopped(Exception):
    """Raised when `should_stop` became true; nothing was written."""


def reencode_video(
    source: str | os.PathLike[str],
    target: Path,
    *,
    root: str | os.PathLike[str] | None = None,
    max_pixels: int,
    group_frames: int,
    quality: int,
    limits: DecodeLimits | None = None,
    progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    stretch: Segment | None = None,
) -> int:
    """Write a video anew as H.264 in MP4.

    Args:
        source: the video; rotation, pixel aspect and HDR are settled in the copy.
        target: where to; appears when it is complete. Its folder exists.
        root: folder that the source must lie inside.
        max_pixels: most pixels of a frame; aspect kept, never enlarged.
        group_frames: frames from one keyframe to the next.
        quality: x264's crf; lower is larger and better.
        limits: of the source.
        progress: called now and then with the seconds of video written.
        should_stop: asked before every frame.
        stretch: write only the frames that come on within it; all of them without it.

    Returns:
        Number of frames written. Frame k of the copy is on exactly when frame k of the source is.

    Raises:
        VideoError: the source cannot be read to the end of its timeline.
        ConfigError: PyAV was built without the encoder.
        ReencodeStopped: `should_stop` became true.
    """
    with VideoReader(source, root=root, limits=limits) as reader:
        info, timeline, time_base = reader.info, reader.timeline, reader.time_base
    first_tick = timeline.first_tick
    bounds = (first_tick, timeline.last_tick)
    if stretch is not None:
        start, end = (first_tick + int(t / time_base) for t in (stretch.start_seconds, stretch.end_seconds))
        bounds = (start, end)
    width, height = fit_size(info.width, info.height, max_pixels)
    scale = PictureScaler(width, height, info.rotation_degrees)
    frames = 0
    try:
        with create_video(target, options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=max(1, round(info.average_fps or 25)))
            stream.options = {**_OPTIONS, "crf": str(quality), "g": str(group_frames)}
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = _encoder_base(time_base)
            stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED_RANGE
            for frame in _presented(source, root, limits, bounds, is_whole=stretch is None):
                if should_stop is not None and should_stop():
                    raise ReencodeStopped(str(target))
                copy = VideoFrame.from_ndarray(scale(frame), format="rgb24")
                copy.time_base, copy.pts = time_base, (frame.pts or 0) - bounds[0]
                copy.duration = frame.duration
                container.mux(stream.encode(copy))
                frames += 1
                if progress is not None and frames % 100 == 0:
                    progress(float(copy.pts * time_base))
            if frames == 0:
                raise VideoDecodeError(f"{source}: no frame could be decoded")
            container.mux(stream.encode(None))
    except UnknownCodecError as error:
        raise ConfigError("this wants PyAV with the libx264 encoder; install the av wheel from PyPI") from error
    return frames


def _encoder_base(time_base: Fraction) -> Fraction:
    """The ticks of the copy: the source's own, so that no time is rounded."""
    return time_base if time_base.denominator <= 1 << 30 else Fraction(1, 90_000)


def _presented(
    source: str | os.PathLike[str],
    root: str | os.PathLike[str] | None,
    limits: DecodeLimits | None,
    bounds: tuple[int, int],
    *,
    is_whole: bool,
) -> Iterator[VideoFrame]:
    """Yield the frames between two ticks, these included, in order.

    Raises:
        VideoDecodeError: one of them is damaged, or the last one of a whole video does not come.
    """
    first_tick, last_tick = bounds
    container, identity = open_video(source, root=root, limits=limits)
    latest = first_tick - 1
    with closing(container), map_errors(identity.path, "decoding"):
        stream = video_stream(container, identity.path)
        stream.thread_type = "AUTO"
        if not is_whole:
            container.seek(first_tick, stream=stream)
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise VideoDecodeError(f"{identity.path}: a picture came out damaged; copy the file again")
                if frame.pts is not None and frame.pts > last_tick:
                    break
                if frame.pts is not None and frame.pts > latest:  # else a second field, or a repeat of what is on
                    latest = frame.pts
                    yield frame
        except av.error.FFmpegError:
            if latest < last_tick:
                raise  # what lies behind the end of a truncated file's timeline is known to be broken
    if is_whole and latest < last_tick:
        raise VideoDecodeError(f"{identity.path}: its pictures end before its timeline does; copy the file again")
