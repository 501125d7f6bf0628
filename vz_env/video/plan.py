"""Which packets to decode for which ticks, and no others: the plan behind every `frames_at`.

Reading packets is cheap and decoding them is not. So read first, from the keyframe at or before the first tick on, note
what is presented when, stop a run at the last packet that is needed, and jump over every group of pictures (GOP) that
nobody asked for::

    ticks wanted            x   x                                     x
    groups of pictures   |K------------|K------------|K------------|K------------|
    runs                 [K-----]                                  [K--]
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import VideoDecodeError
from .index import Demuxer, VideoPacket, order_of, tick_of
from .limits import Deadline
from .timeline import Timeline

__all__ = ["PacketPlan", "PacketRun"]

CHUNK_BYTES = 32 << 20
"""A GOP may be the whole film, so a run is handed over in pieces of about this much."""

JUMP_SECONDS = 4.0
"""Where the container has no index: how far ahead the next tick must lie for a seek to be worth trying."""


@dataclass(slots=True)
class PacketRun:
    """Packets in decode order from a keyframe on, or a further piece of such a run.

    Attributes:
        packets: what to decode.
        wanted: presentation ticks of the pictures that were asked for.
        starts: the first packet is a keyframe and the decoder must be fresh.
        ends: nothing follows; the decoder is to be drained.
    """

    packets: list[VideoPacket] = field(default_factory=list)
    wanted: set[int] = field(default_factory=set)
    starts: bool = True
    ends: bool = True

    @property
    def size(self) -> int:
        """Bytes of the packets."""
        return sum(packet.size for packet in self.packets)


class PacketPlan:
    """One pass over the packets of a file that settles which picture is on at each tick.

    Args:
        demuxer: where packets come from; not shared while the plan runs.
        timeline: ends of the video; ticks must lie within.
        deadline: when to give up.
    """

    def __init__(self, demuxer: Demuxer, timeline: Timeline, deadline: Deadline) -> None:
        """Prepare an empty plan."""
        self._demuxer, self._timeline, self._deadline = demuxer, timeline, deadline
        self.shown_at: dict[int, int] = {}
        """Requested tick -> presentation tick of the picture that is on then; filled as the runs are taken."""
        self._jump_ticks = demuxer.ticks(JUMP_SECONDS)
        self._waiting: deque[int] = deque()
        self._source: Iterator[VideoPacket] = iter(())
        self._begin()

    def _begin(self, first: VideoPacket | None = None) -> None:
        """Start a new run."""
        self._run = PacketRun()
        self._bytes = 0
        self._shown: list[int] = []
        self._keyframe: int | None = None
        if first is not None:
            self._append(first)

    def _append(self, packet: VideoPacket) -> None:
        """Take a packet into the run, and note when it is presented."""
        self._run.packets.append(packet)
        self._bytes += packet.size
        if not packet.is_discard and tick_of(packet) <= self._timeline.last_tick:
            bisect.insort(self._shown, tick_of(packet))

    def runs(self, ticks: Sequence[int]) -> Iterator[PacketRun]:
        """Yield the runs that hold every picture on at the given ticks; `shown_at` is complete at the end.

        Raises:
            VideoDecodeError: the file breaks off before a tick that lies inside its timeline.
            VideoTimeout: the deadline passed.
        """
        self._waiting = deque(sorted(set(ticks)))
        if not self._waiting:
            return
        self._source = self._demuxer.from_keyframe(self._waiting[0], self._deadline)
        while self._waiting:
            packet = next(self._source, None)
            self._settle(packet)
            if not self._waiting or packet is None:
                break
            yield from self._split()
            if self._is_fresh_start(packet):
                # Every tick still waiting is at or after this keyframe: nothing before it matters any more.
                yield from self._finish()
            elif packet.is_keyframe and not packet.is_discard:
                self._keyframe = len(self._run.packets)
            self._append(packet)
            yield from self._jump(packet)
            if self._bytes > CHUNK_BYTES:
                yield self._cut()
        yield from self._finish()

    def _is_fresh_start(self, packet: VideoPacket) -> bool:
        """Whether a run for all waiting ticks can begin with this packet."""
        return packet.is_keyframe and not packet.is_discard and tick_of(packet) <= self._waiting[0]

    def _split(self) -> Iterator[PacketRun]:
        """Begin anew at a keyframe that was read while a tick before it still waited, as soon as none does.

        A keyframe is decoded some pictures before it is presented. A tick between the two keeps its run open, although
        it nearly always ends in the group before: the two groups would be decoded as one. They stay together only where
        a picture is wanted that comes after the keyframe and is shown before it: it refers to both (an open group).
        """
        position = self._keyframe
        if position is None or self._waiting[0] < (tick := tick_of(self._run.packets[position])):
            return
        run, later = self._run, self._run.packets[position:]
        wanted = run.wanted.intersection(map(tick_of, later))
        if any(shown < tick for shown in wanted):
            self._keyframe = None
            return
        self._run = PacketRun(run.packets[:position], run.wanted - wanted, run.starts)
        yield from self._finish()
        for packet in later:
            self._append(packet)
        self._run.wanted = wanted

    def _settle(self, packet: VideoPacket | None) -> None:
        """Decide the waiting ticks that no later packet can change: decode ticks rise and bound presentation ticks."""
        while self._waiting:
            tick = self._waiting[0]
            if packet is not None and (packet.dts is None or packet.dts <= tick):
                return
            position = bisect.bisect_right(self._shown, tick)
            last_shown = self._shown[-1] if self._shown else None
            if packet is None and (last_shown is None or last_shown < min(tick, self._timeline.last_tick)):
                raise VideoDecodeError(
                    f"{self._demuxer.path}: packets end before {self._seconds(tick):.3f} s "
                    f"({self._demuxer.broken or 'no reason given'}); the file is damaged there"
                )
            if not self._shown:
                return  # all cut away by an edit list so far: what is on comes later
            if position == 0 and tick > self._timeline.first_tick:
                raise VideoDecodeError(
                    f"{self._demuxer.path}: its edit list jumps around {self._seconds(tick):.3f} s; re-encode it"
                )
            tick_shown = self._shown[max(0, position - 1)]
            self.shown_at[tick] = tick_shown
            self._run.wanted.add(tick_shown)
            self._waiting.popleft()

    def _seconds(self, tick: int) -> float:
        return float((tick - self._timeline.first_tick) * self._demuxer.time_base)

    def _jump(self, packet: VideoPacket) -> Iterator[PacketRun]:
        """Seek when the next tick lies in another group of pictures."""
        reached = order_of(packet)
        if not self._run.wanted or not self._waiting or not self._is_far(reached):
            return
        landed = self._demuxer.from_keyframe(self._waiting[0], self._deadline)
        first = next(landed, None)
        if first is None or order_of(first) <= reached:
            # The same group goes on to there: keep the run, and read up to where it was.
            self._jump_ticks *= 2
            self._source = itertools.dropwhile(lambda p: order_of(p) <= reached, landed)
            return
        yield from self._finish()
        self._source = landed
        self._append(first)

    def _is_far(self, reached: int) -> bool:
        """Whether seeking to the next tick is likely to skip packets."""
        tick = self._waiting[0]
        if tick <= reached:
            return False
        known = self._demuxer.has_keyframe_between(reached, tick)
        return known if known is not None else tick - reached > self._jump_ticks

    def _finish(self) -> Iterator[PacketRun]:
        """Hand over what was collected, if anybody wants any of it, and begin anew."""
        if self._run.wanted or not self._run.starts:
            yield self._run
        self._begin()

    def _cut(self) -> PacketRun:
        """Hand over the packets whose fate is settled, and keep the few that a waiting tick may still choose."""
        position = bisect.bisect_right(self._shown, self._waiting[0])
        undecided = self._shown[position - 1] if position else self._timeline.first_tick
        packets = self._run.packets
        cut = next((i for i, p in enumerate(packets) if tick_of(p) >= undecided), len(packets))
        piece = PacketRun(packets[:cut], set(), self._run.starts, ends=False)
        piece.wanted = self._run.wanted.intersection(map(tick_of, piece.packets))
        self._run = PacketRun(packets[cut:], self._run.wanted - piece.wanted, starts=False)
        self._keyframe = None
        self._bytes = sum(p.size for p in self._run.packets)
        return piece
