"""The first stage of training: a teacher's exemplars, repairs of the student's own failures, and SFT on both.

Every step leaves its result in the run folder under its final name once it is complete: `exemplars.jsonl` (and what
was rejected, `exemplars.json`), with reflection `student/`, `student.jsonl` and `reflections.jsonl`, and `sft/`. What
is on the way there is kept too, and taken up again: `attempts.jsonl`, `repairs.jsonl`, `replies.jsonl` of a server, and
the checkpoints of SFT.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .checkpoint import POLICY_FOLDER, Checkpoints, load_policy, save_policy
from .cold_base import load_base, make_base
from .exemplars import AnswerTeacher, ExemplarConfig, collect_exemplars, read_exemplars, write_exemplars
from .language_policy import LanguagePolicy
from .model import LanguageModel
from .needle_expert import HastyExpert
from .needle_reflector import NeedleReflector
from .policy import Policy, needs_frames
from .policy import load_policy as import_policy
from .reflection import choose_wrong, reflect
from .rollout import collect_rollouts
from .sampler import SamplerConfig
from .seen_examples import seen_examples
from .sft import SFTConfig, example_of, train_sft
from .smollm2 import resolve_model
from .stages import Stage, silent
from .train_config import TrainConfig
from .trajectory import Trajectory
from .trajectory_files import write_trajectories
from .weights import load_weights, make_trainable

__all__ = ["EXEMPLARS", "REFLECTIONS", "SFT_FOLDER", "begin_model", "cold_start", "find_teacher", "train_uniform"]

SFT_FOLDER: Final = "sft"
EXEMPLARS: Final = "exemplars.jsonl"
REFLECTIONS: Final = "reflections.jsonl"
_STUDENT: Final = "student"

Stopped = Callable[[], bool]


def _never() -> bool:
    return False


def cold_start(
    train: Dataset, out: Path, config: TrainConfig, *, stage: Stage = silent, should_stop: Stopped = _never
) -> LanguageModel | None:
    """SFT on the exemplars of a teacher, and on reflections where they are asked for; the result is kept in `sft/`.

    Args:
        train: the episodes to learn from.
        out: the run folder; what a crash left there is taken up again.
        config: how; with `cold_start=False` the result is the untrained weights.
        stage: shows progress.
        should_stop: asked after every step of SFT.

    Returns:
        The model; None when stopped.
    """
    folder = out / SFT_FOLDER
    if folder.is_dir():
        return _reload(folder, config)
    if not config.cold_start:
        save_policy(folder, begin_model(train, out, config, stage=stage), name="Start", **system_of(config))
        return _reload(folder, config)
    chosen = collect(train, out / EXEMPLARS, config, stage=stage)
    if config.reflection:
        student = _student(train, out, config, chosen, stage=stage, should_stop=should_stop)
        if student is None:
            return None
        chosen = _mix(chosen, _reflections(train, out, config, student, stage=stage), config)
    model = begin_model(train, out, config, stage=stage)
    if not fit(model, chosen, train, out, config, stage=stage, should_stop=should_stop):
        return None
    save_policy(folder, model, name="SFT", **system_of(config))
    shutil.rmtree(out / _checkpoints_of("SFT"), ignore_errors=True)
    return _reload(folder, config)


def _reload(folder: Path, config: TrainConfig) -> LanguageModel:
    """A policy that this run saved, its weights held as the run holds them."""
    return load_weights(str(folder), config.weights, system=_rules(config))


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


def system_of(config: TrainConfig) -> dict[str, Any]:
    """Settings of a saved policy, for a model that was not made here: its rules, and how long it may write."""
    if not config.model:
        return {}
    return {"system": _rules(config), "max_new_tokens": config.ppo.max_new_tokens}


def _rules(config: TrainConfig) -> str | None:
    """What opens a conversation; the tiny model learns the rules by SFT."""
    return config.rules if config.model else None


def find_teacher(config: TrainConfig, out: Path, *, default: Callable[[], Policy] = HastyExpert) -> Policy:
    """Who plays: what is named, a server with the replies it gave so far, or the scripted expert.

    Raises:
        ConfigError: no such policy, or what a server wants is missing.
    """
    if config.teacher == "openai":
        from .remote_teacher import RemoteConfig, RemoteTeacher

        named = {"base_url": config.base_url, "model": config.teacher_model}
        asked = RemoteConfig.from_environment(**{name: value for name, value in named.items() if value})
        return RemoteTeacher(asked, journal=out / "replies.jsonl")
    return import_policy(config.teacher) if config.teacher else default()


@contextmanager
def _open_teacher(teacher: Policy) -> Iterator[Policy]:
    """Let go of what a teacher holds open, its journal of replies, when it has done its work."""
    try:
        yield teacher
    finally:
        close = getattr(teacher, "close", None)
        if close is not None:
            close()


def collect(
    train: Dataset,
    path: Path,
    config: TrainConfig,
    *,
    stage: Stage,
    teacher: Policy | None = None,
    budget: Budget | None = None,
    asked: ExemplarConfig | None = None,
) -> list[Trajectory]:
    """Exemplars, collected once; teacher, budget and what is asked of them are the configuration's where left out."""
    if not path.is_file():
        title = "Exemplars" if config.teacher else "Exemplars of the scripted teacher"
        with _open_teacher(teacher or find_teacher(config, path.parent)) as player, stage(title) as progress:
            collected = collect_exemplars(
                train.subset(limit=config.exemplar_episodes) if config.exemplar_episodes else train,
                player,
                env_options={**config.teacher_options, "with_frames": needs_frames(player)},
                budget=budget or config.budget,
                seed=config.seed,
                config=asked or config.exemplars,
                journal=path.with_name("attempts.jsonl"),
                progress=progress,
            )
        write_exemplars(path, collected)
    return read_exemplars(path)


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
    should_stop: Stopped = _never,
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
        )
    return last.step == last.steps


