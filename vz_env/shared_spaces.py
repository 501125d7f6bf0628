"""Texts and stacks of frames in memory that processes share: what `AsyncVectorEnv` wants of a space by default.

Importing this module registers it with Gymnasium. Each slot has room for the largest item of its space, behind a header
of three whole numbers: the shape of the item. An item is read when it is asked for; a deep copy of the batch, which
Gymnasium hands out unless it is told not to, is a tuple of items, as without shared memory.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any, Final, overload

import numpy as np
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from numpy.typing import NDArray

from .spaces import FrameStack, Timestamps, Unicode

__all__ = ["SharedBatch"]

_HEADER_BYTES: Final = 3 * 8
_BYTES_A_CHAR: Final = 4  # of UTF-8, at most
_AnySpace = Unicode | FrameStack | Timestamps


class SharedBatch(Sequence[Any]):
    """The latest items of all slots; each is read, and copied, when it is asked for."""

    def __init__(self, read: Callable[[int], Any], slots: int) -> None:
        """Keep how a slot is read."""
        self._read, self._slots = read, slots

    def __len__(self) -> int:
        """Slots."""
        return self._slots

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, index: int | slice) -> Any:
        """The item of one slot, or of some."""
        if isinstance(index, slice):
            return tuple(map(self._read, range(self._slots)[index]))
        return self._read(range(self._slots)[index])

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[Any, ...]:
        """The items as they are now."""
        return tuple(self)


def _item_bytes(space: _AnySpace) -> int:
    """Bytes of a slot without its header, whole numbers of 8."""
    if isinstance(space, Unicode):
        size = space.max_length * _BYTES_A_CHAR
    elif isinstance(space, FrameStack):
        size = space.max_frames * space.max_pixels * 3
    else:
        size = space.max_frames * 8
    return 8 * math.ceil(size / 8)


def _slot(space: _AnySpace, memory: Any, index: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The header of a slot, int64 (3,), and its data, uint8 (bytes,)."""
    size = _HEADER_BYTES + _item_bytes(space)
    data = np.frombuffer(memory.get_obj(), dtype=np.uint8)[index * size : (index + 1) * size]
    return data[:_HEADER_BYTES].view(np.int64), data[_HEADER_BYTES:]


@create_shared_memory.register(Unicode)
@create_shared_memory.register(FrameStack)
@create_shared_memory.register(Timestamps)
def _create(space: _AnySpace, n: int = 1, ctx: Any = multiprocessing) -> Any:
    """Room for an item of each slot."""
    return ctx.Array("B", n * (_HEADER_BYTES + _item_bytes(space)))


@write_to_shared_memory.register(Unicode)
@write_to_shared_memory.register(FrameStack)
@write_to_shared_memory.register(Timestamps)
def _write(space: _AnySpace, index: int, value: Any, shared_memory: Any) -> None:
    """Put an item into its slot."""
    header, data = _slot(space, shared_memory, index)
    if isinstance(space, Unicode):
        value = np.frombuffer(value.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    shape = value.shape[:3]
    header[:] = (*shape, *[0] * (3 - len(shape)))
    raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    data[: len(raw)] = raw


@read_from_shared_memory.register(Unicode)
@read_from_shared_memory.register(FrameStack)
@read_from_shared_memory.register(Timestamps)
def _read(space: _AnySpace, shared_memory: Any, n: int = 1) -> SharedBatch:
    """The items of all slots, to be read later."""

    def read(index: int) -> Any:
        header, data = _slot(space, shared_memory, index)
        count = int(header[0])
        if isinstance(space, Unicode):
            return data[:count].tobytes().decode("utf-8", "surrogatepass")
        if isinstance(space, Timestamps):
            return data[: count * 8].view(np.float64).copy()
        shape = (count, max(1, int(header[1])), max(1, int(header[2])), 3)  # of a slot that nobody wrote yet too
        return data[: math.prod(shape)].reshape(shape).copy()

    return SharedBatch(read, n)
