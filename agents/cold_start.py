"""The first stage of training: a teacher's exemplars, repairs of the student's own failures, and SFT on both.

Every step leaves its result in the run folder under its final name once it is complete: `exemplars.jsonl` (and what
was rejected, `exemplars.json`), with reflection `student/`, `student.jsonl` and `reflections.jsonl`, and `sft/`. What
is on the way there is kept too, and taken up again: `attempts.jsonl`, `repairs.jsonl`, `replies.jsonl` of a server, and
the checkpoints of SFT.

Of several processes, the main one plays teacher and student and writes the files, and the others read them; SFT is the
work of all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset

from .checkpoint import save_policy
from .exemplars import EXEMPLARS, ExemplarConfig, collect_exemplars, read_exemplars, write_exemplars
from .fitting import Stopped, drop_checkpoints, fit, never
from .model import LanguageModel
from .policy import Policy, needs_frames
from .processes import ALONE, Processes
from .run_models import begin_model, reload_model, system_of
from .stages import Stage, silent
from .student import collect_reflections, mix_reflections, train_student
from .teachers import find_teacher, open_teacher
from .train_config import TrainConfig
from .trajectory import Trajectory

__all__ = ["SFT_FOLDER", "cold_start", "collect"]

SFT_FOLDER: Final = "sft"


def cold_start(
    train: Dataset,
    out: Path,
    config: TrainConfig,
    *,
    stage: Stage = silent,
    should_stop: Stopped = never,
    processes: Processes = ALONE,
) -> LanguageModel | None:
    """SFT on the exemplars of a teacher, and on reflections where they are asked for; the result is kept in `sft/`.

    Args:
        train: the episodes to learn from.
        out: the run folder; what a crash left there is taken up again.
        config: how; with `cold_start=False` the result is the untrained weights.
        stage: shows progress.
        should_stop: asked after every step of SFT.
        processes: that train together.

    Returns:
        The model; None when stopped.
    """
    folder = out / SFT_FOLDER
    if folder.is_dir():
        return reload_model(folder, config)
    if not config.cold_start:
        begun = processes.main_first(lambda: begin_model(train, out, config, stage=stage))
        processes.first(lambda: save_policy(folder, begun, name="Start", **system_of(config)))
        return reload_model(folder, config)
    chosen = processes.main_first(lambda: collect(train, out / EXEMPLARS, config, stage=stage))
    given = {"stage": stage, "should_stop": should_stop, "processes": processes}
    if config.reflection:
        student = train_student(train, out, config, chosen, **given)
        if student is None:
            return None
        repaired = processes.main_first(lambda: collect_reflections(train, out, config, student, stage=stage))
        chosen = mix_reflections(chosen, repaired, config)
    model = processes.main_first(lambda: begin_model(train, out, config, stage=stage))
    if not fit(model, chosen, train, out, config, **given):
        return None
    processes.first(lambda: save_policy(folder, model, name="SFT", **system_of(config)))
    processes.first(lambda: drop_checkpoints(out))
    return reload_model(folder, config)


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
        found = teacher or find_teacher(config.teacher, train, path.parent, **config.server_options)
        with open_teacher(found) as player, stage(title) as progress:
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
