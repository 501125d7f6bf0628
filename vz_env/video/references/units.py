"""NAL units: out of a stream's header, out of its packets and back; and the parameter sets among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

import av

from ..index import VideoPacket
from .bits import UnknownSyntax

__all__ = ["ParameterSets", "UnitFrames", "between_codes", "counted_on", "counted_units"]

_CODE: Final = b"\0\0\0\1"

S = TypeVar("S")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class UnitFrames:
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
        data = b"".join(code + unit for code, unit in zip(codes, units, strict=True))
        packet = cast(VideoPacket, av.Packet(data))
        packet.pts, packet.dts, packet.time_base = like.pts, like.dts, like.time_base
        return packet


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
        sequences: Iterable[bytes],
        pictures: Iterable[bytes],
        read_sequence: Callable[[bytes], tuple[int, S]],
        read_picture: Callable[[bytes], tuple[int, P]],
    ) -> ParameterSets[S, P]:
        """Read the units of both kinds.

        Raises:
            UnknownSyntax: there are none of pictures, several of one number, or one is not understood.
        """
        of_sequences, of_pictures = frozenset(sequences), frozenset(pictures)
        found = cls(
            of_sequences | of_pictures, dict(map(read_sequence, of_sequences)), dict(map(read_picture, of_pictures))
        )
        if len(found.known) > len(found.sequences) + len(found.pictures) or not found.pictures:
            raise UnknownSyntax("no parameters, or several of one number")
        return found


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


def counted_on(before: int, low: int, period: int) -> int:
    """The order count nearest to the one before, of which only the low part is told."""
    base = before - before % period
    here = before % period
    if low < here and here - low >= period // 2:
        return base + period + low
    if low > here and low - here > period // 2:
        return base - period + low
    return base + low
