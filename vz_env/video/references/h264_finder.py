"""Which packets of an H.264 run the wanted pictures are made from: the others never reach the decoder.

    decode order    I0  P4  B2  b1  b3  P8  B6  b5  b7  P12 ...
    refers to           I0  0,4 0,2 2,4 P4  4,8 4,6 6,8 P8
    wanted b7   ->  I0  P4              P8  B6      b7

The frames that stay are numbered anew and told what to refer to and what to forget (`h264_slices`), so the decoder
finds all that it is told of, and says as before when something is missing or damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ..index import VideoPacket
from .bits import UnknownSyntax
from .finder import ReferenceFinder, counted_on
from .h264_buffer import FrameBuffer, KeptFrame
from .h264_parameters import PictureParameters, SequenceParameters
from .h264_slices import Command, SliceHead
from .units import ParameterSets, UnitLayout, between_codes, counted_units

__all__ = ["H264Finder"]

_SLICES: Final = frozenset({1, 5})
_PLAIN: Final = frozenset({6, 7, 8, 9, 12})
_SEQUENCE, _PICTURE = 7, 8
_LEAST: Final = 2  # bytes of a unit
_TRIAL, _WORTH_IT = 200, 0.05
"""Of so many frames that were neither keyframes nor wanted, at least such a share must have been left out, or reading
heads is not worth it: where every frame refers to many others, none can be."""


@dataclass(slots=True)
class _Picture:
    """One packet of a run.

    Attributes:
        heads: of its NAL units, None for those that are no slices.
        order: its order count.
        lists: the two lists of each slice.
        before: what is kept when it is decoded.
        after: what is kept then.
    """

    heads: list[SliceHead | None]
    order: int
    lists: list[tuple[list[KeptFrame], list[KeptFrame]]]
    before: FrameBuffer
    after: list[KeptFrame]

    @property
    def head(self) -> SliceHead:
        """Of its first slice."""
        return next(head for head in self.heads if head is not None)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a picture's slices are to say: see `SliceHead.written`; the steps of each slice."""

    number: int
    steps: list[list[list[Command]]]
    forgotten: list[int] | None


class H264Finder(ReferenceFinder):
    """Finds references by what the slices of a stream say. Threads may share it: a race loses a count, no more.

    Args:
        extradata: of the stream: `avcC` (mp4, mkv) or units with start codes (mpegts).

    Raises:
        UnknownSyntax: the stream is coded in a way that is not understood.
    """

    def __init__(self, extradata: bytes) -> None:
        """Read the parameter sets."""
        is_counted = len(extradata) > 6 and extradata[0] == 1
        self._layout = UnitLayout((extradata[4] & 3) + 1 if is_counted else 0, _LEAST)
        units = _units_of_header(extradata) if is_counted else between_codes(extradata, _LEAST)
        self._sets = ParameterSets.read(
            units, _kind, (_SEQUENCE, SequenceParameters.read), (_PICTURE, PictureParameters.read)
        )
        # Frames that were neither keyframes nor wanted, and those of them that were left out.
        self._between = self._spared = 0

    def _choose(self, packets: Sequence[VideoPacket], wanted: set[int]) -> list[VideoPacket] | None:
        if self._between > _TRIAL and self._spared < _WORTH_IT * self._between:
            return None
        pictures = self._read(packets, wanted)
        needed = _needed(pictures, [i for i, packet in enumerate(packets) if packet.pts in wanted])
        self._between += sum(packets[i].pts not in wanted for i in pictures if i)
        self._spared += len(pictures) - len(needed)
        _check_orders([pictures[i] for i in needed])
        changes = _plan_changes(pictures, needed)
        return [self._rewritten(packets[i], pictures[i], change) for i, change in zip(needed, changes, strict=True)]

    def _read(self, packets: Sequence[VideoPacket], wanted: set[int]) -> dict[int, _Picture]:
        """Follow what is kept from packet to packet; those that nobody refers to or wants are left out."""
        pictures: dict[int, _Picture] = {}
        buffer, counted = FrameBuffer(), 0
        for position, packet in enumerate(packets):
            units = self._layout.split(bytes(packet))
            first = next((unit for unit in units if _kind(unit) in _SLICES), None)
            if first is None or any(_kind(unit) not in _SLICES and not self._is_plain(unit) for unit in units):
                raise UnknownSyntax("a packet without a picture, or with units of unknown meaning")
            if not first[0] & 0x60 and packet.pts not in wanted:
                continue
            heads = [
                SliceHead.read(unit, self._sets.sequences, self._sets.pictures) if _kind(unit) in _SLICES else None
                for unit in units
            ]
            slices = [head for head in heads if head is not None]
            head = slices[0]
            if any((each.number, each.order) != (head.number, head.order) for each in slices):
                raise UnknownSyntax("several pictures in a packet")
            if head.is_instant != (position == 0) or head.number != buffer.count % (1 << head.sequence.number_bits):
                raise UnknownSyntax("a run that does not begin with an instant refresh, or frames that are missing")
            order = head.order if head.is_instant else counted_on(counted, head.order, 1 << head.sequence.order_bits)
            if head.is_kept:
                counted = order
            order += min(0, head.order_difference)
            before = FrameBuffer(buffer.frames, buffer.count)
            lists = [before.referred(each, order) for each in slices]
            buffer.take_in(head, position, order)
            pictures[position] = _Picture(heads, order, lists, before, buffer.frames)
        return pictures

    def _rewritten(self, packet: VideoPacket, picture: _Picture, change: _Change | None) -> VideoPacket:
        """The packet as it stands in a stream of the needed pictures alone."""
        if change is None:
            return packet
        lists = iter(change.steps)
        units = [
            unit if head is None else head.written(unit, change.number, next(lists), change.forgotten)
            for unit, head in zip(self._layout.split(bytes(packet)), picture.heads, strict=True)
        ]
        return self._layout.packet(units, packet)

    def _is_plain(self, unit: bytes) -> bool:
        """Whether a unit besides slices changes nothing here: a parameter set must be one of the stream's."""
        return _kind(unit) in _PLAIN and (_kind(unit) not in (_SEQUENCE, _PICTURE) or unit in self._sets.known)


