"""A key-value cache that grows in place, so that a decoding step never copies what it already holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

__all__ = ["GrowingCache"]


class _GrowingLayer(DynamicLayer):
    """Keys and values of one layer as views into buffers that double when they are full.

    The stock layer concatenates at every token: with 64 rollouts in flight that copies the whole cache, hundreds of
    megabytes, for each sampled token.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append along the length and return everything held: (batch, heads, length, head size) twice."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_room = self._value_room = key_states[:, :, :0]
        used = self.get_seq_length()
        length = used + key_states.shape[-2]
        self._key_room = _with_room(self._key_room, key_states, used, length)
        self._value_room = _with_room(self._value_room, value_states, used, length)
        self.keys, self.values = self._key_room[:, :, :length], self._value_room[:, :, :length]
        return self.keys, self.values

    def select(self, rows: Tensor) -> None:
        """Keep (or repeat) rows of the batch."""
        used = self.get_seq_length()
        self._key_room, self._value_room = self.keys[rows], self.values[rows]
        self.keys, self.values = self._key_room[:, :, :used], self._value_room[:, :, :used]


def _with_room(room: Tensor, states: Tensor, used: int, length: int) -> Tensor:
    """Write `states` at [used, length) of `room`, moving to a buffer twice as long when it does not fit."""
    if room.shape[-2] < length:
        batch, heads, _, size = states.shape
        wider = torch.empty(batch, heads, max(length, 2 * used), size, dtype=states.dtype, device=states.device)
        wider[:, :, :used] = room[:, :, :used]
        room = wider
    room[:, :, used:length] = states
    return room


class GrowingCache(Cache):
    """One growing layer per model layer; `select` drops or repeats rows of the batch."""

    def __init__(self) -> None:
        """Start empty; layers are added as the model first writes to them."""
        super().__init__(layer_class_to_replicate=_GrowingLayer)

    def select(self, rows: Tensor) -> None:
        """Keep rows by index, in the given order; an index may repeat, which forks that row.

        Args:
            rows: int64 indices into the batch, shape (new batch,).
        """
        for layer in self.layers:
            layer.select(rows)
