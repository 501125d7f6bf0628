"""Low-rank adapters: train a fraction of a model's weights, and get the frozen reference for nothing.

The adapter sits inside the language model (its vision tower is left alone). A model with one saves itself merged, so
that whatever reads the folder needs to know nothing of it; a checkpoint holds the adapter alone, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from vz_env.errors import ConfigError

from .model import LanguageModel

__all__ = ["WithoutAdapter", "add_adapter", "has_adapter", "merged_weights"]

_PROJECTIONS: Final = r"(?:q|k|v|o|gate|up|down)_proj"
_TEXT: Final = r"(?:.*\.)?layers\.\d+\..*"
_NAME: Final = "default"


def add_adapter(model: LanguageModel, *, rank: int, alpha: float | None = None, seed: int = 0) -> None:
    """Freeze a model and put a trainable adapter beside every projection of its layers; it begins as doing nothing.

    Args:
        model: changed in place.
        rank: of each adapter (Hu et al. 2021, arXiv 2106.09685).
        alpha: its scale times `rank`; twice the rank by default.
        seed: of the weights.

    Raises:
        ConfigError: peft is not installed, or the model has no such projections.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as fault:
        raise ConfigError("training an adapter wants the lora extra: pip install 'vz-env[llm,lora]'") from fault
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=_TEXT + _PROJECTIONS, lora_dropout=0.0
    )
    is_trained = {name for name, weight in model.lm.named_parameters() if weight.requires_grad and "visual" in name}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(settings, model.lm, adapter_name=_NAME)
        except ValueError as fault:
            raise ConfigError(
                f"wanted layers with projections named like q_proj, to put adapters beside, got: {fault}; "
                "train it without an adapter"
            ) from fault
    for name, weight in model.lm.named_parameters():
        weight.requires_grad_("lora_" in name or name in is_trained)
        if "lora_" in name:
            weight.data = weight.data.float()  # an optimiser's small steps are lost in bfloat16


def has_adapter(model: LanguageModel) -> bool:
    """Whether an adapter was added."""
    return any("lora_" in name for name, _ in model.lm.named_parameters())


@torch.no_grad()
def merged_weights(lm: nn.Module) -> dict[str, Tensor]:
    """The weights of the model that an adapted one amounts to, by the names they have without an adapter."""
    merged = {
        name.replace(".base_layer.", "."): weight for name, weight in lm.state_dict().items() if "lora_" not in name
    }
    for name, layer in _adapted(lm):
        weight = layer.get_base_layer().weight
        delta = layer.get_delta_weight(_NAME)
        merged[f"{name}.weight"] = (weight.float() + delta.float()).to(weight.dtype)
    return merged


class WithoutAdapter:
    """A model as it is without its adapter: the reference that a KL is measured to, at no cost in memory.

    Stands for the model wherever it is only asked what it says; everything else is the model's own.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Look at a model with an adapter."""
        self._model = model

    def __getattr__(self, name: str) -> Any:
        """Whatever is not changed here."""
        return getattr(self._model, name)

    def eval(self) -> WithoutAdapter:
        """Nothing: the mode is the model's."""
        return self

    def requires_grad_(self, _: bool = True) -> WithoutAdapter:
        """Nothing: it is never trained, and the model it looks at is."""
        return self

    def hidden(self, ids: Tensor, **kwargs: Any) -> Tensor:
        """See `LanguageModel.hidden`."""
        with _switched_off(self._model.lm):
            return self._model.hidden(ids, **kwargs)


def _adapted(lm: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers with an adapter, by name."""
    from peft.tuners.lora import LoraLayer

    return ((name, layer) for name, layer in lm.named_modules() if isinstance(layer, LoraLayer))


@contextmanager
def _switched_off(lm: nn.Module) -> Iterator[None]:
    layers = [layer for _, layer in _adapted(lm)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)
