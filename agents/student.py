"""The student of a cold start: the policy that exemplars alone make, its own episodes, and what repairs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .checkpoint import save_policy
from .exemplars import read_exemplars, write_exemplars
from .fitting import Stopped, drop_checkpoints, fit
from .language_policy import LanguagePolicy
from .model import LanguageModel
from .needle_reflector import NeedleReflector
from .policy import needs_frames
from .processes import ALONE, Processes
from .reflection import REFLECTIONS, choose_wrong, reflect
from .rollout import collect_rollouts
from .run_models import begin_model, reload_model, system_of
from .sampler import SamplerConfig
from .stages import Stage
from .teachers import find_teacher, open_teacher
from .train_config import TrainConfig
from .trajectory import Trajectory
from .trajectory_files import write_trajectories

__all__ = ["collect_reflections", "mix_reflections", "train_student"]

_STUDENT: Final = "student"


def train_student(
    train: Dataset,
    out: Path,
    config: TrainConfig,
    exemplars: Sequence[Trajectory],
    *,
    stage: Stage,
    should_stop: Stopped,
    processes: Processes = ALONE,
) -> LanguageModel | None:
    """The model as exemplars alone make it, whose failures are repaired; None when stopped."""
    folder = out / _STUDENT
    if not folder.is_dir():
        model = processes.main_first(lambda: begin_model(train, out, config, stage=stage))
        given = {"stage": stage, "should_stop": should_stop, "processes": processes}
        if not fit(model, exemplars, train, out, config, title="Student", **given):
            return None
        processes.first(lambda: save_policy(folder, model, name="Student", **system_of(config)))
        processes.first(lambda: drop_checkpoints(out, "Student"))
    return reload_model(folder, config)


def collect_reflections(
    train: Dataset, out: Path, config: TrainConfig, student: LanguageModel, *, stage: Stage
) -> list[Trajectory]:
    """Repairs of what the student did wrong on the train split, made once."""
    path, played_path = out / REFLECTIONS, out / f"{_STUDENT}.jsonl"
    if not path.is_file():
        if not played_path.is_file():
            write_trajectories(played_path, _play(train, config, student, stage=stage))
        wrong = choose_wrong(read_exemplars(played_path))
        word = config.reflect.teacher or config.teacher
        found = find_teacher(word, train, out, **config.server_options, default=NeedleReflector)
        with open_teacher(found) as teacher, stage("Reflection") as progress:
            repaired = reflect(
                train,
                wrong.kept,
                teacher,
                env_options={**config.teacher_options, "with_frames": needs_frames(teacher)},
                budget=config.budget,
                chat=student.chat,
                journal=out / "repairs.jsonl",
                progress=progress,
            )
        for reason, count in wrong.rejected.items():
            repaired.rejected[reason] = repaired.rejected.get(reason, 0) + count
        write_exemplars(path, repaired)
    return read_exemplars(path)


def _play(train: Dataset, config: TrainConfig, student: LanguageModel, *, stage: Stage) -> list[Trajectory]:
    """The train split as the student plays it."""
    sampling = SamplerConfig(temperature=config.reflect.temperature, max_new_tokens=config.ppo.max_new_tokens)
    policy = LanguagePolicy(student, name="Student", sampling=sampling)
    names = [name for _ in range(config.reflect.attempts) for name in train.ids]
    played: list[Trajectory] = []
    options = {**config.env_options, "with_frames": needs_frames(policy)}
    with stage("The student's attempts") as progress:

        def count(trajectory: Trajectory) -> None:
            played.append(trajectory)
            progress(len(played), len(names))

        return collect_rollouts(
            lambda: VideoZoomEnv(train, budget=config.budget, **options),
            policy,
            names,
            seed=config.seed + 1,
            workers=2,
            on_trajectory=count,
        )


def mix_reflections(
    exemplars: list[Trajectory], reflections: list[Trajectory], config: TrainConfig
) -> list[Trajectory]:
    """Exemplars and as many reflections as their share allows; with equal data as many in all as exemplars alone."""
    random, share = Random(config.seed), min(config.reflect.most, 0.999)
    most = int(share * len(exemplars) if config.reflect.equal_data else share / (1 - share) * len(exemplars))
    taken = random.sample(reflections, min(most, len(reflections)))
    if config.reflect.equal_data:
        exemplars = random.sample(exemplars, len(exemplars) - len(taken))
    return [*exemplars, *taken]