def _needed(pictures: dict[int, _Picture], wanted: list[int]) -> list[int]:
    """Follow the references of the wanted pictures back to where they begin."""
    needed: set[int] = set()
    left = list(wanted)
    while left:
        position = left.pop()
        if position not in needed:
            needed.add(position)
            left += {frame.position for lists in pictures[position].lists for list_ in lists for frame in list_}
    return sorted(needed)


def _check_orders(kept: list[_Picture]) -> None:
    """A decoder counts on from the frames that it gets: it must come to the same orders without the others."""
    counted = 0
    for picture in kept:
        head = picture.head
        order = head.order if head.is_instant else counted_on(counted, head.order, 1 << head.sequence.order_bits)
        if order + min(0, head.order_difference) != picture.order:
            raise UnknownSyntax("orders that cannot be counted without the frames between")
        if head.is_kept:
            counted = order


def _plan_changes(pictures: dict[int, _Picture], needed: list[int]) -> list[_Change | None]:
    """What changes in the needed pictures in a stream of these alone; None for those that stay as they are."""
    number_of: dict[int, int] = {}
    kept: list[int] = []
    changes: list[_Change | None] = []
    for position in needed:
        picture = pictures[position]
        number = len(number_of)
        after = {frame.position for frame in picture.after}
        gone = [other for other in kept if other not in after]
        is_same = kept == [frame.position for frame in picture.before.frames] and number == picture.before.count
        if is_same or picture.head.is_instant:
            changes.append(None)
        else:
            if picture.head.is_kept and not gone and len(kept) >= picture.head.sequence.most_references:
                raise UnknownSyntax("more frames kept than there is room for")
            steps = [[_steps(number, list_, number_of) for list_ in lists] for lists in picture.lists]
            changes.append(_Change(number, steps, [number - number_of[other] for other in gone] or None))
        if picture.head.is_kept:
            kept = [*(other for other in kept if other in after), position]
            number_of[position] = number
    return changes


def _steps(number: int, frames: Sequence[KeptFrame], number_of: dict[int, int]) -> list[Command]:
    """The steps from a frame's own number to that of each frame of a list."""
    numbers = [number, *(number_of[frame.position] for frame in frames)]
    return [after - before for before, after in pairwise(numbers)]


def _kind(unit: bytes) -> int:
    return unit[0] & 0x1F


def _units_of_header(extradata: bytes) -> list[bytes]:
    """The units in an `avcC` (ISO/IEC 14496-15, 5.3.3)."""
    sequences, position = counted_units(extradata, 6, extradata[5] & 0x1F)
    pictures, _ = counted_units(extradata, position + 1, extradata[position])
    return [unit for unit in (*sequences, *pictures) if len(unit) >= _LEAST]
