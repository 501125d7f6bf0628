"""The models of a training run: the weights that it begins from, and those that a stage of it saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vz_env.datasets.dataset import Dataset

from .cold_base import load_base, make_base
from .model import LanguageModel
from .smollm2 import resolve_model
from .stages import Stage
from .train_config import TrainConfig
from .weights import load_weights

__all__ = ["begin_model", "reload_model", "system_of"]


def begin_model(train: Dataset, out: Path, config: TrainConfig, *, stage: Stage) -> LanguageModel:
    """The weights before any training: a model folder, the shipped base, or a base made from scratch."""
    if config.model:
        return load_weights(resolve_model(config.model), config.weights, system=_rules(config))
    if not config.from_scratch:
        return load_base()
    folder = out / "base"
    if folder.is_dir():
        return load_base(folder)
    return make_base(folder, train, curriculum=config.curriculum, rehearsals=config.rehearsals, stage=stage)


def reload_model(folder: Path, config: TrainConfig) -> LanguageModel:
    """A policy that this run saved, its weights held as the run holds them."""
    return load_weights(str(folder), config.weights, system=_rules(config))


def system_of(config: TrainConfig) -> dict[str, Any]:
    """Settings of a saved policy, for a model that was not made here: its rules, and how long it may write."""
    if not config.model:
        return {}
    return {"system": _rules(config), "max_new_tokens": config.ppo.max_new_tokens}


def _rules(config: TrainConfig) -> str | None:
    """What opens a conversation; the tiny model learns the rules by SFT."""
    return config.rules if config.model else None
