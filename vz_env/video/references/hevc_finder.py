"""Which packets of an HEVC run the wanted pictures are made from: the others never reach the decoder.

Dropping what no picture refers to is easy, it is marked. But most references serve a few neighbours only: every second
picture that x265 writes is kept for the two beside it and for nobody else. Which they are stands in the heads of the
slices::

    decode order    I0  P4  B2  b1  b3  P8  B6  b5  b7  P12 ...
    refers to           I0  0,4 0,2 2,4 P4  4,8 4,6 6,8 P8
    wanted b7   ->  I0  P4              P8  B6      b7

The pictures that stay are told no longer to keep those that are left out (`hevc_slices`), so the decoder finds all that
it is told of, and says as before when something is missing or damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..index import VideoPacket
from .bits import UnknownSyntax
from .finder import ReferenceFinder, counted_on
from .hevc_parameters import PictureParameters, SequenceParameters
from .hevc_slices import SliceHead, order_of_slice
from .units import ParameterSets, UnitLayout, between_codes, counted_units

__all__ = ["HevcFinder"]

_SLICES: Final = frozenset({*range(10), *range(16, 22)})
_INSTANT: Final = range(16, 21)
_NEVER_KEPT: Final = range(0, 16, 2)
_LEADING: Final = range(6, 10)
_SEQUENCE, _PICTURE, _END = 33, 34, (36, 37)
_LEAST: Final = 3  # bytes of a unit

_REFRESH: Final = 1 << 34
"""More than order counts differ by: what lies before an instant refresh is out of reach of what comes after."""


@dataclass(slots=True)
class _Picture:
    """One packet of a run.

    Attributes:
        units: its NAL units.
        order: its order count, counted on from the beginning of the run.
        heads: of its units, None for those that are no slices; empty until they were read.
    """

    units: list[bytes]
    order: int
    heads: list[SliceHead | None]


class HevcFinder(ReferenceFinder):
    """Finds references by what the slices of a stream say. Immutable, so threads may share it.

    Args:
        extradata: of the stream: `hvcC` (mp4, mkv) or units with start codes (mpegts).

    Raises:
        UnknownSyntax: the stream is coded in a way that is not understood.
    """

    def __init__(self, extradata: bytes) -> None:
        """Read the parameter sets."""
        is_counted = len(extradata) > 22 and extradata[0] == 1
        self._layout = UnitLayout((extradata[21] & 3) + 1 if is_counted else 0, _LEAST)
        units = _units_of_header(extradata) if is_counted else between_codes(extradata, _LEAST)
        self._sets = ParameterSets.read(
            units, _kind, (_SEQUENCE, SequenceParameters.read), (_PICTURE, PictureParameters.read)
        )
        self._has_sub_layers = any(sequence.has_sub_layers for sequence in self._sets.sequences.values())

    def _choose(self, packets: Sequence[VideoPacket], wanted: set[int]) -> list[VideoPacket] | None:
        pictures = self._read(packets, wanted)
        needed = sorted(self._needed(pictures, [i for i, packet in enumerate(packets) if packet.pts in wanted]))
        self._check_orders([pictures[i] for i in needed])
        orders = {pictures[i].order for i in needed}
        return [self._rewritten(packets[i], pictures[i], orders) for i in needed]

    def _read(self, packets: Sequence[VideoPacket], wanted: set[int]) -> dict[int, _Picture]:
        """Read every packet up to its order count (8.3.1); those that nobody refers to or wants are left out."""
        pictures: dict[int, _Picture] = {}
        before = 0
        for position, packet in enumerate(packets):
            units = self._layout.split(bytes(packet))
            first = next((unit for unit in units if _kind(unit) in _SLICES), None)
            if first is None:
                raise UnknownSyntax("a packet without a picture")
            if any(unit[0] & 1 or unit[1] >> 3 or _kind(unit) in _END or self._is_new_set(unit) for unit in units):
                raise UnknownSyntax("several layers, or a new sequence within a run")
            if _is_never_kept(first) and not self._has_sub_layers and packet.pts not in wanted:
                continue
            low, period = order_of_slice(first, self._sets.sequences, self._sets.pictures)
            if position == 0 or _kind(first) in _INSTANT:
                order = low + position * _REFRESH
            else:
                order = counted_on(before, low, period)
            if _is_counted_from(first):
                before = order
            pictures[position] = _Picture(units, order, [])
        return pictures

    def _is_new_set(self, unit: bytes) -> bool:
        """Whether it is a parameter set other than those of the stream."""
        return _kind(unit) in (_SEQUENCE, _PICTURE) and unit not in self._sets.known

    def _needed(self, pictures: dict[int, _Picture], wanted: list[int]) -> set[int]:
        """Follow the references of the wanted pictures back to where they begin."""
        at = {picture.order: position for position, picture in pictures.items()}
        needed: set[int] = set()
        left = list(wanted)
        while left:
            position = left.pop()
            if position in needed:
                continue
            needed.add(position)
            picture = pictures[position]
            picture.heads = [
                SliceHead.read(unit, self._sets.sequences, self._sets.pictures) if _kind(unit) in _SLICES else None
                for unit in picture.units
            ]
            for distance in set().union(*(head.active for head in picture.heads if head is not None)):
                source = at[picture.order + distance]
                if source >= position:
                    raise UnknownSyntax("a reference to what comes later")
                left.append(source)
        return needed

    def _check_orders(self, kept: list[_Picture]) -> None:
        """A decoder counts on from the pictures that it gets: it must come to the same orders without the others."""
        before: int | None = None
        for picture in kept:
            first = next(unit for unit in picture.units if _kind(unit) in _SLICES)
            low, period = order_of_slice(first, self._sets.sequences, self._sets.pictures)
            is_new = before is None or _kind(first) in _INSTANT
            if not is_new and before is not None and counted_on(before, low, period) != picture.order:
                raise UnknownSyntax("orders that cannot be counted without the pictures between")
            if _is_counted_from(first):
                before = picture.order

    def _rewritten(self, packet: VideoPacket, picture: _Picture, orders: set[int]) -> VideoPacket:
        """The packet, told to keep only pictures of the given orders."""
        units = [
            unit if head is None else head.with_only(unit, lambda distance: picture.order + distance in orders)
            for unit, head in zip(picture.units, picture.heads, strict=True)
        ]
        return packet if units == picture.units else self._layout.packet(units, packet)


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 0x3F


def _is_never_kept(first: bytes) -> bool:
    """Whether no picture of the same sub-layer refers to the picture of this slice."""
    return _kind(first) in _NEVER_KEPT


def _is_counted_from(first: bytes) -> bool:
    """Whether later pictures count their orders from the picture of this slice."""
    return first[1] & 7 == 1 and _kind(first) not in _LEADING and not _is_never_kept(first)


def _units_of_header(extradata: bytes) -> list[bytes]:
    """The units in an `hvcC` (ISO/IEC 14496-15, 8.3.3)."""
    units, position = [], 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        more, position = counted_units(extradata, position + 3, count)
        units += more
    return [unit for unit in units if len(unit) >= _LEAST]
