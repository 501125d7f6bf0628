"""One pass over all packets of a video, without decoding any: where its keyframes are, what its groups look like."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass

from .index import Demuxer, order_of, tick_of
from .limits import Deadline
from .timeline import Timeline

__all__ = ["PacketSurvey", "Progress", "survey_packets"]

Progress = Callable[[int, int], None]
"""Called with (seconds of video read, seconds in all)."""

REPORT_EVERY = 2000


@dataclass(frozen=True, slots=True)
class PacketSurvey:
    """What a pass over the packets found.

    Attributes:
        keyframe_ticks: presentation ticks of the keyframes, rising.
        packets: how many pictures the file holds.
        packets_of_groups: how many of them each group of pictures has, in order.
        bytes: of all pictures together.
        is_reordered: whether pictures are presented in another order than they are decoded in (B-frames).
    """

    keyframe_ticks: tuple[int, ...]
    packets: int
    packets_of_groups: tuple[int, ...]
    bytes: int
    is_reordered: bool


def survey_packets(
    demuxer: Demuxer, timeline: Timeline, deadline: Deadline, progress: Progress | None = None
) -> PacketSurvey:
    """Read every packet once.

    Args:
        demuxer: where packets come from.
        timeline: ends of the video.
        deadline: when to give up; a large file on a slow disk takes long.
        progress: told about every 2,000 packets, and at the end.

    Raises:
        VideoTimeout: the deadline passed.
    """
    keyframes: list[int] = []
    groups: list[int] = []
    total = round(float((timeline.end_tick - timeline.first_tick) * demuxer.time_base))
    packets = size = 0
    latest, is_reordered = timeline.first_tick, False
    for packet in demuxer.from_start(deadline):
        tick = tick_of(packet)
        packets, size = packets + 1, size + packet.size
        is_reordered = is_reordered or tick < latest
        latest = max(latest, tick)
        if packet.is_keyframe:
            bisect.insort(keyframes, tick)
            groups.append(0)
        groups[-1] += 1
        if progress is not None and packets % REPORT_EVERY == 0:
            done = float((order_of(packet) - timeline.first_tick) * demuxer.time_base)
            progress(min(total, max(0, round(done))), total)
    if progress is not None:
        progress(total, total)
    return PacketSurvey(tuple(keyframes), packets, tuple(groups), size, is_reordered)
