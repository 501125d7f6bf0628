"""MLVU dev and test: multiple choice by the option's text, and two kinds of answers in free words (judged)."""

from __future__ import annotations

import os
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter, indices_of_text
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load", "mlvu_averages"]

DEV_FILES: Final = (
    *("1_plotQA", "2_needle", "3_ego", "4_count", "5_order"),
    *("6_anomaly_reco", "7_topic_reasoning", "8_sub_scene", "9_summary"),
)
TEST_FILE: Final = "test_question.json"
GENERATION: Final = frozenset({"sub_scene", "summary"})
_TASKS: Final = {"findNeedle": "needle", "needleQA": "needle", "subPlot": "sub_scene"}
"""Field values whose task goes by another name in files and on the leaderboard."""


def prompt(episode: Episode) -> str:
    """The question as the official text lays it out; its own code then begins the answer itself."""
    if not episode.options:
        return episode.question
    options = lettered(episode.options, "({letter}) {option}")
    return f"Question: {episode.question}\nOptions:\n{options}\nReply with the best option alone."


BENCHMARK: Final = Benchmark(
    name="MLVU",
    title="minutes to hours; 7 (dev) or 9 (test) kinds of multiple choice, 2 of free answers",
    home="Hugging Face datasets MLVU/MVLU and MLVU/MLVU_Test",
    licence="CC-BY-NC-SA-4.0",
    needs=(
        "json/1_plotQA.json ... json/9_summary.json  # dev",
        "video/1_plotQA/<video> ...                  # dev: a folder for each json, of the same stem",
        "test_question.json                          # test",
        "video/<video> ...                           # test",
    ),
    variants={"mlvu-dev": {"split": "dev"}, "mlvu-test": {"split": "test"}},
    parser="mlvu_official",
    prompt=prompt,
)


def load(
    *, root: str | os.PathLike[str] | None = None, split: str = "dev", tasks: str = "all", need_videos: bool = True
) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `dev` or `test`.
        tasks: `all`, `choice`, or `generation` (answers in free words, which want a judge).
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split or kind of tasks.
        DatasetError: files are missing or wrong.
    """
    if split not in {"dev", "test"} or tasks not in {"all", "choice", "generation"}:
        raise ConfigError(
            f"MLVU wants split 'dev' or 'test' and tasks 'all', 'choice' or 'generation', got {split!r} and {tasks!r}"
        )
    resolved, base, _ = BENCHMARK.locate(root, f"json/{DEV_FILES[0]}.json" if split == "dev" else TEST_FILE)
    builder = DatasetBuilder(name="MLVU", split=split, root=resolved)
    files = [base / "json" / f"{stem}.json" for stem in DEV_FILES] if split == "dev" else [base / TEST_FILE]
    for file in files:
        if not file.is_file():
            raise BENCHMARK.missing(base, file.relative_to(base).as_posix())
        folder = base / "video" / file.stem if split == "dev" else base / "video"
        videos = VideoFolder(resolved, folder)
        if need_videos and not videos.is_there:
            raise BENCHMARK.missing(base, folder.relative_to(base).as_posix())
        for number, row in enumerate(json_rows(file)):
            draft = _draft(row, f"{file.stem}_{number}", videos)
            is_generation = draft.groups["task"] in GENERATION
            if tasks == "all" or (tasks == "generation") == is_generation:
                builder.add(draft)
    return builder.finish(files, variant="" if tasks == "all" else tasks)


def _draft(row: Row, number: str, videos: VideoFolder) -> Draft:
    field = row.text("question_type")
    task = _TASKS.get(field, field)
    options, answer = row.texts("candidates", ()), row.text("answer", "")
    draft = Draft(
        row=row,
        id=row.text("question_id", number),
        video=videos.find(row.text("video")),
        video_id=row.text("video"),
        question=row.text("question"),
        options=options,
        duration=row.number("duration", None),
        groups={"task": task, "kind": "generation" if task in GENERATION else "choice"},
        is_hidden="answer" not in row.value,
    )
    if task in GENERATION:
        points = row.texts("scoring_points", ())
        draft.kind, draft.needs_judge, draft.answer_texts = "text", True, (answer, *points)
    else:
        draft.answer_indices = indices_of_text(answer, options) or index_of_letter(answer, options)
    return draft


def mlvu_averages(tasks: dict[str, tuple[float, int]]) -> tuple[float, float]:
    """The two averages that papers print under one name.

    Args:
        tasks: accuracy and number of questions of each multiple-choice task.

    Returns:
        micro (each question counts the same) and macro (each task does: the official M-Avg).
    """
    questions = sum(count for _, count in tasks.values())
    micro = sum(accuracy * count for accuracy, count in tasks.values()) / questions
    return micro, sum(accuracy for accuracy, _ in tasks.values()) / len(tasks)
