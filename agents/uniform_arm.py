"""The uniform-sampling arm: what the same model learns from frames spread evenly, without a zoom."""

from __future__ import annotations

from pathlib import Path
from random import Random

from vz_env.datasets.dataset import Dataset

from .checkpoint import POLICY_FOLDER, load_policy, save_policy
from .cold_start import collect
from .exemplars import EXEMPLARS, AnswerTeacher, ExemplarConfig, read_exemplars
from .fitting import drop_checkpoints, fit
from .language_policy import LanguagePolicy
from .run_models import begin_model, system_of
from .stages import Stage, silent
from .train_config import TrainConfig

__all__ = ["train_uniform"]


def train_uniform(
    train: Dataset, out: Path, frames: int, config: TrainConfig, *, base_out: Path, stage: Stage = silent
) -> LanguagePolicy:
    """The uniform-sampling arm: the same weights, the same SFT on as many exemplars, of `frames` frames and no zooms.

    Args:
        train: the split to learn from; its answers are told to the teacher.
        out: folder of this arm.
        frames: frames an episode.
        config: the configuration of the policy it is compared with.
        base_out: that policy's run folder, where a base made from scratch lies.
        stage: shows progress.
    """
    folder = out / POLICY_FOLDER
    if not folder.is_dir():
        model = begin_model(train, base_out, config, stage=stage)
        budget = LanguagePolicy(model, overview_frames=frames).budget_for(config.budget)
        kept = collect(
            train,
            out / EXEMPLARS,
            config,
            stage=stage,
            teacher=AnswerTeacher(train),
            budget=budget,
            asked=ExemplarConfig(),
        )
        theirs = base_out / EXEMPLARS
        at_most = len(read_exemplars(theirs)) if theirs.is_file() else len(kept)
        if at_most < len(kept):
            kept = Random(config.seed).sample(kept, at_most)
        fit(model, kept, train, out, config, stage=stage, budget=budget)
        save_policy(folder, model, name=f"UniformSampling-{frames} (SFT)", overview_frames=frames, **system_of(config))
        drop_checkpoints(out)
    return load_policy(folder)
