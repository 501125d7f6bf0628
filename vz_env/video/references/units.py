"""NAL units: out of a stream's header, out of its packets and back; and the parameter sets among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar, cast

import av

from ..index import VideoPacket
from .bits import UnknownSyntax

__all__ = ["ParameterSets", "UnitLayout", "between_codes", "counted_units", "packet_of"]

_CODE: Final = b"\0\0\0\1"

S = TypeVar("S")
P = TypeVar("P")
T = TypeVar("T")
Reader: TypeAlias = Callable[[bytes], tuple[int, T]]
"""From a unit to the number of the parameter set in it, and what it says."""


@dataclass(frozen=True, slots=True)
class UnitLayout:
    """How units stand in the packets of a stream.

    Attributes:
        length_bytes: of the number before each unit that says how long it is (mp4, mkv); 0: units stand between start
            codes (mpegts).
        least: bytes that a unit has at least.
    """

    length_bytes: int
    least: int

    def split(self, data: bytes) -> list[bytes]:
        """The units of a packet.

        Raises:
            UnknownSyntax: they do not fit into it.
        """
        if not self.length_bytes:
            return between_codes(data, self.least)
        units, position = [], 0
        while position < len(data):
            start = position + self.length_bytes
            position = start + int.from_bytes(data[position:start], "big")
            if position > len(data) or position - start < self.least:
                raise UnknownSyntax("units that do not fit into their packet")
            units.append(data[start:position])
        return units

    def packet(self, units: Sequence[bytes], like: VideoPacket) -> VideoPacket:
        """A packet of these units, at the time of another."""
        codes = (len(unit).to_bytes(self.length_bytes, "big") if self.length_bytes else _CODE for unit in units)
        return packet_of(b"".join(code + unit for code, unit in zip(codes, units, strict=True)), like)


@dataclass(frozen=True, slots=True)
class ParameterSets(Generic[S, P]):
    """The parameter sets in a stream's header.

    Attributes:
        known: their units.
        sequences: of sequences, by number.
        pictures: of pictures, by number.
    """

    known: frozenset[bytes]
    sequences: Mapping[int, S]
    pictures: Mapping[int, P]

    @classmethod
    def read(
        cls,
        units: Sequence[bytes],
        kind: Callable[[bytes], int],
        sequence: tuple[int, Reader[S]],
        picture: tuple[int, Reader[P]],
    ) -> ParameterSets[S, P]:
        """Read the parameter sets among some units.

        Args:
            units: of a stream's header.
            kind: tells the type of a unit.
            sequence: the type of a sequence's, and what reads its unit.
            picture: the same of a picture's.

        Raises:
            UnknownSyntax: there are none of pictures, several of one number, or one is not understood.
        """
        (of_sequence, read_sequence), (of_picture, read_picture) = sequence, picture
        known = frozenset(unit for unit in units if kind(unit) in (of_sequence, of_picture))
        sequences = dict(read_sequence(unit) for unit in known if kind(unit) == of_sequence)
        pictures = dict(read_picture(unit) for unit in known if kind(unit) == of_picture)
        if len(known) > len(sequences) + len(pictures) or not pictures:
            raise UnknownSyntax("no parameters, or several of one number")
        return cls(known, sequences, pictures)


def packet_of(data: bytes, like: VideoPacket) -> VideoPacket:
    """A packet of these bytes, at the time of another."""
    packet = cast(VideoPacket, av.Packet(data))
    packet.pts, packet.dts, packet.time_base = like.pts, like.dts, like.time_base
    return packet


def between_codes(data: bytes, least: int) -> list[bytes]:
    """The units after start codes; zeros before a start code belong to none."""
    return [unit for piece in data.split(b"\0\0\1")[1:] if len(unit := piece.rstrip(b"\0")) >= least]


def counted_units(data: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """So many units with lengths of two bytes, as headers hold them, and where they end."""
    units = []
    for _ in range(count):
        length = int.from_bytes(data[position : position + 2], "big")
        units.append(data[position + 2 : position + 2 + length])
        position += 2 + length
    return units, position
