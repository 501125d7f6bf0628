"""One training forward for rows that begin alike: what several rows share is forwarded once.

The rows of a batch form a prefix tree. Samples of one question share its prompt, and after it whatever they did alike:
the same zoom brings the same observation. The tree's tokens are packed into one sequence without padding, each at its
own position in its row; attention runs segment by segment, the queries of a segment over the keys on its path from the
root. Nothing is cached, so gradients flow back into what is shared, summed over the rows that share it, and gradient
checkpointing works. The result is that of forwarding every row alone, up to rounding.

Attention is replaced through transformers' interface for it, so any causal model that goes through that interface with
full attention (Llama, Qwen2, ...) can be packed; `enable_sharing` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["PrefixTree", "enable_sharing"]

_STOCK: Final = "sdpa"
_SHARING: Final = "sdpa_prefix_tree"
_LONG_PATH, _CPU_BLOCK = 2048, 512
"""On a CPU the queries of a segment attend in blocks where its path from the root is longer than that: the kernel works
through what a mask hides, so this saves up to a third. On a GPU more launches would cost more."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of tokens without a fork: those of `row` in [start, stop); `path` are segments from the root to itself."""

    row: int
    start: int
    stop: int
    path: tuple[int, ...]


class PrefixTree:
    """Rows packed by their common prefixes, depth first.

    Attributes:
        rows: (tokens,) a row that holds each packed token.
        columns: (tokens,) its place in that row, which is also its position.
        places: for each row, the packed index of each of its tokens.
    """

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        """Pack rows.

        Args:
            rows: what tells tokens apart, one list a row: ids, or something else where equal ids are not equal inputs.
        """
        self._keys = [np.asarray(row) for row in rows]
        self._segments: list[_Segment] = []
        self._masks: dict[int, Tensor] = {}
        self._grow([index for index, row in enumerate(rows) if len(row)], 0, ())
        self.lengths = [segment.stop - segment.start for segment in self._segments]
        self.rows = torch.cat([torch.full((segment.stop - segment.start,), segment.row) for segment in self._segments])
        self.columns = torch.cat([torch.arange(segment.start, segment.stop) for segment in self._segments])
        self.places = self._find_places()

    def __len__(self) -> int:
        """Number of packed tokens, which is that of distinct prefixes."""
        return len(self.rows)

    def forward_options(self, device: torch.device) -> dict[str, Any]:
        """Arguments that a model's forward of the packed ids (1, tokens) wants, once sharing is enabled."""
        unused = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)  # four dimensions: no causal mask is made
        positions = self.columns[None].to(device)
        return {"position_ids": positions, "attention_mask": unused, "prefix_tree": self, "use_cache": False}

    def _grow(self, chosen: list[int], start: int, path: tuple[int, ...]) -> None:
        """Add the segment that rows with an equal next token share from `start` on, and what follows it."""
        following: dict[Any, list[int]] = {}
        for row in chosen:
            if start < len(self._keys[row]):
                following.setdefault(self._keys[row][start], []).append(row)
        for alike in following.values():
            stop = self._end_of_likeness(alike, start)
            number = len(self._segments)
            self._segments.append(_Segment(alike[0], start, stop, (*path, number)))
            self._grow(alike, stop, (*path, number))

    def _end_of_likeness(self, alike: list[int], start: int) -> int:
        """The first column from `start` on in which the rows differ, or where the shortest ends."""
        stop = min(len(self._keys[row]) for row in alike)
        first = self._keys[alike[0]]
        for row in alike[1:]:
            differs = np.flatnonzero(first[start:stop] != self._keys[row][start:stop])
            stop = start + int(differs[0]) if len(differs) else stop
        return stop

    def _find_places(self) -> list[Tensor]:
        """Follow every row down from the root."""
        begins = np.cumsum([0, *self.lengths])
        at = {
            (segment.path[:-1], self._keys[segment.row][segment.start]): n for n, segment in enumerate(self._segments)
        }
        places = []
        for keys in self._keys:
            parts: list[Tensor] = []
            path: tuple[int, ...] = ()
            while (depth := sum(map(len, parts))) < len(keys):
                number = at[path, keys[depth]]
                path = (*path, number)
                parts.append(torch.arange(begins[number], begins[number + 1]))
            places.append(torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long))
        return places

    def attend(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """Attention of each packed token over the tokens before it in its rows.

        Args:
            query: (1, heads, tokens, head size).
            key: the same with as many or fewer heads.
            value: as `key`.
            options: of torch's `scaled_dot_product_attention`.

        Returns:
            (1, heads, tokens, head size).
        """
        queries, keys, values = (states.split(self.lengths, dim=2) for states in (query, key, value))
        attended = []
        for number, segment in enumerate(self._segments):
            path, before = segment.path, segment.start
            seen = [torch.cat([states[part] for part in path], dim=2) for states in (keys, values)]
            if len(path) == 1:  # the kernel itself leaves out what lies ahead
                attended.append(scaled_dot_product_attention(queries[number], *seen, is_causal=True, **options))
                continue
            mask, length = self._mask(number, query), self.lengths[number]
            block = _CPU_BLOCK if segment.stop > _LONG_PATH and query.device.type == "cpu" else length
            for start in range(0, length, block):
                stop = min(start + block, length)
                part = queries[number][:, :, start:stop]
                ahead = None if mask is None else mask[start:stop, : before + stop]
                reached = (states[:, :, : before + stop] for states in seen)
                attended.append(scaled_dot_product_attention(part, *reached, attn_mask=ahead, **options))
        return torch.cat(attended, dim=2)

    def _mask(self, number: int, like: Tensor) -> Tensor | None:
        """What is added to the scores of a segment, made once for all layers: (length, path length), or None."""
        segment = self._segments[number]
        length = self.lengths[number]
        if length == 1:
            return None
        if number not in self._masks:
            mask = torch.full((length, segment.stop), -torch.inf, dtype=like.dtype, device=like.device)
            self._masks[number] = mask.triu(segment.start + 1)
        return self._masks[number]


def enable_sharing(lm: PreTrainedModel) -> bool:
    """Let a language model forward packed trees, if it can; its other forwards stay what they were.

    Returns:
        Whether `lm(..., prefix_tree=tree)` works: it attends to all that came before, through torch's SDPA.
    """
    config = lm.config.get_text_config()
    if config._attn_implementation == _SHARING:
        return True
    kinds = getattr(config, "layer_types", None)
    is_full = set(kinds) == {"full_attention"} if kinds else getattr(config, "sliding_window", None) is None
    if config._attn_implementation != _STOCK or not is_full:
        return False
    lm.set_attn_implementation(_SHARING)
    return bool(config._attn_implementation == _SHARING)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    prefix_tree: PrefixTree | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The stock SDPA attention, unless the sequence is a packed tree."""
    if prefix_tree is None or query.shape[2] != len(prefix_tree):
        options = {"dropout": dropout, "scaling": scaling, **kwargs}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    shared = prefix_tree.attend(
        query, key, value, dropout_p=dropout, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return shared.transpose(1, 2).contiguous(), None


AttentionInterface.register(_SHARING, _attention)
AttentionMaskInterface.register(_SHARING, sdpa_mask)
