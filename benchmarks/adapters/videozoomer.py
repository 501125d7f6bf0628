"""VideoZoomer's own files: JSON lists of records for training and evaluation, and YAML mixtures of such lists."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from vz_env.datasets.dataset import Dataset

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, index_of_letter, indices_of_text, split_options
from .mixtures import chosen_rows, read_mixture
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load"]

_NO_OPTION_NEEDED: Final = ("Please respond with only", "Please provide your answer by")

BENCHMARK: Final = Benchmark(
    name="VideoZoomer",
    title="records of the published trainer and evaluator, and mixtures of them",
    home="your own files; Hugging Face datasets zsgvivo/videozoomer_sft and zsgvivo/rl_datasets",
    licence="of the records' sources",
    needs=(
        "val.json                      # a list of records, or a .yaml mixture of such files: split names the file",
        "<paths inside the records>    # relative to the root; of absolute paths the last parts that are there",
    ),
    variants={"videozoomer": {"split": "val.json"}},
    parser="videozoomer_openr1",
)


def load(
    *, root: str | os.PathLike[str] | None = None, split: str = "val.json", seed: int = 0, need_videos: bool = True
) -> Dataset:
    """Load a list or a mixture.

    Args:
        root: folder that holds annotation files and videos; nothing outside it is opened.
        split: the file, relative to the root: `.json`, `.yaml` or `.yml`.
        seed: of the `random:N` strategy.
        need_videos: taken for the sake of one signature; records say themselves where their videos are.

    Raises:
        ConfigError: a mixture wants PyYAML.
        DatasetError: files are missing or wrong.
    """
    resolved, base, file = BENCHMARK.locate(root, split)
    parts = read_mixture(file, resolved) if file.suffix in {".yaml", ".yml"} else [(file, "all")]
    builder = DatasetBuilder(name="VideoZoomer", split=split, root=resolved)
    generator = np.random.default_rng(seed)
    for path, strategy in parts:
        for row in chosen_rows(list(json_rows(path)), strategy, path, generator):
            builder.add(_draft(row, len(builder.episodes), base, resolved))
    return builder.finish({file, *(path for path, _ in parts)}, variant=f"seed{seed}" if seed else "")


def _draft(row: Row, number: int, base: Path, root: Path) -> Draft:
    videos = row.texts("videos")
    if len(videos) != 1:
        raise row.fail(f"videos: wanted exactly one path, got {len(videos)}")
    extra = row.get("extra_info", {})
    extra = Row(extra if isinstance(extra, dict) else {}, f"{row.place}: extra_info")
    problem = row.text("problem").replace("<image>", "").replace("<video>", "")
    problem = "\n".join(line for line in problem.split("\n") if not line.startswith(_NO_OPTION_NEEDED))
    stem, letters, options = split_options(problem)
    answer, source = row.text("solution").strip(), row.text("data_source", "none")
    bare = answer.strip("().:")
    named = tuple(index for index, letter in enumerate(letters) if letter == bare)
    name = extra.get("question_id", extra.get("problem_id", row.get("problem_id", None)))
    return Draft(
        row=row,
        id=f"{source}_{name if isinstance(name, str | int) else number}",
        video=_video(videos[0], base, root),
        question=stem,
        options=options,
        kind="choice" if options else "text",
        answer_indices=named or index_of_letter(answer, options) or indices_of_text(answer, options),
        answer_texts=() if options else (answer,),
        needs_judge=not options,
        duration=extra.number("duration", None),
        groups={"source": source, "task": extra.text("task_type", "none")},
    )


def _video(name: str, base: Path, root: Path) -> str:
    """A record's path below the root; of a path of another machine, its longest tail that is there."""
    prefix = base.relative_to(root)
    parts = PurePosixPath(name).parts
    if not PurePosixPath(name).is_absolute():
        return (prefix / name).as_posix()
    tails: list[Any] = [prefix.joinpath(*parts[start:]) for start in range(1, len(parts)) if ".." not in parts]
    there = (tail for tail in tails if os.path.isfile(root / tail))  # noqa: PTH113 - raises for no name
    return next(there, prefix / parts[-1]).as_posix()
