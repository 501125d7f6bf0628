"""How a model's weights are held, and which of them are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import torch

from vz_env.errors import ConfigError

from .lora import add_adapter
from .model import LanguageModel

__all__ = ["WeightsConfig", "explain_memory", "load_weights", "make_trainable", "on_device"]

_SMALLER_TRAINING: Final = (
    "lower --ppo.micro-tokens, --sft.batch-tokens or --ppo.prompts, take --weights.lora-rank 16 and "
    "--weights.gradient-checkpointing, or lower the budget of frames (--budget.overview-frames, --budget.max-pixels)"
)


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """How the weights of --model are held, and which of them are trained."""

    dtype: Literal["", "float32", "bfloat16"] = ""
    """float32 or bfloat16; empty: as they were saved where an adapter is trained, float32 where all of them are."""
    device: str = ""
    """Where the model computes: cpu, cuda, cuda:1; empty: cuda where there is one."""
    attention: str = ""
    """sdpa, flash_attention_2 or another that transformers knows; empty: what the model comes with, usually sdpa."""
    lora_rank: int = 0
    """Train adapters of this rank beside frozen weights; 0: train all weights."""
    lora_alpha: float = 0.0
    """Scale of the adapters times their rank; 0: twice the rank."""
    train_vision: bool = False
    """Train the vision tower too, of a model that sees; frozen, it reads every frame once."""
    gradient_checkpointing: bool = False
    """Compute the layers again in the backward pass instead of keeping their states: slower, in less memory."""


def load_weights(model: str, config: WeightsConfig, *, system: str | None = None) -> LanguageModel:
    """Load a model, on the device it is going to compute on.

    Raises:
        ConfigError: there is none, or no such device.
    """
    whole = torch.float32 if config.lora_rank == 0 else None
    dtype = getattr(torch, config.dtype) if config.dtype else whole
    loaded = LanguageModel.load(model, system=system, dtype=dtype, attention=config.attention or None)
    return on_device(loaded, config.device, option="--weights.device")


def on_device(model: LanguageModel, device: str = "", *, option: str = "--device") -> LanguageModel:
    """Move a model to where it is going to compute; returns the same model.

    Args:
        model: just loaded.
        device: cpu, cuda, cuda:1; empty: cuda where there is one.
        option: that chose the device on the command line.

    Raises:
        ConfigError: there is no such device, or the model does not fit it.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return model.to(device)
    except torch.OutOfMemoryError as fault:
        raise ConfigError(
            f"the weights do not fit {device!r} ({str(fault).splitlines()[0][:160]}); free its memory, load them "
            f"in bfloat16, or try {option} cpu"
        ) from fault
    except (RuntimeError, AssertionError) as fault:  # AssertionError: a torch that was built without CUDA
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise ConfigError(f"wanted a device to compute on, got {device!r}: {reason}; try {option} cpu") from fault


def make_trainable(model: LanguageModel, config: WeightsConfig, *, seed: int = 0) -> LanguageModel:
    """Choose what is trained of a model that was just loaded; returns the same model.

    Raises:
        ConfigError: adapters are asked for, and cannot be had; or a vision tower is, of a model that has none.
    """
    if config.train_vision:
        if not model.needs_frames:
            raise ConfigError("wanted a model that sees, to train its vision tower, got one that only reads")
        model.lm.model.visual.requires_grad_(True)
    if config.lora_rank:
        add_adapter(model, rank=config.lora_rank, alpha=config.lora_alpha or None, seed=seed)
    if config.gradient_checkpointing:
        model.recompute()
    return model


@contextmanager
def explain_memory(advice: str = "") -> Iterator[None]:
    """Turn the accelerator's running out of memory into one message that says what to change.

    Args:
        advice: what to change; by default, for training.

    Raises:
        ConfigError: memory ran out inside.
    """
    try:
        yield
    except torch.OutOfMemoryError as fault:
        reason = str(fault).splitlines()[0][:160]
        raise ConfigError(f"the device is out of memory ({reason}); {advice or _SMALLER_TRAINING}") from fault
