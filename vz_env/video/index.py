"""What a video holds and where its packets lie: the demuxer, and the rule of time that everything here follows.

Time has one rule in this package. A file counts in ticks (integers, `time_base` seconds each) from anywhere; this
package counts in seconds from the first presented frame::

    packets, decode order   I(p=9)  P(p=12)  B(p=10)  B(p=11)  I(p=15) ...      p = presentation tick
    presented               9       10       11       12       15
    seconds                 0       1*tb     2*tb     3*tb     6*tb
    frame at t              [9     )[10     )[11     )[12           )[15 ...    the last one with time <= t

Packets that an edit list cut away (`is_discard`) are decoded when others need them and never presented.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from ..errors import VideoDecodeError
from .limits import Deadline

__all__ = ["Demuxer", "VideoInfo", "VideoPacket", "order_of", "tick_of"]

VideoPacket: TypeAlias = "Packet[VideoStream]"

FIRST_STEP_BACK_SECONDS = 0.5


def tick_of(packet: VideoPacket) -> int:
    """When a packet's picture is presented; the demuxer yields no packet without."""
    return cast(int, packet.pts)


def order_of(packet: VideoPacket) -> int:
    """Where a packet stands in decode order."""
    return packet.dts if packet.dts is not None else tick_of(packet)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a file holds, as measured on its packets rather than read from its header.

    Attributes:
        duration_seconds: from the first presented frame to the end of the last one that can be decoded.
        width, height: the picture as shown, in pixels (rotation and pixel aspect applied, neither side enlarged).
        average_fps: frames a second as the container states it, for information; never used to find a frame.
        codec: FFmpeg's name of the codec.
        container: FFmpeg's name of the format.
        file_bytes: size on disk.
        rotation_degrees: counterclockwise turn that was applied, one of 0, 90, 180, 270.
        is_truncated: the file ends before the end it declares; the timeline is what is left.
    """

    duration_seconds: float
    width: int
    height: int
    average_fps: float
    codec: str
    container: str
    file_bytes: int
    rotation_degrees: int = 0
    is_truncated: bool = False


class Demuxer:
    """Packets of one stream from any keyframe on. Not thread-safe: one user at a time.

    Args:
        container: open container; the other streams in it are switched off.
        stream: the stream to read.
        path: for messages.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, path: str) -> None:
        """Switch the other streams off, so that their bytes are not even read where the format allows it."""
        self.container, self.stream, self.path = container, stream, path
        self.time_base = cast(Fraction, stream.time_base)  # open_video refuses a stream without one
        self.floor_tick = (stream.start_time or 0) - self.ticks(1.0)
        self.broken: str = ""
        self.keyframe_ticks: Sequence[int] | None = None  # of the whole file, once somebody has been through it
        self._packets: Iterator[VideoPacket] | None = None
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all

    def ticks(self, seconds: float) -> int:
        """Convert a length in seconds to ticks, at least one."""
        return max(1, int(seconds / self.time_base))

    def from_start(self, deadline: Deadline) -> Iterator[VideoPacket]:
        """Yield packets in decode order from the first keyframe of the file."""
        return self._after_seek(self.floor_tick, deadline)

    def from_keyframe(self, tick: int, deadline: Deadline) -> Iterator[VideoPacket]:
        """Yield packets in decode order, from a keyframe presented at or before a tick.

        Seeking in mpegts lands late whatever one asks for, and mp4 may land on a keyframe that is decoded before the
        tick but presented after it. So look where it landed, and step back by doubling until it is right.
        """
        back, step = tick, self.ticks(FIRST_STEP_BACK_SECONDS)
        while True:
            packets = self._after_seek(back, deadline)
            first = next(packets, None)
            if first is not None and tick_of(first) <= tick:
                return itertools.chain([first], packets)
            if back <= self.floor_tick:
                return itertools.chain([first] if first is not None else [], packets)
            back, step = max(back - step, self.floor_tick), step * 2

    def _after_seek(self, tick: int, deadline: Deadline) -> Iterator[VideoPacket]:
        """Yield packets from the first keyframe after the place where a seek lands."""
        self._seek(tick)
        self.broken = ""
        seen_keyframe = False
        for packet in self._read(deadline):
            seen_keyframe = seen_keyframe or packet.is_keyframe
            if seen_keyframe:
                yield packet

    def _seek(self, tick: int) -> None:
        """Move to a keyframe near a tick."""
        try:
            self.container.seek(tick, stream=self.stream)
            return
        except av.error.FFmpegError:
            pass
        try:
            # avi refuses a tick before its first index entry unless it may look forward.
            self.container.seek(tick, stream=self.stream, backward=False)
        except av.error.FFmpegError:
            # Without any index: byte 0 is right for every demuxer that can seek at all.
            try:
                self.container.seek(0, any_frame=True, unsupported_byte_offset=True)
            except av.error.FFmpegError as error:
                raise VideoDecodeError(
                    f"{self.path}: no place in it can be sought ({error.strerror}); it is cut or damaged: copy it again"
                ) from error

    def clock_at_byte(self, position: int, deadline: Deadline) -> int | None:
        """Where the first packet after a place in the file stands in decode order; None when there is none."""
        try:
            self.container.seek(position, any_frame=True, unsupported_byte_offset=True)
        except av.error.FFmpegError:
            return None
        packet = next(self._read(deadline), None)
        return None if packet is None else order_of(packet)

    def _read(self, deadline: Deadline) -> Iterator[VideoPacket]:
        """Yield packets that have a presentation tick until the file, or what is readable of it, ends."""
        self.close()
        packets = self._packets = self.container.demux(self.stream)
        while True:
            deadline.check("reading packets")
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self.broken = f"{type(error).__name__}: {error}"
                return
            if packet is None or not packet.size:
                return
            if packet.pts is None:
                packet.pts = packet.dts  # avi knows no presentation times; without reordering the two are the same
            if packet.pts is not None:
                yield packet

    def close(self) -> None:
        """End the pass over the packets that is under way, if there is one; the container stays open.

        PyAV keeps the buffers of a pass that is merely dropped: some 150 bytes for each place that was ever sought.
        """
        if isinstance(self._packets, Generator):
            self._packets.close()
        self._packets = None

    def keyframe_at(self, tick: int, deadline: Deadline) -> int:
        """Return when the last keyframe at or before a tick is presented; the first keyframe when there is none.

        Raises:
            VideoDecodeError: no keyframe can be read.
        """
        if self.keyframe_ticks:
            return self.keyframe_ticks[max(0, bisect.bisect_right(self.keyframe_ticks, tick) - 1)]
        packets = self.from_keyframe(tick, deadline)
        first = next(packets, None)
        if first is None:
            raise VideoDecodeError(f"{self.path}: no keyframe can be read ({self.broken or 'the packets end'})")
        best = tick_of(first)
        if self.has_keyframe_between(order_of(first), tick) is False:
            return best
        # A seek may land a group or two early: read on up to the tick, so that the answer depends on the file alone.
        for packet in itertools.takewhile(lambda p: p.dts is None or p.dts <= tick, packets):
            if packet.is_keyframe and best < tick_of(packet) <= tick:
                best = tick_of(packet)
        return best

    def has_keyframe_between(self, low_tick: int, high_tick: int) -> bool | None:
        """Whether there is a keyframe in (low, high]: says a pass over the file, else the container's index.

        Returns:
            None when neither can say.
        """
        if self.keyframe_ticks:
            known = self.keyframe_ticks
            return bisect.bisect_right(known, high_tick) > bisect.bisect_right(known, low_tick)
        entries = self.stream.index_entries
        # mpegts notes every place that it found while seeking, and calls each of them a keyframe.
        if not len(entries) or "mpegts" in self.container.format.name:
            return None
        position = entries.search_timestamp(high_tick)
        if position >= 0 and entries[position].timestamp > low_tick:
            return True
        # Only a complete table (mp4: one entry for each frame) can say no.
        return False if len(entries) >= (self.stream.frames or 1 << 60) else None
