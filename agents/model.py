"""The language model of a policy: a causal LM, its tokenizer, and a value head for the critic, in one folder on disk.

Any Hugging Face causal LM folder with a chat template loads (`LanguageModel.load`), and so does a vision-language model
of the Qwen2-VL family, which then sees the frames (`vision_model`); `LanguageModel.tiny` builds the small Llama that
trains on two CPU cores. The value head reads detached hidden states, so the critic never moves the policy's weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging

from vz_env.errors import ConfigError

from .chat import ChatRenderer
from .frames import Chunk, FrameStore, RowFrames
from .tiny_llama import TinyConfig, build_tiny_llama

__all__ = ["LanguageModel", "TinyConfig", "ValueHead", "no_progress_bar"]

_VALUE_FILE: Final = "value_head.safetensors"
_ADAPTER_FILE: Final = "adapter.safetensors"
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)
"""What the libraries raise for a folder that holds no model, or half of one."""


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
    """A causal LM with its tokenizer, chat wrapping and value head.

    Attributes:
        needs_frames: whether it looks at pixels, not at the text alone.
    """

    needs_frames: ClassVar[bool] = False

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
        """Build the tiny Llama from random weights; see `build_tiny_llama`."""
        return cls(build_tiny_llama(tokenizer, config, seed=seed), tokenizer)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        system: str | None = None,
        dtype: torch.dtype | None = None,
        attention: str | None = None,
    ) -> LanguageModel:
        """Load a model folder, or a hub id where the hub can be reached.

        Args:
            folder: where the model lies, or "owner/name" on the hub when no such path is here; a value head beside the
                weights is loaded too.
            system: the system message for every conversation.
            dtype: weights' type; None keeps the one they were saved in.
            attention: `sdpa`, `flash_attention_2` or another that transformers knows; None leaves it to the model.

        Returns:
            A `VisionLanguageModel` where the folder holds one.

        Raises:
            ConfigError: no model there, and why.
        """
        wanted = f"wanted a causal language model in {str(folder)!r} (config.json, tokenizer.json, *.safetensors)"
        if not Path(folder).is_dir() and not _is_hub_id(folder):
            raise ConfigError(f"{wanted}, got: no such folder")
        given = {"dtype": dtype or "auto", **({"attn_implementation": attention} if attention else {})}
        try:
            with no_progress_bar():
                model = _class_for(folder).read(folder, system=system, **given)
            value_file = Path(folder) / _VALUE_FILE
            if value_file.is_file():
                model.value_head.load_state_dict(load_file(value_file))
        except ConfigError:
            raise
        except (*_BROKEN, ImportError) as fault:  # ImportError: flash attention was asked for and is not installed
            reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
            raise ConfigError(f"{wanted}, got: {reason}") from fault
        return model

    @classmethod
    def read(cls, folder: str | Path, *, system: str | None, **given: Any) -> LanguageModel:
        """Read the parts from a folder; `load` does, and says what is wrong with it."""
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        lm = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given)
        return cls(lm, tokenizer, system=system)

    def save(self, folder: str | Path) -> None:
        """Write weights, tokenizer and value head as safetensors and JSON into a new or existing folder.

        An adapter is merged into the weights, so that whatever loads the folder needs to know nothing of it.
        """
        from .lora import has_adapter, merged_weights

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with no_progress_bar():
            self.lm.save_pretrained(folder, state_dict=merged_weights(self.lm) if has_adapter(self) else None)
        self.tokenizer.save_pretrained(folder)
        save_file(self.value_head.state_dict(), folder / _VALUE_FILE)

    def save_state(self, folder: Path) -> None:
        """Write what training changes, exactly: everything, or the weights that are trained beside frozen ones."""
        from .lora import has_adapter

        if not has_adapter(self):
            self.save(folder)
            return
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._trained_weights(), folder / _ADAPTER_FILE)
        save_file(self.value_head.state_dict(), folder / _VALUE_FILE)

    def load_state(self, folder: Path) -> None:
        """Restore what `save_state` wrote, in place.

        Raises:
            ConfigError: there is no model in the folder.
            ValueError: it is of another model, or of one that is trained otherwise.
        """
        from .lora import has_adapter

        if has_adapter(self) != (folder / _ADAPTER_FILE).is_file():
            raise ValueError("it is of a model with an adapter, or this one has an adapter and it is not")
        if has_adapter(self):
            self._load_trained_weights(load_file(folder / _ADAPTER_FILE))
            self.value_head.load_state_dict(load_file(folder / _VALUE_FILE))
            return
        saved = LanguageModel.load(folder)
        self.lm.load_state_dict(saved.lm.state_dict())
        self.value_head.load_state_dict(saved.value_head.state_dict())

    def _trained_weights(self) -> dict[str, Tensor]:
        named = self.lm.named_parameters()
        return {name: weight.detach().contiguous() for name, weight in named if weight.requires_grad}

    @torch.no_grad()
    def _load_trained_weights(self, saved: dict[str, Tensor]) -> None:
        own = self._trained_weights()
        if own.keys() != saved.keys():
            raise ValueError("it holds an adapter of another model")
        for name, weight in own.items():
            weight.copy_(saved[name])

    def reference(self) -> LanguageModel:
        """What a KL is measured to while this model is trained: itself as it is now, frozen.

        With an adapter that is new, it is this model with the adapter switched off, which takes no memory.
        """
        from .lora import WithoutAdapter, has_adapter

        if has_adapter(self):
            return cast("LanguageModel", WithoutAdapter(self))
        return copy.deepcopy(self).eval().requires_grad_(False)

    def recompute(self) -> None:
        """From now on keep no states of the layers for the backward pass: it computes them again, in less memory."""
        self.lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

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

    def new_store(self) -> FrameStore | None:
        """Where frames are kept while they are in use; None for a model that takes none."""
        return None

    def chunk(
        self,
        text: str,
        frames: NDArray[np.uint8] | None = None,
        timestamps: Sequence[float] = (),
        *,
        is_first: bool,
        is_turn_ended: bool = True,
        store: FrameStore | None = None,
    ) -> Chunk:
        """Turn one message of the environment into what is appended to the conversation.

        Args:
            text: the message.
            frames: its frames, uint8 (n, height, width, 3); left out by a model that only reads.
            timestamps: their n times in seconds.
            is_first: whether it opens the conversation.
            is_turn_ended: whether the reply before it ended itself.
            store: of `new_store`, the same for all messages of a batch.
        """
        if is_first:
            return Chunk(self.chat.first(text))
        return Chunk(self.chat.next(text, is_turn_ended=is_turn_ended))

    def hidden(self, ids: Tensor, *, frames: Sequence[RowFrames] | None = None, **kwargs: Any) -> Tensor:
        """Last hidden states, before the vocabulary projection.

        Args:
            ids: (batch, length) int64.
            frames: one `RowFrames` a row, by index into these ids; a model that takes no frames ignores them.
            **kwargs: of the model's forward pass: `attention_mask`, `position_ids` (batch, length), the cache.

        Returns:
            (batch, length, hidden_size).
        """
        with self._forward_options(kwargs):
            return self.lm.base_model(input_ids=ids, **kwargs).last_hidden_state

    @contextmanager
    def _forward_options(self, options: dict[str, Any]) -> Iterator[None]:
        """Fill in options of a forward pass: no cache unless one is given, and recomputing where gradients are on.

        Layers recompute in training mode alone, and PPO trains in evaluation mode for the sake of dropout: so the
        layers themselves are told that they train, and what is inside them is not.
        """
        if options.get("past_key_values") is None:
            options.setdefault("use_cache", False)
        layers: list[nn.Module] = []
        if torch.is_grad_enabled() and not options.get("use_cache"):
            kinds = (layer for layer in self.lm.modules() if isinstance(layer, GradientCheckpointingLayer))
            layers = [layer for layer in kinds if layer.gradient_checkpointing]
        modes = [layer.training for layer in layers]
        for layer in layers:
            layer.training = True
        try:
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.training = mode

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


def _class_for(folder: str | Path) -> type[LanguageModel]:
    """Which class a folder's model is of, by its configuration."""
    if not hasattr(AutoConfig.from_pretrained(folder, trust_remote_code=False), "vision_config"):
        return LanguageModel
    from .vision_model import VisionLanguageModel

    return VisionLanguageModel


def _is_hub_id(folder: str | Path) -> bool:
    """Whether to ask the hub: for `owner/name`, unless it begins with a folder that is here (then it is a typo)."""
    owner, slash, name = str(folder).partition("/")
    return bool(isinstance(folder, str) and owner and slash and name) and "/" not in name and not Path(owner).exists()
