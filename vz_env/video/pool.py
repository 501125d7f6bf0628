"""A bounded pool of open readers: opening costs more than most reads, and an open reader costs memory and a handle."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .access import FileIdentity, resolve_video
from .limits import DecodeLimits

__all__ = ["ReaderPool"]


class _Closable(Protocol):
    @property
    def is_closed(self) -> bool: ...


_Reader = TypeVar("_Reader", bound=_Closable)


class ReaderPool(Generic[_Reader]):
    """Open readers by file identity, the least recently used dropped first. Thread-safe.

    A dropped reader closes when its last user lets go of it, so nobody's reader is closed under his hands.

    Args:
        make: opens a reader for an absolute path.
        max_readers: most readers that the pool itself keeps open.
    """

    def __init__(self, make: Callable[[str], _Reader], *, max_readers: int) -> None:
        """Start empty."""
        self._make, self._max_readers = make, max_readers
        self._readers: OrderedDict[FileIdentity, _Reader] = OrderedDict()
        self._lock = threading.Lock()
        self._inherited: list[object] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def get(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        limits: DecodeLimits | None = None,
    ) -> _Reader:
        """Return an open reader of a file, checked against its root on every call."""
        identity = resolve_video(path, root, limits)
        with self._lock:
            reader = self._readers.get(identity)
            if reader is not None and not reader.is_closed:
                self._readers.move_to_end(identity)
                return reader
        opened = self._make(identity.path)  # outside the lock: a slow file must not hold up the others
        dropped: list[_Reader] = []
        with self._lock:
            present = self._readers.get(identity)
            if present is not None and not present.is_closed:
                return present
            self._readers[identity] = opened
            while len(self._readers) > self._max_readers:
                dropped.append(self._readers.popitem(last=False)[1])
        return opened

    def clear(self) -> None:
        """Drop every reader."""
        with self._lock:
            dropped = list(self._readers.values())
            self._readers.clear()
        del dropped

    def __len__(self) -> int:
        """Number of readers the pool keeps open."""
        return len(self._readers)

    def _forget(self) -> None:
        """In a forked child, start afresh: an inherited reader shares its file position with the parent's."""
        # Kept alive on purpose: closing one would take locks that another thread of the parent may have held.
        self._inherited.append(self._readers)
        self._readers = OrderedDict()
        self._lock = threading.Lock()
