"""Memory of pictures, from the system and back to it at once.

An allocator keeps what is freed for the thread that asked for it: decoder threads that make and drop pictures of 300 KB
made an overview cost half as much memory again, and a second reader more than the first. Pictures are few and large, so
each gets pages of its own.
"""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAGES_FOR_KEPT", "PAGES_FOR_PASSING", "empty_pixels", "give_back_freed"]

PAGES_FOR_KEPT: Final = 128 << 10
"""Bytes of a picture that is kept for a while. Systems limit how many mappings there are, so small ones get none."""

PAGES_FOR_PASSING: Final = 8 << 20
"""Bytes of a batch that is made anew in every step: fresh pages cost 3 ms for 16 frames, and the allocator has used
ones. An overview is rare and large."""

# Anonymous memory is shared with forked children by default; a process should see its own pictures alone.
_OWN: Final[dict[str, Any]] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def empty_pixels(shape: tuple[int, ...], *, least_bytes: int = PAGES_FOR_KEPT) -> NDArray[np.uint8]:
    """An array to be filled: uint8, contiguous, writable, its values not set.

    Args:
        shape: of the array.
        least_bytes: from this size on it gets pages of its own, which go back to the system when the last array that
            looks into them is gone; a smaller one is the allocator's.
    """
    count = math.prod(shape)
    if count < least_bytes:
        return np.empty(shape, dtype=np.uint8)
    return np.frombuffer(mmap.mmap(-1, count, **_OWN), dtype=np.uint8).reshape(shape)


def give_back_freed() -> None:
    """Have the allocator give back what decoders held until they were dropped; it would keep that for their threads.

    Takes well under a millisecond, and some 50 in a process that freed a million small things. Does nothing where the C
    library has no such function (others than glibc).
    """
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # no such function, or no such way to ask for it (Windows)
        return lambda spare: None
    function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
    return cast(Callable[[int], object], function)
