"""Where a video begins and ends, found on its packets: headers are often wrong, and truncated files always are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import VideoDecodeError
from .index import FIRST_STEP_BACK_SECONDS, Demuxer, VideoPacket, order_of, tick_of
from .limits import Deadline

__all__ = ["Tail", "Timeline", "declared_end", "find_first_tick", "find_tail"]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The ends of a video in presentation ticks: first frame, last frame, and where the last frame goes off."""

    first_tick: int
    last_tick: int
    end_tick: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a video.

    Attributes:
        ticks: rising presentation ticks of the last pictures.
        end_tick: where the last one goes off.
        settled_tick: up to here no picture can be missing, were the file to go on: decode ticks rise.
        broken: what went wrong at the end, if anything.
    """

    ticks: list[int]
    end_tick: int
    settled_tick: int
    broken: str = ""

    @property
    def last_tick(self) -> int:
        """When the last picture comes on."""
        return self.ticks[-1]


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


def find_tail(demuxer: Demuxer, first_tick: int, deadline: Deadline, *, before: int | None = None) -> Tail:
    """Find the last pictures whose packets are there.

    Starts from the declared end and steps back by doubling until packets turn up, so a sound file costs one GOP and a
    truncated one at most a demux of what is left. With `before`, only pictures that come on before that tick count.
    """
    declared = declared_end(demuxer)[0] if before is None else before - 1
    back = declared if declared is not None and declared > first_tick else first_tick
    step = demuxer.ticks(FIRST_STEP_BACK_SECONDS)
    while True:
        back = max(back, first_tick)
        shown: dict[int, int] = {}
        broken = ""
        settled = first_tick
        for packet in demuxer.from_keyframe(back, deadline):
            if packet.is_corrupt:
                broken = "its last packet is cut"
            elif not packet.is_discard and first_tick <= tick_of(packet) < (before or math.inf):
                shown[tick_of(packet)] = packet.duration or 0
                settled = max(settled, order_of(packet))
        broken = broken or demuxer.broken
        if shown or back == first_tick:
            break
        back, step = back - step, step * 2
    ticks = sorted(shown) or [first_tick]
    return Tail(ticks, ticks[-1] + _last_duration(demuxer, ticks, shown.get(ticks[-1], 0)), settled, broken)


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
