"""HEVC, as far as it takes to know which pictures a picture refers to: numbers in bits, and sets of references.

Written after ITU-T H.265 (v10), sections 7.3 and 8.3. Only what plain encoders write is understood (profiles Main and
Main 10, one layer, no long-term references, no reordered lists); of everything else `UnknownSyntax` says so, and the
caller decodes without this knowledge. Every head is read up to its alignment bits, which a misreading would miss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Bits", "ReferenceSet", "UnknownSyntax", "without_escapes"]


class UnknownSyntax(Exception):
    """Raised at what is not understood; never leaves `vz_env.video`."""


class Bits:
    """Bits read from the left.

    Args:
        data: without emulation prevention bytes.
    """

    def __init__(self, data: bytes) -> None:
        """Start at the first bit."""
        self.text = bin(int.from_bytes(b"\1" + data, "big"))[3:]
        self.position = 0

    def u(self, count: int) -> int:
        """An unsigned number of so many bits."""
        start, self.position = self.position, self.position + count
        if self.position > len(self.text):
            raise UnknownSyntax("the data end")
        return int(self.text[start : self.position], 2) if count else 0

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        first = self.text.find("1", self.position)
        zeros = first - self.position
        if first < 0 or zeros > 32:
            raise UnknownSyntax("no number here")
        self.position = first
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def without_escapes(data: bytes) -> bytes:
    """Drop the emulation prevention bytes of a NAL unit."""
    return data.replace(b"\0\0\3", b"\0\0")


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """Which pictures are kept for a picture, as (distance in order counts, whether this very picture may use it).

    Attributes:
        before: of pictures shown earlier, the nearest first; distances are negative.
        after: of pictures shown later, the nearest first.
    """

    before: tuple[tuple[int, bool], ...] = ()
    after: tuple[tuple[int, bool], ...] = ()

    def active(self, count_0: int, count_1: int) -> set[int]:
        """Distances of the pictures in the first so many places of list 0 and of list 1 (8.3.4)."""
        earlier = [delta for delta, is_used in self.before if is_used]
        later = [delta for delta, is_used in self.after if is_used]
        return {*(earlier + later)[:count_0], *(later + earlier)[:count_1]}

    def only(self, kept: Callable[[int], bool]) -> ReferenceSet:
        """The set without the distances that are not kept."""
        return ReferenceSet(
            tuple(entry for entry in self.before if kept(entry[0])),
            tuple(entry for entry in self.after if kept(entry[0])),
        )

    def written(self) -> str:
        """Its bits, not predicted from another set (7.3.7)."""
        words = [_ue(len(self.before)), _ue(len(self.after))]
        for entries in (self.before, self.after):
            last = 0
            for delta, is_used in entries:
                words.append(_ue(abs(delta - last) - 1) + ("1" if is_used else "0"))
                last = delta
        return "".join(words)

    @classmethod
    def read(cls, bits: Bits, index: int, known: list[ReferenceSet]) -> ReferenceSet:
        """Read set number `index`; `known` are those of the sequence before it."""
        if index and bits.flag():
            return cls._predicted(bits, index, known)
        counts = bits.ue(), bits.ue()
        if max(counts) > 16:
            raise UnknownSyntax("more references than there can be")
        sides = []
        for count, sign in zip(counts, (-1, 1), strict=True):
            delta, entries = 0, []
            for _ in range(count):
                delta += sign * (bits.ue() + 1)
                entries.append((delta, bits.flag()))
            sides.append(tuple(entries))
        return cls(*sides)

    @classmethod
    def _predicted(cls, bits: Bits, index: int, known: list[ReferenceSet]) -> ReferenceSet:
        """Read a set that is told as a shift of another one (7.4.8)."""
        back = bits.ue() + 1 if index == len(known) else 1
        sign = -1 if bits.flag() else 1
        shift = sign * (bits.ue() + 1)
        if back > index:
            raise UnknownSyntax("predicted from a set that is not there")
        source = known[index - back]
        entries = []
        for delta in (*(delta for delta, _ in (*source.before, *source.after)), 0):
            is_used = bits.flag()
            is_kept = is_used or bits.flag()
            if is_kept and delta + shift:
                entries.append((delta + shift, is_used))
        # Told in the order of the source; kept in the order of distance, which the standard's own loops come to.
        before = sorted((entry for entry in entries if entry[0] < 0), reverse=True)
        return cls(tuple(before), tuple(sorted(entry for entry in entries if entry[0] > 0)))


def _ue(number: int) -> str:
    """An unsigned Exp-Golomb number as bits."""
    digits = bin(number + 1)[2:]
    return "0" * (len(digits) - 1) + digits
