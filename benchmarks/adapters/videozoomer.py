"""VideoZoomer's own files: JSON lists of records for training and evaluation, and YAML mixtures of such lists."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from vz_env.datasets.dataset import Dataset
from vz_env.datasets.jsonl import resolve_inside
from vz_env.errors import ConfigError, DatasetError

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, index_of_letter, indices_of_text, split_options
from .rows import Row, json_rows, read_text

__all__ = ["BENCHMARK", "load"]

_MAX_YAML: Final = 1 << 20
_STRATEGY: Final = re.compile(r"all|(first|end|random):(\d+)(%?)")
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
    parts = _mixture(file, resolved) if file.suffix in {".yaml", ".yml"} else [(file, "all")]
    builder = DatasetBuilder(name="VideoZoomer", split=split, root=resolved)
    generator = np.random.default_rng(seed)
    for path, strategy in parts:
        for row in _chosen(list(json_rows(path)), strategy, path, generator):
            builder.add(_draft(row, len(builder.episodes), base, resolved))
    return builder.finish({file, *(path for path, _ in parts)}, variant=f"seed{seed}" if seed else "")


def _mixture(file: Path, root: Path) -> list[tuple[Path, str]]:
    """The parts of a mixture: (file of records, sampling strategy)."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigError(f"{file}: a YAML mixture wants PyYAML: pip install 'vz-env[bench]'") from error
    text = read_text(file)
    try:
        # Aliases are how a small file becomes a large one; mixtures have no use for them.
        if len(text) > _MAX_YAML or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise DatasetError(f"{file}: wanted a mixture below {_MAX_YAML} characters and without aliases")
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"{file}: not YAML: {error!s:.200}") from error
    items = value.get("datasets") if isinstance(value, dict) else None
    if not isinstance(items, list) or not items:
        raise DatasetError(f"{file}: wanted a list under 'datasets'")
    parts = []
    for number, item in enumerate(items):
        row = Row(item if isinstance(item, dict) else {}, f"{file}: datasets[{number}]")
        if "data_path" in row.value:
            raise row.fail("data_path: a folder of Arrow files is not read; write it as a JSON list (json_path)")
        parts.append((_annotations(row, root), row.text("sampling_strategy", "all")))
    return parts


def _annotations(row: Row, root: Path) -> Path:
    """The file of a part; an absolute path must lie inside the root."""
    name = row.text("json_path")
    path = Path(name).resolve() if Path(name).is_absolute() else resolve_inside(root, "json_path", name)
    if not path.is_relative_to(root):
        raise row.fail(f"json_path: {name!r} leaves the root {root}")
    return path


def _chosen(rows: list[Row], strategy: str, path: Path, generator: np.random.Generator) -> list[Row]:
    match = _STRATEGY.fullmatch(strategy)
    if match is None or (match[3] and match[1] != "first"):
        raise DatasetError(
            f"{path}: sampling_strategy wants all, first:N, first:P%, end:N or random:N, got {strategy!r}"
        )
    if match[1] is None:
        return rows
    count = len(rows) * int(match[2]) // 100 if match[3] else min(int(match[2]), len(rows))
    if match[1] == "random":
        return [rows[index] for index in sorted(generator.choice(len(rows), size=count, replace=False).tolist())]
    return rows[:count] if match[1] == "first" else rows[len(rows) - count :]


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
