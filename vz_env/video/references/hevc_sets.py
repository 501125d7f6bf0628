"""HEVC's sets of references: which pictures are kept for a picture, and which of them it may use.

Written, as its neighbours here, after ITU-T H.265 (v10), sections 7.3 and 8.3. Only what plain encoders write is
understood: profiles Main and Main 10, one layer, no long-term references, no reordered lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bits import Bits, UnknownSyntax, ue

__all__ = ["ReferenceSet"]


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
        words = [ue(len(self.before)), ue(len(self.after))]
        for entries in (self.before, self.after):
            last = 0
            for delta, is_used in entries:
                words.append(ue(abs(delta - last) - 1) + ("1" if is_used else "0"))
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
