"""HEVC's parameter sets: what the heads of slices cannot be read without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .bits import Bits, UnknownSyntax, without_escapes
from .hevc_sets import ReferenceSet

__all__ = ["PictureParameters", "SequenceParameters"]

_PLAIN_PROFILES: Final = frozenset({1, 2})
MOST_SETS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceParameters:
    """What slices need of a sequence parameter set."""

    has_sub_layers: bool
    order_bits: int
    address_bits: int
    has_chroma: bool
    has_offsets: bool
    has_long_term: bool
    has_motion_of_time: bool
    sets: list[ReferenceSet]

    @classmethod
    def read(cls, unit: bytes) -> tuple[int, SequenceParameters]:
        """Read the unit of type 33, header included (7.3.2.2); its number, and what it says."""
        bits = Bits(without_escapes(unit[2:]))
        bits.u(4)
        layers = bits.u(3)
        bits.u(1)
        _skip_profile(bits, layers)
        number, chroma = bits.ue(), bits.ue()
        if chroma > 2:
            raise UnknownSyntax("4:4:4")
        width, height = bits.ue(), bits.ue()
        if bits.flag():
            bits.skip_ue(4)
        bits.skip_ue(2)
        order_bits = bits.ue() + 4
        bits.skip_ue(3 * (layers + 1 if bits.flag() else 1))
        block = 1 << (bits.ue() + 3 + bits.ue())
        bits.skip_ue(4)
        if bits.flag() and bits.flag():
            _skip_scaling_lists(bits)
        bits.u(1)
        has_offsets = bits.flag()
        if bits.flag():
            bits.u(8)
            bits.skip_ue(2)
            bits.u(1)
        count = bits.ue()
        if count > MOST_SETS:
            raise UnknownSyntax("more sets than there can be")
        sets: list[ReferenceSet] = []
        for index in range(count):
            sets.append(ReferenceSet.read(bits, index, sets))
        has_long_term = bits.flag()
        if has_long_term and bits.ue():
            raise UnknownSyntax("long-term references")
        blocks = -(-width // block) * -(-height // block)
        return number, cls(
            has_sub_layers=layers > 0,
            order_bits=order_bits,
            address_bits=(blocks - 1).bit_length(),
            has_chroma=chroma != 0,
            has_offsets=has_offsets,
            has_long_term=has_long_term,
            has_motion_of_time=bits.flag(),
            sets=sets,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureParameters:
    """What slices need of a picture parameter set."""

    sequence: int
    has_dependent_slices: bool
    has_output_flag: bool
    extra_bits: int
    has_cabac_init: bool
    default_counts: tuple[int, int]
    has_chroma_qp: bool
    has_weights: tuple[bool, bool]
    has_entry_points: bool
    filters_across_slices: bool
    may_override_filter: bool
    filter_is_off: bool
    has_extension: bool

    @classmethod
    def read(cls, unit: bytes) -> tuple[int, PictureParameters]:
        """Read the unit of type 34, header included (7.3.2.3); its number, and what it says."""
        bits = Bits(without_escapes(unit[2:]))
        number, sequence = bits.ue(), bits.ue()
        has_dependent_slices, has_output_flag, extra_bits = bits.flag(), bits.flag(), bits.u(3)
        bits.u(1)
        has_cabac_init, default_counts = bits.flag(), (bits.ue() + 1, bits.ue() + 1)
        bits.se()
        bits.u(2)
        if bits.flag():
            bits.ue()
        bits.skip_ue(2)
        has_chroma_qp, has_weights = bits.flag(), (bits.flag(), bits.flag())
        bits.u(1)
        has_tiles, has_waves = bits.flag(), bits.flag()
        if has_tiles:
            raise UnknownSyntax("tiles")
        filters_across_slices = bits.flag()
        may_override_filter = filter_is_off = False
        if bits.flag():
            may_override_filter, filter_is_off = bits.flag(), bits.flag()
            bits.skip_ue(0 if filter_is_off else 2)
        if bits.flag():
            _skip_scaling_lists(bits)
        if bits.flag():
            raise UnknownSyntax("reordered lists")
        bits.ue()
        return number, cls(
            sequence=sequence,
            has_dependent_slices=has_dependent_slices,
            has_output_flag=has_output_flag,
            extra_bits=extra_bits,
            has_cabac_init=has_cabac_init,
            default_counts=default_counts,
            has_chroma_qp=has_chroma_qp,
            has_weights=has_weights,
            has_entry_points=has_waves,
            filters_across_slices=filters_across_slices,
            may_override_filter=may_override_filter,
            filter_is_off=filter_is_off,
            has_extension=bits.flag(),
        )


def _skip_profile(bits: Bits, layers: int) -> None:
    """Read over profile, tier and level (7.3.3); only plain profiles have no extensions of what follows."""
    bits.u(3)
    if bits.u(5) not in _PLAIN_PROFILES:
        raise UnknownSyntax("a profile other than Main and Main 10")
    bits.u(32 + 48 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)


def _skip_scaling_lists(bits: Bits) -> None:
    """Read over the scaling lists (7.3.4)."""
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.flag():
                bits.ue()
                continue
            for _ in range(min(64, 1 << (4 + 2 * size)) + (size > 1)):
                bits.se()
