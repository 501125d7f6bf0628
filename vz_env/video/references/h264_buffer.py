"""The frames that H.264 keeps: how the lists of a slice name them (8.2.4), and when they are forgotten (8.2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .bits import UnknownSyntax
from .h264_slices import Command, SliceHead

__all__ = ["FrameBuffer", "KeptFrame"]


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame that later ones may refer to.

    Attributes:
        position: of its packet in the run.
        number: how many frames were kept before it since the last instant refresh.
        order: its order count.
    """

    position: int
    number: int
    order: int


@dataclass(slots=True)
class FrameBuffer:
    """What is kept, at a moment of the decoding.

    Attributes:
        frames: the frames, in the order in which they were decoded.
        count: frames that were kept since the last instant refresh.
    """

    frames: list[KeptFrame] = field(default_factory=list)
    count: int = 0

    def referred(self, head: SliceHead, order: int) -> tuple[list[KeptFrame], list[KeptFrame]]:
        """The lists of a slice whose picture has this order count; places that nothing stands at are left out."""
        if head.counts == (0, 0):
            return [], []
        usual = self._usual_of_p() if not head.counts[1] else self._usual_of_b(order)
        first, second = (
            self._modified(list_, steps, count, head)
            for list_, steps, count in zip(usual, head.steps, head.counts, strict=True)
        )
        return first, second

    def _usual_of_p(self) -> tuple[list[KeptFrame], list[KeptFrame]]:
        """The last frame kept comes first (8.2.4.2.1)."""
        return self.frames[::-1], []

    def _usual_of_b(self, order: int) -> tuple[list[KeptFrame], list[KeptFrame]]:
        """The nearest frames shown earlier, then those shown later; and the other way round (8.2.4.2.3)."""
        by_order = sorted(self.frames, key=lambda frame: frame.order)
        earlier = [frame for frame in by_order if frame.order < order][::-1]
        later = [frame for frame in by_order if frame.order > order]
        first, second = earlier + later, later + earlier
        if first == second and len(second) > 1:
            second[:2] = second[1::-1]
        return first, second

    def _modified(
        self, usual: Sequence[KeptFrame], steps: Sequence[Command], count: int, head: SliceHead
    ) -> list[KeptFrame]:
        """A list as the slice changes it (8.2.4.3.1)."""
        list_, number = list(usual[:count]), self.count
        period = 1 << head.sequence.number_bits
        by_number = {frame.number % period: frame for frame in self.frames}
        for place, step in enumerate(steps):
            number += step
            frame = by_number.get(number % period)
            if frame is None or place > len(list_):
                raise UnknownSyntax("a reference that is not there")
            list_ = [*list_[:place], frame, *(other for other in list_[place:] if other != frame)]
        return list_[:count]

    def take_in(self, head: SliceHead, position: int, order: int) -> None:
        """Keep a frame that was decoded, if it is to be kept, and forget what is to be forgotten."""
        if head.is_instant:
            self.frames, self.count = [], 0
        if not head.is_kept:
            return
        if head.forgotten is not None:
            gone = {self.count - back for back in head.forgotten}
            if not gone <= {frame.number for frame in self.frames}:
                raise UnknownSyntax("a frame to be forgotten that is not there")
            self.frames = [frame for frame in self.frames if frame.number not in gone]
        elif len(self.frames) >= head.sequence.most_references:
            self.frames = self.frames[1:]
        if len(self.frames) >= head.sequence.most_references:
            raise UnknownSyntax("more frames kept than there is room for")
        self.frames = [*self.frames, KeptFrame(position, self.count, order)]
        self.count += 1
