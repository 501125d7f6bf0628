"""Packets in, small RGB pictures out: one decoder, one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from .index import VideoPacket
from .limits import Deadline
from .plan import PacketRun
from .references import ReferenceFinder
from .scaling import PictureScaler

__all__ = ["PictureDecoder", "Pictures", "another_context", "may_skip_nonreference"]

Pictures = dict[int, NDArray[np.uint8]]
"""Presentation tick -> uint8 RGB (height, width, 3)."""

_HEVC_SPS: Final = 33


class PictureDecoder:
    """One decoder context. Not thread-safe: one run at a time.

    Args:
        context: a decoder that was not opened yet.
        skip_nonreference: pictures that no other picture refers to are dropped before the decoder unless wanted.
        finder: knows which packets a picture is made from; the others are dropped too.
        threads: that decode successive pictures of a run. They hand pictures out late, and every run waits for the last
            ones: where there are several runs to decode side by side, decoders of one thread each are faster.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        *,
        skip_nonreference: bool,
        finder: ReferenceFinder | None = None,
        threads: int = 1,
    ) -> None:
        """Take the context over."""
        self.context, self._finder = context, finder
        if not context.is_open:
            context.thread_count = threads
            context.thread_type = "FRAME"
        self._skip, self._reformatter = skip_nonreference, VideoReformatter()
        self._left: set[int] = set()
        self.trouble = ""

    def decode(self, run: PacketRun, scale: PictureScaler, deadline: Deadline) -> Pictures:
        """Decode a run, or a further piece of one, whose packets are let go of on the way: they may be megabytes.

        Damage is not raised here: what could not be decoded soundly is missing from the result. A decoder paints over
        what it has lost and the next pictures copy from it, so after trouble nothing of the run counts.

        Returns:
            The wanted pictures that came out, by presentation tick.
        """
        if run.starts:
            self.reset()
        self._left |= run.wanted
        scale = scale.by(self._reformatter)
        pictures: Pictures = {}
        chosen = deque(self.choose(run))
        run.packets.clear()
        while chosen:
            packet, is_wanted = chosen.popleft()
            deadline.check("decoding")
            if self._skip:
                self.context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            self._keep(self.feed(packet), scale, pictures)
        if run.ends and self._left:
            if self._skip:
                self.context.skip_frame = "DEFAULT"
            self._keep(self.feed(None), scale, pictures)
        sound = {} if self.trouble else pictures
        if run.ends:
            self.reset()
        return sound

    def choose(self, run: PacketRun) -> list[tuple[VideoPacket, bool]]:
        """The packets of a run, or of a piece of one, that are to be fed, and which of them must not be dropped."""
        packets = run.packets
        if run.ends:
            wanted_at = [i for i, packet in enumerate(packets) if packet.pts in run.wanted]
            packets = packets[: wanted_at[-1] + 1] if wanted_at else []
        if self._finder is not None and run.starts and run.ends:
            chosen = self._finder.choose(packets, run.wanted)
            if chosen is not None:
                return [(packet, True) for packet in chosen]
        return [(packet, packet.pts in run.wanted) for packet in packets]

    def feed(self, packet: VideoPacket | None) -> list[VideoFrame]:
        """Give one packet to the decoder (None drains it) and return the sound frames that come out."""
        try:
            frames = self.context.decode(packet)
        except (av.error.FFmpegError, ValueError, IndexError) as error:
            self.trouble = self.trouble or f"{type(error).__name__}: {error}"
            return []
        sound = [frame for frame in frames if not frame.is_corrupt]
        if len(sound) < len(frames):
            self.trouble = self.trouble or "pictures came out damaged"
        return sound

    def reset(self) -> None:
        """Forget everything inside the decoder, ready for another keyframe."""
        self.context.flush_buffers()
        self._left.clear()
        self.trouble = ""
        if self._skip:
            self.context.skip_frame = "DEFAULT"

    def _keep(self, frames: Iterable[VideoFrame], scale: PictureScaler, pictures: Pictures) -> None:
        """Convert the wanted ones among the frames."""
        for frame in frames:
            if frame.pts is not None and frame.pts in self._left:
                self._left.discard(frame.pts)
                pictures[frame.pts] = scale(frame)


def another_context(stream: VideoStream) -> VideoCodecContext:
    """Make a second decoder for a stream, so that another thread can decode beside the first."""
    source = stream.codec_context
    context = cast(VideoCodecContext, av.CodecContext.create(source.codec.name, "r"))
    context.extradata = source.extradata
    context.width, context.height = source.width, source.height
    context.options = dict(source.options)
    return context


def may_skip_nonreference(stream: VideoStream) -> bool:
    """Whether non-reference pictures can be dropped before the decoder without changing any other picture.

    H.264: always (nal_ref_idc 0 is a promise to all). HEVC: the promise covers only pictures of the same temporal
    sub-layer, so it holds when there is one sub-layer. Others: no (libdav1d reads the option once, when it opens).
    """
    name = stream.codec_context.codec.canonical_name
    if name == "h264":
        return True
    return name == "hevc" and _hevc_sub_layers(stream.codec_context.extradata or b"") == 1


def _hevc_sub_layers(extradata: bytes) -> int:
    """Read the number of temporal sub-layers from hvcC (mp4, mkv) or from the first SPS (mpegts); 0 when unknown."""
    if len(extradata) > 22 and extradata[0] == 1:
        return extradata[21] >> 3 & 7
    start = extradata.find(b"\0\0\1")
    while start >= 0 and start + 6 <= len(extradata):
        if extradata[start + 3] >> 1 & 0x3F == _HEVC_SPS:
            return (extradata[start + 5] >> 1 & 7) + 1
        start = extradata.find(b"\0\0\1", start + 3)
    return 0
