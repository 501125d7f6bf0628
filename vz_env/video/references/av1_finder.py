"""Which frames of an AV1 run the wanted pictures are made from: the others never reach the decoder.

A frame names the slots that it is made from and those that keep it, and nothing else links it to other frames: its
probabilities, motion and segments come from these slots too. Most serve a few neighbours only, and are not presented
when they are decoded: a packet holds one frame to present, and whatever frames the next ones need::

    packets         [0]  [8 4 2 1]  [2]  [3]  [4]  [6 5]  [6]  [7]  [8]  [16 12 10 9] ...   (8, 4, 2: presented later)
    refers to             0 0 0 0         2        4 4         6         8  8  8  8
                            8 4 2         4        8 6         8           16 12 10
    wanted 7   ->   [0]  [8 4    ]                 [6  ]       [7]

So frames are left out, not packets. The decoder is not told: what is missing is named by nobody who stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ..index import VideoPacket
from .av1_units import FrameHead, SequenceHead, Unit, units_of
from .bits import UnknownSyntax
from .finder import ReferenceFinder
from .units import packet_of

__all__ = ["Av1Finder"]

_SEQUENCE, _HEAD, _TILES, _FRAME = 1, 3, 4, 6
_ACCOMPANYING: Final = frozenset({_SEQUENCE, 2, 5, 15})
"""The sequence's head, delimiters, metadata, padding: whatever of a packet stays, they stay with it."""
_SLOTS: Final = 8
_CONFIGURATION_BYTES: Final = 4


@dataclass(slots=True)
class _Content:
    """What is in one packet.

    Attributes:
        units: each with the number of its frame in the run; None for what belongs to none.
        shown: the frame that is presented.
        shows: the unit that has an earlier frame presented, if there is one.
    """

    units: list[tuple[Unit, int | None]] = field(default_factory=list)
    shown: int | None = None
    shows: Unit | None = None

    def present(self, frame: int | None) -> None:
        """Note what is presented."""
        if frame is None or self.shown is not None:
            raise UnknownSyntax("a packet that presents two frames, or one that is not there")
        self.shown = frame


class _Run:
    """The frames of a run, followed from slot to slot.

    Args:
        header: what the stream's header says of the sequence; the first packet may say it anew, and then that holds.
    """

    def __init__(self, header: bytes) -> None:
        """Nothing is kept in any slot yet."""
        self._known = header
        self._slots: list[int | None] = [None] * _SLOTS
        self.sources: list[list[int]] = []
        """Of each frame: the frames that it is made from."""

    def read(self, packet: VideoPacket) -> _Content:
        """Read the next packet."""
        content, frame = _Content(), None
        for unit in units_of(bytes(packet)):
            if unit.kind in (_HEAD, _FRAME):
                frame = self._read_frame(unit, content)
            elif unit.kind == _SEQUENCE:
                self._take(unit.payload)
            elif unit.kind != _TILES and unit.kind not in _ACCOMPANYING:
                raise UnknownSyntax("a unit of unknown meaning")
            content.units.append((unit, None if unit.kind in _ACCOMPANYING else frame))
        return content

    def _take(self, header: bytes) -> None:
        """Begin with this sequence."""
        if self.sources and header != self._known:
            raise UnknownSyntax("another sequence within a run")
        self._known = header

    @cached_property
    def _sequence(self) -> SequenceHead:
        """What is said of the sequence when its first frame comes."""
        return SequenceHead.read(self._known)

    def _read_frame(self, unit: Unit, content: _Content) -> int | None:
        """Read a frame, or a head that presents one; the number of the frame that the unit belongs to."""
        head = FrameHead.read(unit.payload, self._sequence)
        if head.shows is not None:
            content.present(self._slots[head.shows])
            content.shows = unit
            return None
        number, sources = len(self.sources), [self._slots[slot] for slot in head.referred]
        known = [source for source in sources if source is not None]
        if len(known) < len(sources):
            raise UnknownSyntax("a reference to what came before the run")
        self.sources.append(known)
        for slot in head.refreshed:
            self._slots[slot] = number
        if head.is_shown:
            content.present(number)
        return number


class Av1Finder(ReferenceFinder):
    """Finds references by what the heads of frames say. Immutable, so threads may share it.

    Args:
        extradata: of the stream: `av1C` (mp4, mkv, webm) or plain units.

    Raises:
        UnknownSyntax: the stream is coded in a way that is not understood.
    """

    def __init__(self, extradata: bytes) -> None:
        """Read the head of the sequence."""
        plain = extradata[_CONFIGURATION_BYTES:] if extradata[0] >> 7 else extradata
        headers = {unit.payload for unit in units_of(plain) if unit.kind == _SEQUENCE}
        if len(headers) != 1:
            raise UnknownSyntax("no header of a sequence, or several")
        (self._header,) = headers
        SequenceHead.read(self._header)

    def _choose(self, packets: Sequence[VideoPacket], wanted: set[int]) -> list[VideoPacket] | None:
        run = _Run(self._header)
        contents = [run.read(packet) for packet in packets]
        asked = [packet.pts in wanted for packet in packets]
        needed: set[int] = set()
        left = [content.shown for content, is_asked in zip(contents, asked, strict=True) if is_asked]
        while left:
            frame = left.pop()
            if frame is None:
                raise UnknownSyntax("a packet that presents nothing")
            if frame not in needed:
                needed.add(frame)
                left += run.sources[frame]
        chosen = []
        for packet, content, is_asked in zip(packets, contents, asked, strict=True):
            if is_asked or any(frame in needed for _, frame in content.units):
                chosen.append(_with_only(packet, content, needed, is_asked=is_asked))
        return chosen


def _with_only(packet: VideoPacket, content: _Content, needed: set[int], *, is_asked: bool) -> VideoPacket:
    """The packet with only the needed frames, and presenting an earlier one only when asked to."""
    units = [
        unit
        for unit, frame in content.units
        if frame in needed or unit.kind in _ACCOMPANYING or (is_asked and unit is content.shows)
    ]
    return packet if len(units) == len(content.units) else packet_of(b"".join(unit.data for unit in units), packet)
