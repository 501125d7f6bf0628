"""`vz train`: SFT cold start, then PPO, on any dataset; the same command continues a killed run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vz_agents.presets import PRESETS
from vz_agents.processes import joined
from vz_agents.stages import silent
from vz_agents.stopping import StopRequest
from vz_agents.train import TrainConfig, train_policy
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import load_dataset

from ..console import ProgressCallback, note, progress_bar, show
from ..rejections import telling_rejections
from .eval import DatasetArgs, open_dataset

__all__ = ["TrainArgs", "run_training", "stage"]


@dataclass(frozen=True, kw_only=True)
class TrainArgs:
    """Train a language model to look: SFT on exemplars, then PPO. The same command continues an interrupted run."""

    data: Annotated[DatasetArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=lambda: DatasetArgs(split="train"))
    """What to learn from."""
    validation: str = "validation"
    """Split that is evaluated now and then; empty: none."""
    out: Path = Path("runs/train")
    """The run folder."""
    preset: Literal["", "needle-tiny", "needle-smollm2", "videozoomer"] = ""
    """Begin from a whole configuration; other flags change it, and --preset NAME --help shows it."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """How to train."""

    @classmethod
    def defaults_for(cls, words: Sequence[str]) -> TrainArgs:
        """What the command begins from: a preset, where one of its words names it."""
        given = [word.partition("=")[2] for word in words if word.startswith("--preset=")]
        given += [after for word, after in pairwise(words) if word == "--preset"]
        return cls(config=PRESETS[given[-1]]) if given and given[-1] in PRESETS else cls()


@contextmanager
def stage(title: str) -> Iterator[ProgressCallback]:
    """A titled stage: one line when it begins, and a bar while it runs where there is a terminal."""
    note(f"{title} ...")
    with progress_bar(title) as progress:
        yield progress


def run_training(args: TrainArgs) -> int:
    """Run the command; returns its exit code."""
    with joined(args.config.weights.device) as processes, StopRequest() as stop:
        opened = processes.first(lambda: _open_splits(args))  # which makes a dataset that is not there yet
        train, validation = opened or _open_splits(args)
        told = telling_rejections(args.out, stage) if processes.is_main else silent
        policy = train_policy(
            train, validation, args.out, args.config, stage=told, should_stop=stop.is_set, processes=processes
        )
    if not processes.is_main:
        return stop.exit_code(0)
    if policy is None:
        show(f"stopped; the same command continues in {args.out}")
        return stop.exit_code(0)
    show(f"policy: {args.out / 'policy'}   try: vz eval --policy {args.out} --dataset {args.data.dataset}")
    return 0


def _open_splits(args: TrainArgs) -> tuple[Dataset, Dataset | None]:
    """What to learn from, and the validation split of a registered dataset; a file of one's own is one split."""
    train = open_dataset(args.data)
    if not args.validation or args.data.dataset.endswith(".jsonl"):
        return train, None
    root = {} if args.data.root is None else {"root": args.data.root}
    return train, load_dataset(args.data.dataset, split=args.validation, **root)
