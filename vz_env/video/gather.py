"""Requests that come at the same time are answered by one pass over the file.

Rollouts of one question ask for overlapping stretches of one video within the same few milliseconds. Answered one by
one, each would decode its group of pictures from the keyframe again. So whoever gets the turn answers all who wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError, VideoTimeout
from .crew import POOL_NAME
from .limits import Deadline

__all__ = ["Decode", "Found", "Gathering"]

Found = dict[int, tuple[int, NDArray[np.uint8]]]
"""Requested tick -> (presentation tick of the picture on then, the picture)."""

Decode = Callable[[set[int], tuple[int, int], Deadline], Found]
"""(ticks, size, deadline) -> what is on at every tick."""

GLANCE_SECONDS = 0.001
MOST_GLANCES = 6


@dataclass(slots=True, eq=False)
class _Request:
    ticks: set[int]
    size: tuple[int, int]
    deadline: Deadline
    found: Found | None = None
    is_alone: bool = False


class Gathering:
    """Brings concurrent requests of one video together. Thread-safe.

    Args:
        turn: held by the thread that decodes.
        max_ticks: most ticks of one pass; a single request may be larger.
    """

    def __init__(self, turn: threading.Lock, *, max_ticks: int) -> None:
        """Start with nobody waiting."""
        self._turn, self._max_ticks = turn, max_ticks
        self._guard = threading.Lock()
        self._waiting: list[_Request] = []

    def ask(self, decode: Decode, ticks: set[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Return the pictures on at some ticks, decoded here or by another thread that was decoding anyway.

        Args:
            decode: called with the turn held. Not kept: a reader that its own parts refer to would linger.
            ticks: what is wanted.
            size: (width, height) of the pictures.
            deadline: when to give up.

        Raises:
            VideoError: what decoding these ticks raises; the trouble of other requests is not this one's.
        """
        request = _Request(ticks, size, deadline)
        with self._guard:
            self._waiting.append(request)
        try:
            deadline.wait(lambda seconds: self._turn.acquire(timeout=seconds), "waiting for another call on this video")
        except VideoTimeout:
            with self._guard:
                if request in self._waiting:
                    self._waiting.remove(request)
            raise
        try:
            if request.found is None:
                request.found = self._serve(decode, request)
        finally:
            self._turn.release()
        return request.found

    def _serve(self, decode: Decode, mine: _Request) -> Found:
        """Answer one's own request, and those that wait beside it."""
        if not mine.is_alone and _may_others_come():
            self._let_others_come()
        batch = self._take(mine)
        if len(batch) > 1:
            try:
                union = set().union(*(request.ticks for request in batch))
                found = decode(union, mine.size, mine.deadline)
            except VideoError:
                # One bad place, or too much for one deadline: then each for itself.
                with self._guard:
                    for request in batch:
                        request.is_alone = True
                    self._waiting += [request for request in batch if request is not mine]
            else:
                for request in batch:
                    request.found = {tick: found[tick] for tick in request.ticks}
                return {tick: found[tick] for tick in mine.ticks}
        return decode(mine.ticks, mine.size, mine.deadline)

    def _let_others_come(self) -> None:
        """Wait while requests keep coming: a millisecond or two, far less than decoding a group of pictures twice."""
        count = 0
        for _ in range(MOST_GLANCES):
            if len(self._waiting) == count:
                return
            count = len(self._waiting)
            time.sleep(GLANCE_SECONDS)

    def _take(self, mine: _Request) -> list[_Request]:
        """Take one's own request and the others for pictures of its size, as far as one pass should go."""
        with self._guard:
            if mine in self._waiting:
                self._waiting.remove(mine)
            batch, ticks = [mine], set(mine.ticks)
            for request in list(self._waiting):
                if mine.is_alone or request.is_alone or request.size != mine.size:
                    continue
                if len(ticks | request.ticks) <= self._max_ticks:
                    ticks |= request.ticks
                    batch.append(request)
                    self._waiting.remove(request)
            return batch


def _may_others_come() -> bool:
    """Whether there is another thread that could ask: one that decodes does not."""
    return sum(not thread.name.startswith(POOL_NAME) for thread in threading.enumerate()) > 1
