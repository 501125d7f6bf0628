"""SFT as a stage of a training run: examples of trajectories, and checkpoints in the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .checkpoint import Checkpoints
from .model import LanguageModel
from .processes import ALONE, Processes
from .seen_examples import seen_examples
from .sft import SFTConfig, example_of, train_sft
from .stages import Stage
from .train_config import TrainConfig
from .trajectory import Trajectory
from .weights import make_trainable

__all__ = ["Stopped", "drop_checkpoints", "fit", "never"]

Stopped = Callable[[], bool]


def never() -> bool:
    """Do not stop."""
    return False


def fit(
    model: LanguageModel,
    chosen: Sequence[Trajectory],
    train: Dataset,
    out: Path,
    config: TrainConfig,
    *,
    stage: Stage,
    title: str = "SFT",
    budget: Budget | None = None,
    should_stop: Stopped = never,
    processes: Processes = ALONE,
) -> bool:
    """Train a model on trajectories of the train split; returns whether it came to the end."""
    sft: SFTConfig = config.seeded().sft
    mask = config.reflect.mask_student
    make_trainable(model, config.weights, seed=sft.seed)
    if model.needs_frames:
        options = {"budget": budget or config.budget, **config.env_options, "with_frames": True}
        with stage("Frames of the exemplars") as progress:
            examples = seen_examples(
                model, chosen, lambda: VideoZoomEnv(train, **options), mask_student=mask, progress=progress
            )
    else:
        examples = [example_of(trajectory, model.chat, mask_student=mask) for trajectory in chosen]
    with stage(f"Cold start ({title})") as progress:
        last = train_sft(
            model,
            examples,
            sft,
            checkpoints=Checkpoints(out / _checkpoints_of(title), keep=1),
            should_stop=should_stop,
            on_progress=lambda made: progress(made.step, made.steps),
            processes=processes,
        )
    return last.step == last.steps


def drop_checkpoints(out: Path, title: str = "SFT") -> None:
    """Remove the checkpoints of a fit whose result is saved."""
    shutil.rmtree(out / _checkpoints_of(title), ignore_errors=True)


def _checkpoints_of(title: str) -> str:
    return f"{title.lower()}-checkpoints"
