"""Where a reader keeps its pictures: the cache in memory, the store on disk, and which picture is on at a tick."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .access import FileIdentity
from .cache import FrameCache
from .frame_store import FrameStore
from .gather import Found

__all__ = ["PictureMemory"]

MAX_KNOWN_TICKS: Final = 1 << 16


class PictureMemory:
    """The pictures of one file that need no decoding.

    Args:
        identity: of the file.
        cache: pictures in memory, shared with other files.
        store: pictures on disk, or None.
    """

    def __init__(self, identity: FileIdentity, cache: FrameCache, store: FrameStore | None) -> None:
        """Start without knowing which picture is on when."""
        self._identity, self._cache, self._store = identity, cache, store
        self._known: OrderedDict[int, int] = OrderedDict()

    def look_up(self, ticks: Iterable[int], size: tuple[int, int], found: Found) -> list[int]:
        """Move what is kept into `found`, and return the ticks of which nothing is."""
        missing = []
        for tick in ticks:
            shown = self._known.get(tick)
            picture = None if shown is None else self._cache.get((self._identity, size, shown))
            if shown is not None and picture is not None:
                found[tick] = (shown, picture)
            elif self._store is not None and (stored := self._store.get(self._identity, size, tick)) is not None:
                found[tick] = stored
                self._remember(tick, size, *stored)
            else:
                missing.append(tick)
        return missing

    def keep(self, fresh: Found, size: tuple[int, int]) -> None:
        """Keep pictures that were just decoded."""
        for tick, (shown, picture) in fresh.items():
            self._remember(tick, size, shown, picture)
            if self._store is not None:
                self._store.put(self._identity, size, tick, shown, picture)

    def _remember(self, tick: int, size: tuple[int, int], shown: int, picture: NDArray[np.uint8]) -> None:
        """Keep a picture in memory, and which one is on at a tick: next time no packet is read."""
        self._cache.put((self._identity, size, shown), picture)
        self._known[tick] = shown
        if len(self._known) > MAX_KNOWN_TICKS:
            self._known.popitem(last=False)
