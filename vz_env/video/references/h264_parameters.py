"""H.264's parameter sets: what the heads of slices cannot be read without.

Written, as its neighbours here, after ITU-T H.264 (v14), sections 7.3 and 8.2. Only what plain encoders write is
understood: whole frames (no fields), CABAC, order counts of type 0, no gaps between frame numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .bits import Bits, UnknownSyntax, without_escapes

__all__ = ["PictureParameters", "SequenceParameters"]

_WITH_CHROMA: Final = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Profiles that say how chroma is sampled; the others are 4:2:0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceParameters:
    """What slices need of a sequence parameter set."""

    number_bits: int
    order_bits: int
    most_references: int
    has_chroma: bool

    @classmethod
    def read(cls, unit: bytes) -> tuple[int, SequenceParameters]:
        """Read the unit of type 7, header included (7.3.2.1.1); its number, and what it says."""
        bits = Bits(without_escapes(unit[1:]))
        profile = bits.u(8)
        bits.u(16)
        number, chroma = bits.ue(), 1
        if profile in _WITH_CHROMA:
            chroma = bits.ue()
            if chroma > 2:
                raise UnknownSyntax("4:4:4")
            bits.skip_ue(2)
            bits.u(1)
            if bits.flag():
                _skip_scaling_lists(bits)
        number_bits = bits.ue() + 4
        if bits.ue():
            raise UnknownSyntax("order counts of another type")
        order_bits, most_references = bits.ue() + 4, bits.ue()
        if bits.flag():
            raise UnknownSyntax("gaps between frame numbers")
        bits.skip_ue(2)
        if not bits.flag():
            raise UnknownSyntax("fields")
        return number, cls(
            number_bits=number_bits,
            order_bits=order_bits,
            most_references=max(1, most_references),
            has_chroma=chroma != 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureParameters:
    """What slices need of a picture parameter set."""

    sequence: int
    has_order_difference: bool
    default_counts: tuple[int, int]
    has_weights: tuple[bool, bool]
    has_filter: bool

    @classmethod
    def read(cls, unit: bytes) -> tuple[int, PictureParameters]:
        """Read the unit of type 8, header included (7.3.2.2); its number, and what it says."""
        bits = Bits(without_escapes(unit[1:]))
        number, sequence = bits.ue(), bits.ue()
        if not bits.flag():
            raise UnknownSyntax("CAVLC")
        has_order_difference = bits.flag()
        if bits.ue():
            raise UnknownSyntax("groups of slices")
        default_counts = bits.ue() + 1, bits.ue() + 1
        has_weights = bits.flag(), bits.u(2) == 1
        for _ in range(3):
            bits.se()
        has_filter = bits.flag()
        bits.u(1)
        if bits.flag():
            raise UnknownSyntax("redundant pictures")
        return number, cls(
            sequence=sequence,
            has_order_difference=has_order_difference,
            default_counts=default_counts,
            has_weights=has_weights,
            has_filter=has_filter,
        )


def _skip_scaling_lists(bits: Bits) -> None:
    """Read over the scaling lists (7.3.2.1.1.1)."""
    for index in range(8):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.se() + 256) % 256
            last = following or last
