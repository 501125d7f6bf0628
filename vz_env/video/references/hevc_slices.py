"""Heads of HEVC slices: which pictures one refers to, and the same slice with fewer pictures kept for it.

A picture is coded with a list of all pictures that are still kept, and refers to the first few of them. A decoder
wants everything on that list to be there. So where pictures are left out that nobody refers to, they are struck off the
lists of those that stay; what a slice decodes to does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .bits import Bits, UnknownSyntax, escaped_length, with_escapes, without_escapes
from .hevc_parameters import PictureParameters, SequenceParameters
from .hevc_sets import ReferenceSet

__all__ = ["SliceHead", "order_of_slice"]

HEAD_BYTES: Final = 1024
"""More than a head takes; only so much of a slice is looked at."""

_B, _P, _I = 0, 1, 2
_IRAP, _IDR = range(16, 24), (19, 20)

Sequences = Mapping[int, SequenceParameters]
Pictures = Mapping[int, PictureParameters]


@dataclass(frozen=True, slots=True)
class SliceHead:
    """The head of one slice.

    Attributes:
        references: what is kept for its picture; None where the slice does not say (instant refresh, or the slice goes
            on with what the one before it said).
        counts: how many places of list 0 and list 1 it uses.
    """

    references: ReferenceSet | None
    counts: tuple[int, int]
    _bits: str
    _at: tuple[int, int, int]
    _set_count: int

    @property
    def active(self) -> set[int]:
        """Distances, in order counts, of the pictures it may refer to."""
        return set() if self.references is None else self.references.active(*self.counts)

    def with_only(self, unit: bytes, kept: Callable[[int], bool]) -> bytes:
        """The slice with only those pictures kept whose distances are; the same bytes where that changes nothing."""
        if self.references is None:
            return unit
        fewer = self.references.only(kept)
        if fewer == self.references:
            return unit
        start, end, over = self._at
        told = "0" + ("0" if self._set_count else "") + fewer.written()
        bits = self._bits[:start] + told + self._bits[end:over] + "1"
        bits += "0" * (-len(bits) % 8)
        head = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return unit[:2] + with_escapes(head) + unit[2 + escaped_length(unit[2 : 2 + 2 * HEAD_BYTES], (over + 8) // 8) :]

    @classmethod
    def read(cls, unit: bytes, sequences: Sequences, pictures: Pictures) -> SliceHead:
        """Read a slice's unit, header included (7.3.6.1).

        Raises:
            UnknownSyntax: something in it is not understood.
        """
        kind = unit[0] >> 1 & 0x3F
        bits = Bits(without_escapes(unit[2 : 2 + HEAD_BYTES]))
        is_first = bits.flag()
        if kind in _IRAP:
            bits.u(1)
        picture, sequence = _parameters(bits.ue(), sequences, pictures)
        if not is_first:
            is_dependent = picture.has_dependent_slices and bits.flag()
            bits.u(sequence.address_bits)
            if is_dependent:
                return cls(None, (0, 0), "", (0, 0, 0), 0)
        bits.u(picture.extra_bits)
        slice_type = bits.ue()
        if slice_type > _I:
            raise UnknownSyntax("an unknown type of slice")
        bits.u(picture.has_output_flag)
        references, start, end = None, 0, 0
        has_motion_of_time = False
        if kind not in _IDR:
            bits.u(sequence.order_bits)
            start = bits.position
            references = _read_references(bits, sequence)
            end = bits.position
            if sequence.has_long_term and bits.ue():
                raise UnknownSyntax("long-term references")
            has_motion_of_time = sequence.has_motion_of_time and bits.flag()
        uses_offsets = [bits.flag() for _ in range((1 + sequence.has_chroma) * sequence.has_offsets)]
        counts = (0, 0)
        if slice_type != _I:
            counts = _read_prediction(bits, slice_type, picture, sequence, has_motion_of_time=has_motion_of_time)
        _skip_filters(bits, picture, uses_offsets)
        _skip_entry_points(bits, picture)
        over = bits.position
        if not bits.flag() or bits.u(-bits.position % 8):
            raise UnknownSyntax("the head does not end where it should")
        return cls(references, counts, bits.text, (start, end, over), len(sequence.sets))


def order_of_slice(unit: bytes, sequences: Sequences, pictures: Pictures) -> tuple[int, int]:
    """The order count of a picture's first slice, and how many counts there are before they begin again."""
    kind = unit[0] >> 1 & 0x3F
    bits = Bits(without_escapes(unit[2:34]))
    if not bits.flag():
        raise UnknownSyntax("a picture that does not begin with its first slice")
    if kind in _IRAP:
        bits.u(1)
    picture, sequence = _parameters(bits.ue(), sequences, pictures)
    bits.u(picture.extra_bits)
    bits.ue()
    bits.u(picture.has_output_flag)
    return (0 if kind in _IDR else bits.u(sequence.order_bits)), 1 << sequence.order_bits


