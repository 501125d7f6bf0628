"""What finding references has in common for all codecs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..index import VideoPacket
from .bits import UnknownSyntax

__all__ = ["ReferenceFinder", "counted_on"]


class ReferenceFinder(ABC):
    """Finds references by what the slices of a stream say. Threads may share it."""

    def choose(self, packets: Sequence[VideoPacket], wanted: set[int]) -> list[VideoPacket] | None:
        """The packets of a run that its wanted pictures are made from, in order; None when that cannot be told.

        Args:
            packets: from a keyframe on, in decode order.
            wanted: presentation ticks.
        """
        try:
            return self._choose(packets, wanted)
        except (UnknownSyntax, IndexError, KeyError):
            return None

    @abstractmethod
    def _choose(self, packets: Sequence[VideoPacket], wanted: set[int]) -> list[VideoPacket] | None:
        """The same; what is not understood may be raised."""


def counted_on(before: int, low: int, period: int) -> int:
    """The order count nearest to the one before, of which only the low part is told."""
    base = before - before % period
    here = before % period
    if low < here and here - low >= period // 2:
        return base + period + low
    if low > here and low - here > period // 2:
        return base - period + low
    return base + low
