"""Heads of H.264 slices: what one says of its references, and the same slice for a stream with fewer pictures.

Reference frames are numbered one after the other, and lists of references name them by how far their numbers lie apart.
So where pictures are left out, the number, the lists and what is to be forgotten are written anew in those that stay;
what a slice decodes to does not depend on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .bits import Bits, UnknownSyntax, ue, without_escapes
from .h264_parameters import PictureParameters, SequenceParameters

__all__ = ["Command", "SliceHead"]

HEAD_BYTES: Final = 256
"""More than a head takes; only so much of a slice is looked at."""

_P, _B, _I = 0, 1, 2
_MOST_PLACES: Final = 32
_BEFORE_ESCAPE: Final = re.compile(rb"\0\0(?=[\0-\3])")

Command = int
"""A step to the next picture of a list, in frame numbers from the one before it, from the slice's own at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHead:
    """The head of one slice.

    Attributes:
        sequence: what holds for the whole stream.
        is_instant: nothing before its picture is referred to from here on.
        is_kept: its picture is kept for others.
        number: how many pictures were kept since the last instant refresh, modulo `1 << sequence.number_bits`.
        order: the low part of its order count.
        order_difference: of its second field, from the first.
        counts: how many places of list 0 and list 1 it uses.
        steps: how its lists differ from the usual ones.
        forgotten: numbers back to the pictures that are no longer kept after this one; None: the oldest, if there is
            no room.
    """

    sequence: SequenceParameters
    is_instant: bool
    is_kept: bool
    number: int
    order: int
    order_difference: int
    counts: tuple[int, int]
    steps: tuple[tuple[Command, ...], tuple[Command, ...]]
    forgotten: tuple[int, ...] | None
    _bits: str
    _number_at: int
    _lists_at: tuple[int, int]
    _forgotten_at: tuple[int, int]
    _over: int

    @classmethod
    def read(
        cls, unit: bytes, sequences: Mapping[int, SequenceParameters], pictures: Mapping[int, PictureParameters]
    ) -> SliceHead:
        """Read a slice's unit, header included (7.3.3).

        Raises:
            UnknownSyntax: something in it is not understood.
        """
        is_instant, is_kept = unit[0] & 0x1F == 5, unit[0] >> 5 & 3 > 0
        bits = Bits(without_escapes(unit[1 : 1 + HEAD_BYTES]))
        bits.ue()
        slice_type = bits.ue() % 5
        if slice_type > _I:
            raise UnknownSyntax("a slice that switches between streams")
        picture = pictures.get(bits.ue())
        sequence = None if picture is None else sequences.get(picture.sequence)
        if picture is None or sequence is None:
            raise UnknownSyntax("parameters that are not there")
        number_at = bits.position
        number = bits.u(sequence.number_bits)
        if is_instant:
            bits.ue()
        order = bits.u(sequence.order_bits)
        order_difference = bits.se() if picture.has_order_difference else 0
        counts = _read_counts(bits, slice_type, picture)
        lists_at = bits.position
        steps = tuple(_read_steps(bits, sequence) if used else () for used in counts)
        lists_over = bits.position
        if slice_type != _I and picture.has_weights[slice_type]:
            _skip_weights(bits, counts, has_chroma=sequence.has_chroma)
        forgotten_at = bits.position
        forgotten = _read_forgotten(bits, is_instant=is_instant) if is_kept else None
        forgotten_over = bits.position
        _skip_rest(bits, picture, is_intra=slice_type == _I)
        over = bits.position
        if "0" in bits.text[over : over + -over % 8]:
            raise UnknownSyntax("the head does not end where it should")
        return cls(
            sequence=sequence,
            is_instant=is_instant,
            is_kept=is_kept,
            number=number,
            order=order,
            order_difference=order_difference,
            counts=counts,
            steps=(steps[0], steps[1]),
            forgotten=forgotten,
            _bits=bits.text[:over],
            _number_at=number_at,
            _lists_at=(lists_at, lists_over),
            _forgotten_at=(forgotten_at, forgotten_over),
            _over=over,
        )

    def written(
        self, unit: bytes, number: int, steps: Sequence[Sequence[Command]], forgotten: Sequence[int] | None
    ) -> bytes:
        """The slice with another number, other lists and other pictures to be forgotten.

        Args:
            unit: that the head was read from.
            number: see the attribute; taken modulo.
            steps: to every picture of its lists, in order.
            forgotten: see the attribute.
        """
        if unit.endswith(b"\0\0\3"):
            raise UnknownSyntax("zeros at the end")
        size = self.sequence.number_bits
        lists = "".join(
            _written_steps(list_steps, size) for used, list_steps in zip(self.counts, steps, strict=True) if used
        )
        is_marked = self.is_kept and not self.is_instant
        marking = _written_forgotten(forgotten) if is_marked else self._bits[slice(*self._forgotten_at)]
        bits = (
            self._bits[: self._number_at]
            + f"{number % (1 << size):0{size}b}"
            + self._bits[self._number_at + size : self._lists_at[0]]
            + lists
            + self._bits[self._lists_at[1] : self._forgotten_at[0]]
            + marking
            + self._bits[self._forgotten_at[1] : self._over]
        )
        bits += "1" * (-len(bits) % 8)
        head = int(bits, 2).to_bytes(len(bits) // 8, "big")
        body = without_escapes(unit[1:])[(self._over + 7) // 8 :]
        return unit[:1] + _BEFORE_ESCAPE.sub(b"\0\0\3", head + body)


def _read_counts(bits: Bits, slice_type: int, picture: PictureParameters) -> tuple[int, int]:
    """Read over how B slices predict; how many places of each list a slice uses."""
    if slice_type == _I:
        return 0, 0
    counts = picture.default_counts
    if slice_type == _B:
        bits.u(1)
    if bits.flag():
        counts = bits.ue() + 1, bits.ue() + 1 if slice_type == _B else 0
    if max(counts) > _MOST_PLACES:
        raise UnknownSyntax("more references than there can be")
    return counts[0], counts[1] if slice_type == _B else 0


def _read_steps(bits: Bits, sequence: SequenceParameters) -> tuple[Command, ...]:
    """Read how a list differs from the usual one (7.3.3.1)."""
    steps: list[Command] = []
    if not bits.flag():
        return ()
    while (kind := bits.ue()) != 3:
        if kind > 1 or len(steps) > _MOST_PLACES:
            raise UnknownSyntax("long-term references")
        size = bits.ue() + 1
        if size > 1 << sequence.number_bits:
            raise UnknownSyntax("a step that is too long")
        steps.append(size if kind else -size)
    return tuple(steps)


def _written_steps(steps: Sequence[Command], number_bits: int) -> str:
    """The same as bits: the same picture again is a step once around."""
    if not steps:
        return "0"
    sizes = [(step > 0, abs(step) or 1 << number_bits) for step in steps]
    return "1" + "".join(ue(int(is_up)) + ue(size - 1) for is_up, size in sizes) + ue(3)


def _skip_weights(bits: Bits, counts: tuple[int, int], *, has_chroma: bool) -> None:
    """Read over the weights of the references (7.3.3.2)."""
    bits.skip_ue(1 + has_chroma)
    for count in counts:
        for _ in range(count):
            for planes in (1, 2)[: 1 + has_chroma]:
                if bits.flag():
                    for _ in range(2 * planes):
                        bits.se()


def _read_forgotten(bits: Bits, *, is_instant: bool) -> tuple[int, ...] | None:
    """Read which pictures are no longer kept (7.3.3.3)."""
    if is_instant:
        bits.u(1)
        if bits.flag():
            raise UnknownSyntax("long-term references")
        return None
    if not bits.flag():
        return None
    forgotten = []
    while kind := bits.ue():
        if kind != 1:
            raise UnknownSyntax("long-term references")
        forgotten.append(bits.ue() + 1)
    return tuple(forgotten)


def _written_forgotten(forgotten: Sequence[int] | None) -> str:
    """The same as bits."""
    return "0" if forgotten is None else "1" + "".join(ue(1) + ue(back - 1) for back in forgotten) + ue(0)


def _skip_rest(bits: Bits, picture: PictureParameters, *, is_intra: bool) -> None:
    """Read over what comes behind: how symbols are coded, quantisation, the filter between blocks."""
    bits.skip_ue(not is_intra)
    bits.se()
    if picture.has_filter and bits.ue() != 1:
        bits.se()
        bits.se()
