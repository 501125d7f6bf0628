"""Open bitstream units (OBU): out of an AV1 stream's header and its packets, and what their heads say of references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .bits import Bits, UnknownSyntax

__all__ = ["FrameHead", "SequenceHead", "Unit", "units_of"]

HEAD_BYTES: Final = 24
"""More than is read of a frame's head."""

_KEY, _INTER, _SWITCH = 0, 1, 3
_SLOTS, _REFERENCES = 8, 7
_BY_FRAME: Final = 2
"""A tool whose use is not settled by the sequence but said by each frame."""
_LEAST_OF_TIER: Final = 8


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a packet.

    Attributes:
        kind: its `obu_type` (6.2.2).
        data: all of it.
        payload: without its header.
    """

    kind: int
    data: bytes
    payload: bytes


def units_of(data: bytes) -> Iterator[Unit]:
    """Yield the units of a packet, or of a stream's header (5.3).

    Raises:
        UnknownSyntax: they do not fit into it, or belong to one of several layers.
    """
    position = 0
    while position < len(data):
        header = data[position]
        if header & 0x85:
            raise UnknownSyntax("no unit, or one of several layers")
        start, size = position + 1, len(data) - position - 1
        if header & 2:
            size, start = _leb128(data, start)
        if start + size > len(data):
            raise UnknownSyntax("units that do not fit into their packet")
        yield Unit(header >> 3, data[position : start + size], data[start : start + size])
        position = start + size


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first (4.10.5), and where it ends."""
    number = 0
    for index, byte in enumerate(data[position : position + 8]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise UnknownSyntax("a size without end")


@dataclass(frozen=True, slots=True)
class SequenceHead:
    """What holds for the whole stream.

    Attributes:
        order_bits: of the order hints; 0: there are none.
        screen_content: whether frames use tools for screen content: 0, 1 or `_BY_FRAME`.
        integer_motion: whether motion is whole pixels where they do: 0, 1 or `_BY_FRAME`.
    """

    order_bits: int
    screen_content: int
    integer_motion: int

    @classmethod
    def read(cls, payload: bytes) -> SequenceHead:
        """Read a unit of type 1 as far as it matters here (5.5.1).

        Raises:
            UnknownSyntax: a still picture, several layers, a decoder model, or numbered frames.
        """
        bits = Bits(payload)
        bits.u(3)
        if bits.u(2):
            raise UnknownSyntax("a still picture")
        _skip_timing(bits)
        _skip_operating_point(bits)
        width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
        bits.u(width_bits + height_bits)
        if bits.flag():
            raise UnknownSyntax("numbered frames")
        bits.u(3 + 4)
        has_order = bits.flag()
        if has_order:
            bits.u(2)
        screen_content = _BY_FRAME if bits.flag() else bits.u(1)
        integer_motion = _BY_FRAME
        if screen_content and not bits.flag():
            integer_motion = bits.u(1)
        return cls(bits.u(3) + 1 if has_order else 0, screen_content, integer_motion)


def _skip_timing(bits: Bits) -> None:
    """Read over how long a frame is (5.5.3)."""
    if not bits.flag():
        return
    bits.u(64)
    if bits.flag():
        bits.ue()
    if bits.flag():
        raise UnknownSyntax("a decoder model")


def _skip_operating_point(bits: Bits) -> None:
    """Read over the one operating point."""
    has_delay = bits.flag()
    if bits.u(5):
        raise UnknownSyntax("several layers")
    bits.u(12)
    if bits.u(5) >= _LEAST_OF_TIER:
        bits.u(1)
    if has_delay and bits.flag():
        bits.u(4)


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What a frame's head says of references.

    Attributes:
        is_shown: the frame is presented at once; the others may be later, by a head that says so.
        shows: the slot whose frame is presented; such a head has no frame of its own.
        refreshed: the slots that keep the frame.
        referred: the slots that the frame is made from.
    """

    is_shown: bool
    shows: int | None = None
    refreshed: frozenset[int] = frozenset()
    referred: frozenset[int] = frozenset()

    @classmethod
    def read(cls, payload: bytes, sequence: SequenceHead) -> FrameHead:
        """Read the unit of a frame or of its head up to its references (5.9.2).

        Raises:
            UnknownSyntax: a switch frame, a frame that says less or more of its references than their slots.
        """
        bits = Bits(payload[:HEAD_BYTES])
        if bits.flag():
            return cls(is_shown=True, shows=bits.u(3))
        kind, is_shown = bits.u(2), bits.flag()
        if not is_shown:
            bits.u(1)
        is_fresh = kind == _KEY and is_shown
        if kind == _SWITCH or (not is_fresh and bits.flag()):
            raise UnknownSyntax("a switch frame, or one that survives losses")
        bits.u(1)
        uses_screen_content = bits.u(1) if sequence.screen_content == _BY_FRAME else sequence.screen_content
        if uses_screen_content and sequence.integer_motion == _BY_FRAME:
            bits.u(1)
        bits.u(1 + sequence.order_bits)
        if kind == _INTER:
            bits.u(3)
        refreshed = (1 << _SLOTS) - 1 if is_fresh else bits.u(_SLOTS)
        return cls(
            is_shown=is_shown,
            refreshed=frozenset(slot for slot in range(_SLOTS) if refreshed >> slot & 1),
            referred=_read_references(bits, sequence) if kind == _INTER else frozenset(),
        )


def _read_references(bits: Bits, sequence: SequenceHead) -> frozenset[int]:
    if sequence.order_bits and bits.flag():
        raise UnknownSyntax("references that follow from the order of all frames kept")
    return frozenset(bits.u(3) for _ in range(_REFERENCES))
