"""The tiny Llama that trains on two CPU cores, and the random weights that it begins from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

__all__ = ["TinyConfig", "build_tiny_llama"]

_LOOK_BACK_SHARPNESS: Final = 8.0
_MATCH_SHARPNESS: Final = 2.5
_ROPE_THETA: Final = 1e8
_COPY_SCALE: Final = 0.15


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Shape of the tiny Llama; the defaults give about 1.05 M parameters with a vocabulary of 1,600."""

    hidden_size: int = 128
    intermediate_size: int = 384
    num_layers: int = 4
    num_heads: int = 4
    max_length: int = 2048


def build_tiny_llama(
    tokenizer: PreTrainedTokenizerBase, config: TinyConfig | None = None, *, seed: int = 0
) -> LlamaForCausalLM:
    """Build the tiny Llama from random weights.

    Attention starts as a copying machine, after the idea of mimetic initialisation (Trockman and Kolter 2023, arXiv
    2305.09828): heads of the first layer look one to four tokens back, later ones look up equal content. The
    embedding of a number starts as the sum of its digits' (a thousand timestamps share thirty vectors),
    because what the tiny model must learn first is to look numbers up.
    """
    config = config or TinyConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                num_key_value_heads=config.num_heads,
                max_position_embeddings=config.max_length,
                attention_bias=True,
                rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
                tie_word_embeddings=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=None,
            )
        )
        _initialise_for_copying(lm)
        _initialise_numbers(lm, tokenizer)
        return lm


@torch.no_grad()
def _initialise_for_copying(lm: LlamaForCausalLM) -> None:
    """Overwrite attention and embedding weights in place; see `build_tiny_llama`."""
    config = lm.config
    width = config.hidden_size
    # Contents are compared in the pairs of dimensions that hardly rotate over the context, so at any distance alike.
    size = width // config.num_attention_heads
    slow = (_frequencies(config) * config.max_position_embeddings < 1.0).float() * _MATCH_SHARPNESS
    slow = slow.repeat(2 * width // size)[:, None]
    read, written = (torch.linalg.qr(torch.randn(width, width))[0] for _ in range(2))
    for depth, layer in enumerate(lm.model.layers):
        attention = layer.self_attn
        value, content = (torch.linalg.qr(torch.randn(width, width))[0] for _ in range(2))
        query, key, value, output = {
            0: (None, None, read, written),
            1: (_halves(read, content), _halves(written.T, content), value, value.T),
        }.get(depth, (content, content, written.T, read.T))
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            projection.bias.zero_()
        if query is None:
            _look_back(attention, config)
        else:
            attention.q_proj.weight.copy_(query * slow)
            attention.k_proj.weight.copy_(key * slow)
        attention.v_proj.weight.copy_(value)
        attention.o_proj.weight.copy_(output * _COPY_SCALE)
        for projection in (attention.q_proj, attention.k_proj, attention.o_proj):
            projection.weight.add_(torch.randn_like(projection.weight), alpha=0.02)
    lm.model.embed_tokens.weight.normal_(0.0, 0.1)


def _halves(upper: Tensor, lower: Tensor) -> Tensor:
    """The first half of one matrix's rows above the second half of another's: some heads do this, some that."""
    middle = len(upper) // 2
    return torch.cat([upper[:middle], lower[middle:]])


def _frequencies(config: LlamaConfig) -> Tensor:
    """Radians a position by which each pair of a head's dimensions rotates, fastest first: (head size / 2,)."""
    half = config.hidden_size // config.num_attention_heads // 2
    return config.rope_parameters["rope_theta"] ** (-torch.arange(half) / half)


def _look_back(attention: nn.Module, config: LlamaConfig) -> None:
    """Make head h attend to the token h + 1 places back, by position alone.

    A rotary score of two constant vectors depends on their distance only; turning the query's by h + 1 steps puts the
    peak there. The two fastest rotations are enough to single out one place among the nearest ten.
    """
    size = config.hidden_size // config.num_attention_heads
    half = size // 2
    frequencies = _frequencies(config)
    strength = torch.zeros(half)
    strength[:2] = torch.tensor([_LOOK_BACK_SHARPNESS, 0.7 * _LOOK_BACK_SHARPNESS]).sqrt() * size**0.25
    attention.q_proj.weight.zero_()
    attention.k_proj.weight.zero_()
    for head in range(config.num_attention_heads):
        angle = -frequencies * (head + 1)
        rows = slice(head * size, (head + 1) * size)
        attention.k_proj.bias[rows] = torch.cat([strength, torch.zeros(half)])
        attention.q_proj.bias[rows] = torch.cat([strength * torch.cos(angle), strength * torch.sin(angle)])


@torch.no_grad()
def _initialise_numbers(lm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """Overwrite the embeddings of whole numbers and percentages by sums over their digits."""
    embedding = lm.model.embed_tokens.weight
    width = embedding.shape[1]
    for pattern, count, places in (("{}", 1000, 3), (" {}%", 101, 3)):
        digits = torch.randn(places, 10, width) * 0.1 / 1.2
        for number in range(count):
            ids = tokenizer(pattern.format(number), add_special_tokens=False).input_ids
            if len(ids) == 1:
                parts = [digits[place, number // 10**place % 10] for place in range(places)]
                embedding[ids[0]] = torch.stack(parts).sum(0)
