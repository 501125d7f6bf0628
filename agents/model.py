"""The language model of a policy: a causal LM, its tokenizer, and a value head for the critic, in one folder on disk.

Any Hugging Face causal LM folder with a chat template loads (`LanguageModel.load`); `LanguageModel.tiny` builds the
small Llama that trains on two CPU cores. The value head reads detached hidden states, so the critic never moves the
policy's weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from vz_env.errors import ConfigError

from .chat import ChatRenderer

__all__ = ["LanguageModel", "TinyConfig", "ValueHead", "no_progress_bar"]

_VALUE_FILE: Final = "value_head.safetensors"
_LOOK_BACK_SHARPNESS: Final = 8.0
_MATCH_SHARPNESS: Final = 2.5
_ROPE_THETA: Final = 1e8
_COPY_SCALE: Final = 0.15
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)
"""What the libraries raise for a folder that holds no model, or half of one."""


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Shape of the tiny Llama; the defaults give about 1.05 M parameters with a vocabulary of 1,600."""

    hidden_size: int = 128
    intermediate_size: int = 384
    num_layers: int = 4
    num_heads: int = 4
    max_length: int = 2048


class ValueHead(nn.Module):
    """A two-layer fp32 MLP from hidden states to one value each; its last layer starts at zero."""

    def __init__(self, hidden_size: int) -> None:
        """Build the head for hidden states of `hidden_size` numbers."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the same head for the same model, whatever was drawn before
            torch.manual_seed(0)
            self.inner = nn.Linear(hidden_size, hidden_size)
            self.outer = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states (..., hidden_size) to values (...); gradients stop at the hidden states."""
        return self.outer(torch.tanh(self.inner(hidden.detach().float()))).squeeze(-1)


class LanguageModel(nn.Module):
    """A causal LM with its tokenizer, chat wrapping and value head."""

    def __init__(self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, system: str | None = None) -> None:
        """Join the parts; the value head starts at zero.

        Args:
            lm: the causal language model.
            tokenizer: its tokenizer, with a chat template.
            system: the system message of every conversation; None for the tiny model, which learns the rules by SFT.

        Raises:
            ConfigError: the tokenizer's chat template cannot be used.
        """
        super().__init__()
        self.lm = lm
        self.tokenizer = tokenizer
        self.chat = ChatRenderer(tokenizer, system=system)
        self.value_head = ValueHead(lm.config.get_text_config().hidden_size)

    @classmethod
    def tiny(
        cls, tokenizer: PreTrainedTokenizerBase, config: TinyConfig | None = None, *, seed: int = 0
    ) -> LanguageModel:
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
            return cls(lm, tokenizer)

    @classmethod
    def load(cls, folder: str | Path, *, system: str | None = None, dtype: torch.dtype | None = None) -> LanguageModel:
        """Load a model folder, or a hub id where the hub can be reached.

        Args:
            folder: where the model lies, or "owner/name" on the hub when no such path is here; a value head beside the
                weights is loaded too.
            system: the system message for every conversation.
            dtype: weights' type; None keeps the one they were saved in.

        Raises:
            ConfigError: no model there, and why.
        """
        wanted = f"wanted a causal language model in {str(folder)!r} (config.json, tokenizer.json, *.safetensors)"
        if not Path(folder).is_dir() and not _is_hub_id(folder):
            raise ConfigError(f"{wanted}, got: no such folder")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            with no_progress_bar():
                lm = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=dtype or "auto", use_safetensors=True, trust_remote_code=False
                )
            model = cls(lm, tokenizer, system=system)
            value_file = Path(folder) / _VALUE_FILE
            if value_file.is_file():
                model.value_head.load_state_dict(load_file(value_file))
        except ConfigError:
            raise
        except _BROKEN as fault:
            reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
            raise ConfigError(f"{wanted}, got: {reason}") from fault
        return model

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer and value head as safetensors and JSON into a new or existing folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with no_progress_bar():
            self.lm.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_file(self.value_head.state_dict(), folder / _VALUE_FILE)

    @property
    def num_parameters(self) -> int:
        """Number of weights of the language model, tied ones counted once, the value head left out."""
        return sum(weight.numel() for weight in self.lm.parameters())

    @property
    def max_length(self) -> int:
        """Longest sequence in tokens that the model's positions allow."""
        return int(self.lm.config.get_text_config().max_position_embeddings)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.lm.parameters()).device

    def hidden(self, ids: Tensor, **kwargs: Any) -> Tensor:
        """Last hidden states (batch, length, hidden_size), before the vocabulary projection."""
        return self.lm.base_model(input_ids=ids, **kwargs).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits (..., vocab) of hidden states, in fp32: log-probabilities are compared at 1e-5."""
        return self.lm.get_output_embeddings()(hidden).float()


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing bars for what takes milliseconds, at every checkpoint."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _is_hub_id(folder: str | Path) -> bool:
    """Whether to ask the hub: for `owner/name`, unless it begins with a folder that is here (then it is a typo)."""
    owner, slash, name = str(folder).partition("/")
    return bool(isinstance(folder, str) and owner and slash and name) and "/" not in name and not Path(owner).exists()


@torch.no_grad()
def _initialise_for_copying(lm: LlamaForCausalLM) -> None:
    """Overwrite attention and embedding weights in place; see `LanguageModel.tiny`."""
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
