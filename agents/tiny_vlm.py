"""Tiny vision-language models of random weights, built from configurations: for tests, benchmarks and studies.

Nothing is downloaded. They are Qwen2.5-VL or Qwen3-VL in everything but their size: the same classes of transformers,
the same image processor, the same way of placing frames.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from .vision_model import VisionLanguageModel

__all__ = ["TinyVisionConfig", "add_picture_tokens", "build_tiny_vlm"]

_VISION_START: Final = "<|vision_start|>"
_VISION_END: Final = "<|vision_end|>"
_IMAGE: Final = "<|image_pad|>"
_VIDEO: Final = "<|video_pad|>"
_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyVisionConfig:
    """Shape of a tiny vision-language model.

    An image token covers twice `patch_size` pixels each way; a frame has at most `max_tokens` of them.
    """

    family: Literal["qwen2_5_vl", "qwen3_vl"] = "qwen2_5_vl"
    hidden_size: int = 64
    intermediate_size: int = 128
    num_layers: int = 2
    num_heads: int = 4
    vision_hidden_size: int = 32
    vision_layers: int = 2
    patch_size: int = 14
    max_tokens: int = 4
    max_length: int = 8192
    key_value_heads: int | None = None
    """Half of the heads by default."""
    rope_theta: float = 1e6
    norm_epsilon: float = 1e-6
    plain_positions: bool = False
    """Whether the tokens of a frame that is one row high stand at plain positions, as those of a text do."""


def add_picture_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer with ChatML turns, whose messages may hold pictures."""
    pictured = copy.deepcopy(tokenizer)
    words = [_VISION_START, _VISION_END, _IMAGE, _VIDEO]
    pictured.add_special_tokens({"extra_special_tokens": words}, replace_extra_special_tokens=False)
    pictured.chat_template = _TEMPLATE
    return pictured


def build_tiny_vlm(
    tokenizer: PreTrainedTokenizerBase,
    config: TinyVisionConfig | None = None,
    *,
    seed: int = 0,
    train_vision: bool = False,
    cls: type[VisionLanguageModel] = VisionLanguageModel,
) -> VisionLanguageModel:
    """Build a tiny vision-language model from random weights.

    Args:
        tokenizer: of `train_tokenizer`; the tokens of pictures are added to a copy.
        config: its shape.
        seed: of the weights.
        train_vision: see `VisionLanguageModel`.
        cls: the class to build.
    """
    config = config or TinyVisionConfig()
    pictured = add_picture_tokens(tokenizer)
    token_ids = {
        "image_token_id": pictured.convert_tokens_to_ids(_IMAGE),
        "video_token_id": pictured.convert_tokens_to_ids(_VIDEO),
        "vision_start_token_id": pictured.convert_tokens_to_ids(_VISION_START),
        "vision_end_token_id": pictured.convert_tokens_to_ids(_VISION_END),
    }
    made = {"text_config": _text(config, pictured), "vision_config": _vision(config), **token_ids}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.family == "qwen3_vl":
            lm = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**made))
        else:
            lm = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**made))
    side = 2 * config.patch_size
    size = {"shortest_edge": side**2, "longest_edge": side**2 * config.max_tokens}
    processor = Qwen2VLImageProcessorPil(size=size, patch_size=config.patch_size)
    return cls(lm, pictured, processor, train_vision=train_vision)


def _text(config: TinyVisionConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The part that reads: rotary positions split among time, height and width as a head's size allows."""
    half = config.hidden_size // config.num_heads // 2
    third = half // 3
    sections = [0, 0, half] if config.plain_positions else [half - 2 * third, third, third]
    rope = {"rope_type": "default", "rope_theta": config.rope_theta, "mrope_section": sections}
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.key_value_heads or config.num_heads // 2,
        "head_dim": config.hidden_size // config.num_heads,
        "max_position_embeddings": config.max_length,
        "rope_parameters": rope,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _vision(config: TinyVisionConfig) -> dict[str, Any]:
    """The part that looks."""
    shared = {
        "depth": config.vision_layers,
        "hidden_size": config.vision_hidden_size,
        "intermediate_size": 2 * config.vision_hidden_size,
        "num_heads": 2,
        "out_hidden_size": config.hidden_size,
        "patch_size": config.patch_size,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if config.family == "qwen3_vl":
        return {**shared, "num_position_embeddings": 256, "deepstack_visual_indexes": [0]}
    last = config.vision_layers - 1
    return {**shared, "fullatt_block_indexes": [last], "window_size": 8 * config.patch_size}
