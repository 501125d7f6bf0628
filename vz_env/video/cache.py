"""One bounded cache of decoded pictures for the whole process, shared by every reader and every environment.

Rollouts of one question look at the same places of the same video, so most frames are asked for many times. A picture
is kept under (file identity, size, its own presentation tick) and handed out as the same read-only array.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["CacheMetrics", "FrameCache", "frame_cache"]

DEFAULT_MAX_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class CacheMetrics:
    """How a cache has been doing since it was made."""

    hits: int
    misses: int
    evictions: int
    frames: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """Hits over look-ups, 0.0 before the first look-up."""
        return self.hits / max(1, self.hits + self.misses)


class FrameCache:
    """Least-recently-used pictures, bounded by their bytes, safe to use from any thread.

    Args:
        max_bytes: most bytes of pixels to keep; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Start empty."""
        if max_bytes < 0:
            raise ConfigError(f"max_bytes must be at least 0, got {max_bytes}")
        self.max_bytes = max_bytes
        self._frames: OrderedDict[Hashable, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = self._hits = self._misses = self._evictions = 0

    def get(self, key: Hashable) -> NDArray[np.uint8] | None:
        """Return the picture kept under a key, or None; either way it counts in the metrics."""
        with self._lock:
            frame = self._frames.get(key)
            if frame is None:
                self._misses += 1
                return None
            self._hits += 1
            self._frames.move_to_end(key)
            return frame

    def put(self, key: Hashable, frame: NDArray[np.uint8]) -> None:
        """Keep a picture, dropping the ones unused for longest; one larger than the whole cache is not kept."""
        frame.setflags(write=False)
        if frame.nbytes > self.max_bytes:
            return
        with self._lock:
            replaced = self._frames.pop(key, None)
            self._bytes += frame.nbytes - (replaced.nbytes if replaced is not None else 0)
            self._frames[key] = frame
            while self._bytes > self.max_bytes:
                _, dropped = self._frames.popitem(last=False)
                self._bytes -= dropped.nbytes
                self._evictions += 1

    def clear(self) -> None:
        """Drop every picture; the counters go on."""
        with self._lock:
            self._frames.clear()
            self._bytes = 0

    @property
    def metrics(self) -> CacheMetrics:
        """A snapshot of the counters."""
        with self._lock:
            return CacheMetrics(self._hits, self._misses, self._evictions, len(self._frames), self._bytes)

    def renew_lock(self) -> None:
        """Take a fresh lock in a forked child: another thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show how full it is."""
        metrics = self.metrics
        return f"FrameCache({metrics.frames} frames, {metrics.bytes / 2**20:.1f} of {self.max_bytes / 2**20:.0f} MiB)"


_SHARED = FrameCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SHARED.renew_lock)


def frame_cache() -> FrameCache:
    """Return the one cache of this process."""
    return _SHARED
