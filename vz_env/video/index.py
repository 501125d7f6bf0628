"""Where a video's packets lie: the demuxer, and the two ends of the timeline.

Time has one rule in this package. A file counts in ticks (integers, `time_base` seconds each) from anywhere; this
package counts in seconds from the first presented frame::

    packets, decode order   I(p=9)  P(p=12)  B(p=10)  B(p=11)  I(p=15) ...      p = presentation tick
    presented               9       10       11       12       15
    seconds                 0       1*tb     2*tb     3*tb     6*tb
    frame at t              [9     )[10     )[11     )[12           )[15 ...    the last one with time <= t

Packets that an edit list cut away (`is_discard`) are decoded when others need them and never presented.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from ..errors import VideoDecodeError
from .access import Deadline

__all__ = [
    "Demuxer",
    "Tail",
    "Timeline",
    "VideoInfo",
    "VideoPacket",
    "declared_end",
    "find_first_tick",
    "find_tail",
    "order_of",
    "tick_of",
]

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


@dataclass(frozen=True, slots=True)
class Timeline:
    """The ends of a video in presentation ticks: first frame, last frame, and where the last frame goes off."""

    first_tick: int
    last_tick: int
    end_tick: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a video: rising presentation ticks of its last pictures, where the last goes off, and what broke."""

    ticks: list[int]
    end_tick: int
    broken: str = ""

    @property
    def last_tick(self) -> int:
        """When the last picture comes on."""
        return self.ticks[-1]


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
        try:
            self.container.seek(tick, stream=self.stream)
        except av.error.FFmpegError:
            # Some demuxers refuse a tick before their first index entry; byte 0 is right for all that can seek at all.
            self.container.seek(0, any_frame=True, unsupported_byte_offset=True)
        self.broken = ""
        seen_keyframe = False
        for packet in self._read(deadline):
            seen_keyframe = seen_keyframe or packet.is_keyframe
            if seen_keyframe:
                yield packet

    def _read(self, deadline: Deadline) -> Iterator[VideoPacket]:
        """Yield packets that have a presentation tick until the file, or what is readable of it, ends."""
        packets = self.container.demux(self.stream)
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

    def has_keyframe_between(self, low_tick: int, high_tick: int) -> bool | None:
        """Whether the container's own index has a keyframe in (low, high]; None when it does not say."""
        entries = self.stream.index_entries
        if not len(entries):
            return None
        position = entries.search_timestamp(high_tick)
        if position >= 0 and entries[position].timestamp > low_tick:
            return True
        # Only a complete table (mp4: one entry for each frame) can say no.
        return False if len(entries) >= (self.stream.frames or 1 << 60) else None


def find_first_tick(demuxer: Demuxer, deadline: Deadline) -> tuple[int, list[VideoPacket]]:
    """Return the presentation tick of the first presented frame, and the packets that were read to know it.

    Pictures presented before the first keyframe of the file refer to what is not there, so they do not count.

    Raises:
        VideoDecodeError: there is no keyframe in the whole file.
    """
    packets: list[VideoPacket] = []
    earliest: int | None = None
    for packet in demuxer.from_start(deadline):
        # Decode ticks rise and none is above its presentation tick: from here on nothing can come earlier.
        if earliest is not None and packet.dts is not None and packet.dts > earliest:
            return earliest, packets
        packets.append(packet)
        tick = tick_of(packet)
        if not packet.is_discard and tick >= tick_of(packets[0]):
            earliest = tick if earliest is None else min(earliest, tick)
    if earliest is None:
        why = demuxer.broken or "it holds no keyframe"
        raise VideoDecodeError(f"{demuxer.path}: no picture can be decoded: {why}; the file is empty or damaged")
    return earliest, packets


def find_tail(demuxer: Demuxer, first_tick: int, deadline: Deadline) -> Tail:
    """Find the last pictures whose packets are there.

    Starts from the declared end and steps back by doubling until packets turn up, so a sound file costs one GOP and a
    truncated one at most a demux of what is left.
    """
    declared, _ = declared_end(demuxer)
    back = declared if declared is not None and declared > first_tick else first_tick
    step = demuxer.ticks(FIRST_STEP_BACK_SECONDS)
    while True:
        back = max(back, first_tick)
        shown: dict[int, int] = {}
        broken = ""
        for packet in demuxer.from_keyframe(back, deadline):
            if packet.is_corrupt:
                broken = "its last packet is cut"
            elif not packet.is_discard and tick_of(packet) >= first_tick:
                shown[tick_of(packet)] = packet.duration or 0
        broken = broken or demuxer.broken
        if shown or back == first_tick:
            break
        back, step = back - step, step * 2
    ticks = sorted(shown) or [first_tick]
    return Tail(ticks, ticks[-1] + _last_duration(demuxer, ticks, shown.get(ticks[-1], 0)), broken)


def _last_duration(demuxer: Demuxer, ordered: list[int], stated: int) -> int:
    """How long the last frame is on: as stated, else as long as the one before it, else one at the average rate."""
    if stated > 0:
        return stated
    if len(ordered) > 1:
        return ordered[-1] - ordered[-2]
    return demuxer.ticks(1.0 / float(demuxer.stream.average_rate or 25))


def declared_end(demuxer: Demuxer) -> tuple[int | None, bool]:
    """Return the tick at which the header says the stream ends, and whether the header says so of this very stream."""
    stream = demuxer.stream
    if stream.duration:
        return (stream.start_time or 0) + stream.duration, True
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        seconds = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        return demuxer.ticks(seconds), True
    if demuxer.container.duration:
        start = demuxer.container.start_time or 0
        return demuxer.ticks((start + demuxer.container.duration) / 1e6), False
    return None, False
