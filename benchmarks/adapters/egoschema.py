"""EgoSchema: three-minute clips seen through the wearer's eyes; answers are public for 500 of 5,031 questions."""

from __future__ import annotations

import os
from typing import Any, Final

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, VideoFolder
from .rows import Row, json_object, json_rows

__all__ = ["BENCHMARK", "load"]

BENCHMARK: Final = Benchmark(
    name="EgoSchema",
    title="clips of 3 minutes, 5 long options; 500 questions with answers, 5,031 in all",
    home="github.com/egoschema/EgoSchema; videos under the Ego4D licence",
    licence="none stated",
    needs=(
        "questions.json",
        "subset_answers.json",
        "videos/<q_uid>.mp4 ...",
    ),
    variants={"egoschema-subset": {"split": "subset"}, "egoschema-full": {"split": "full"}},
    parser="lmms_mcq",
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "subset", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `subset` (the questions with public answers) or `full` (the others stay ungraded).
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in {"subset", "full"}:
        raise ConfigError(f"EgoSchema wants split 'subset' or 'full', got {split!r}")
    resolved, base, file = BENCHMARK.locate(root, "questions.json")
    answers_file = base / "subset_answers.json"
    if not answers_file.is_file():
        raise BENCHMARK.missing(base, answers_file.name)
    videos = VideoFolder(resolved, base / "videos")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    answers = json_object(answers_file)
    builder = DatasetBuilder(name="EgoSchema", split=split, root=resolved)
    for row in json_rows(file):
        if split == "full" or row.text("q_uid") in answers:
            builder.add(_draft(row, videos, answers))
    return builder.finish([file, answers_file])


def _draft(row: Row, videos: VideoFolder, answers: dict[str, Any]) -> Draft:
    uid = row.text("q_uid")
    options = tuple(row.text(f"option {index}") for index in range(5))
    answer = Row(answers, f"{row.place} (answer)").whole(uid, None)
    return Draft(
        row=row,
        id=uid,
        video=videos.find(uid),
        video_id=uid,
        question=row.text("question", ""),
        options=options,
        answer_indices=(answer,) if answer is not None and 0 <= answer < len(options) else (),
        is_hidden=answer is None,
        duration=180.0,
        groups={"answers": "hidden" if answer is None else "public"},
    )
