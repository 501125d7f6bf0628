"""Decoding in steps of one shape, compiled: a small model on a GPU spends a step on launching kernels, not on numbers.

A reply is decoded in buffers that keep their shape and their place, so that a step is compiled once and replayed as a
CUDA graph. Between replies the growing cache holds everything as ever: a reply begins by copying it into the buffers,
and ends by copying what is new back. Rows that are missing to the shape are dummies, and columns not yet written are
masked. The buffers stay with the model, so this is for models whose cache is small.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from torch.nn.functional import pad
from transformers import StaticCache
from transformers.cache_utils import StaticLayer

from vz_env.errors import ConfigError

from .kv_cache import GrowingCache
from .model import LanguageModel

__all__ = ["FixedSteps", "fixed_steps"]

_SHORTEST: Final = 512  # columns of the smallest buffers

_steps: Final[WeakKeyDictionary[LanguageModel, FixedSteps]] = WeakKeyDictionary()
"""A model's steps are compiled once, whoever samples from it."""


def fixed_steps(model: LanguageModel) -> FixedSteps:
    """The compiled steps of a model, made when they are first asked for.

    Raises:
        ConfigError: the model is not of a kind that has them.
    """
    if model not in _steps:
        _steps[model] = FixedSteps(model)
    return _steps[model]


class FixedSteps:
    """One token a row through a model, always in buffers of the same shape while they are large enough."""

    def __init__(self, model: LanguageModel) -> None:
        """Nothing is compiled before the first step.

        Raises:
            ConfigError: the model sees frames, or its attention is not SDPA over all that came before.
        """
        config = model.lm.config.get_text_config()
        kinds = {type(layer) for layer in StaticCache(config, max_cache_len=1).layers}
        if model.needs_frames or kinds != {StaticLayer} or not str(config._attn_implementation).startswith("sdpa"):
            raise ConfigError(
                "compiled sampling wants a model of text with full attention through SDPA: leave out --ppo.compile"
            )
        self._model = model.lm.base_model
        # Without a GPU nothing is gained: the same steps, traced and not generated, are there to be held to the truth.
        how = {"mode": "reduce-overhead"} if model.device.type == "cuda" else {"backend": "eager"}
        self._compiled = torch.compile(self._forward, fullgraph=True, dynamic=False, **how)
        self._cache: StaticCache | None = None
        self._rows = self._length = self._begun_at = 0

    def begin(self, cache: GrowingCache, *, tokens: int) -> None:
        """Copy a cache in, before up to `tokens` steps."""
        rows, used = cache.layers[0].keys.shape[0], cache.get_seq_length()
        self._make_room(cache, rows, used + tokens)
        for fixed, grown in zip(self._cache.layers, cache.layers, strict=True):
            fixed.keys[:rows, :, :used] = grown.keys
            fixed.values[:rows, :, :used] = grown.values
            fixed.cumulative_length.fill_(used)
        self._begun_at = used

    def step(self, ids: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """Feed one token a row.

        Args:
            ids: (rows, 1)
            positions: (rows, 1)
            seen: (rows, columns so far, this one included), 1 where a key may be attended to.

        Returns:
            Hidden states (rows, 1, hidden_size); those of a row whose token is not seen mean nothing.

        Raises:
            ConfigError: this torch cannot compile for this machine.
        """
        rows, columns = seen.shape
        mask = torch.zeros(self._rows, 1, 1, self._length, dtype=torch.bool, device=seen.device)
        mask[:rows, 0, 0, :columns] = seen.bool()
        mask[:, :, :, columns - 1] = (
            True  # somewhere to look, for dummies and for rows that rest: no NaN in the buffers
        )
        padding = (0, 0, 0, self._rows - rows)
        try:
            hidden = self._compiled(pad(ids, padding), pad(positions, padding), mask, self._cache)
        except TorchDynamoException as fault:
            reason = str(fault).strip().splitlines()[0]
            raise ConfigError(f"torch.compile fails here: {reason}; leave out --ppo.compile") from fault
        return hidden[:rows].clone()  # a graph writes its next result to the same place

    def end(self, cache: GrowingCache, columns: int) -> None:
        """Copy what is new back; `columns` are those in use by now."""
        new = slice(self._begun_at, columns)
        for number, (fixed, grown) in enumerate(zip(self._cache.layers, cache.layers, strict=True)):
            rows = grown.keys.shape[0]
            cache.update(fixed.keys[:rows, :, new], fixed.values[:rows, :, new], number)

    def _forward(self, ids: Tensor, positions: Tensor, mask: Tensor, cache: StaticCache) -> Tensor:
        given = {"position_ids": positions, "attention_mask": mask, "past_key_values": cache, "use_cache": True}
        return self._model(input_ids=ids, **given).last_hidden_state

    def _make_room(self, cache: GrowingCache, rows: int, length: int) -> None:
        """Buffers in powers of two, larger ones where those at hand are too small: few shapes are ever compiled."""
        if self._cache is not None and rows <= self._rows and length <= self._length:
            return
        self._rows = max(self._rows, 1 << (rows - 1).bit_length())
        self._length = max(self._length, _SHORTEST, 1 << (length - 1).bit_length())
        keys = cache.layers[0].keys
        self._cache = StaticCache(self._model.config.get_text_config(), max_cache_len=self._length)
        self._cache.early_initialization(self._rows, keys.shape[1], keys.shape[3], keys.dtype, keys.device)
