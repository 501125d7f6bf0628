"""A small cache of values by key: the ones used last, for any thread, and in forked children too."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["RecentCache"]

Value = TypeVar("Value")


class RecentCache(Generic[Value]):
    """A thread-safe cache of the `max_entries` values used last."""

    def __init__(self, max_entries: int) -> None:
        """Start empty."""
        self.max_entries = max_entries
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock, and is not there to let go of it."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many values are held."""
        return len(self._entries)

    def get(self, key: Hashable) -> Value | None:
        """The value, or None when it is not held."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Hold a value, and let go of the one not used for longest."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