def _checkpoints_of(title: str) -> str:
    return f"{title.lower()}-checkpoints"


def _student(
    train: Dataset,
    out: Path,
    config: TrainConfig,
    exemplars: Sequence[Trajectory],
    *,
    stage: Stage,
    should_stop: Stopped,
) -> LanguageModel | None:
    """The model as exemplars alone make it, whose failures are repaired; None when stopped."""
    folder = out / _STUDENT
    if not folder.is_dir():
        model = begin_model(train, out, config, stage=stage)
        if not fit(model, exemplars, train, out, config, stage=stage, title="Student", should_stop=should_stop):
            return None
        save_policy(folder, model, name="Student", **system_of(config))
        shutil.rmtree(out / _checkpoints_of("Student"), ignore_errors=True)
    return _reload(folder, config)


def _reflections(
    train: Dataset, out: Path, config: TrainConfig, student: LanguageModel, *, stage: Stage
) -> list[Trajectory]:
    """Repairs of what the student did wrong on the train split, made once."""
    path, played_path = out / REFLECTIONS, out / f"{_STUDENT}.jsonl"
    if not path.is_file():
        if not played_path.is_file():
            write_trajectories(played_path, _play(train, config, student, stage=stage))
        wrong = choose_wrong(read_exemplars(played_path))
        asked = replace(config, teacher=config.reflect.teacher or config.teacher)
        found = find_teacher(asked, out, default=NeedleReflector)
        with _open_teacher(found) as teacher, stage("Reflection") as progress:
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


def _mix(exemplars: list[Trajectory], reflections: list[Trajectory], config: TrainConfig) -> list[Trajectory]:
    """Exemplars and as many reflections as their share allows; with equal data as many in all as exemplars alone."""
    random, share = Random(config.seed), min(config.reflect.most, 0.999)
    most = int(share * len(exemplars) if config.reflect.equal_data else share / (1 - share) * len(exemplars))
    taken = random.sample(reflections, min(most, len(reflections)))
    if config.reflect.equal_data:
        exemplars = random.sample(exemplars, len(exemplars) - len(taken))
    return [*exemplars, *taken]


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
        shutil.rmtree(out / _checkpoints_of("SFT"), ignore_errors=True)
    return load_policy(folder)