def _parameters(number: int, sequences: Sequences, pictures: Pictures) -> tuple[PictureParameters, SequenceParameters]:
    picture = pictures.get(number)
    sequence = None if picture is None else sequences.get(picture.sequence)
    if picture is None or sequence is None:
        raise UnknownSyntax("parameters that are not there")
    return picture, sequence


def _read_references(bits: Bits, sequence: SequenceParameters) -> ReferenceSet:
    count = len(sequence.sets)
    if not bits.flag():
        return ReferenceSet.read(bits, count, sequence.sets)
    index = bits.u((count - 1).bit_length()) if count else 0
    if index >= count:
        raise UnknownSyntax("a set that is not there")
    return sequence.sets[index]


def _read_prediction(
    bits: Bits, slice_type: int, picture: PictureParameters, sequence: SequenceParameters, *, has_motion_of_time: bool
) -> tuple[int, int]:
    """Read over what P and B slices say of their references; how many places of each list they use."""
    counts = picture.default_counts
    if bits.flag():
        counts = (bits.ue() + 1, bits.ue() + 1 if slice_type == _B else 0)
    counts = (counts[0], counts[1] if slice_type == _B else 0)
    if max(counts) > 16:
        raise UnknownSyntax("more references than there can be")
    bits.u((slice_type == _B) + picture.has_cabac_init)
    if has_motion_of_time:
        is_of_list_0 = slice_type == _P or bits.flag()
        if counts[0 if is_of_list_0 else 1] > 1:
            bits.ue()
    if picture.has_weights[slice_type == _B]:
        _skip_weights(bits, counts, has_chroma=sequence.has_chroma)
    bits.ue()
    return counts


def _skip_weights(bits: Bits, counts: tuple[int, int], *, has_chroma: bool) -> None:
    """Read over the weights of the references (7.3.6.3)."""
    bits.ue()
    if has_chroma:
        bits.se()
    for count in counts:
        of_luma = [bits.flag() for _ in range(count)]
        of_chroma = [has_chroma and bits.flag() for _ in range(count)]
        for luma, chroma in zip(of_luma, of_chroma, strict=True):
            for _ in range(2 * luma + 4 * chroma):
                bits.se()


def _skip_filters(bits: Bits, picture: PictureParameters, uses_offsets: list[bool]) -> None:
    """Read over quantisation and the filters between blocks."""
    for _ in range(1 + 2 * picture.has_chroma_qp):
        bits.se()
    is_off = picture.filter_is_off
    if picture.may_override_filter and bits.flag():
        is_off = bits.flag()
        for _ in range(0 if is_off else 2):
            bits.se()
    if picture.filters_across_slices and (any(uses_offsets) or not is_off):
        bits.u(1)


def _skip_entry_points(bits: Bits, picture: PictureParameters) -> None:
    """Read over where the rows of the slice begin, and over what may come after that."""
    if picture.has_entry_points and (count := bits.ue()):
        bits.u((bits.ue() + 1) * count)
    if picture.has_extension:
        bits.u(8 * bits.ue())
