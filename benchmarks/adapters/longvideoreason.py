"""LongVideo-Reason (LongVILA-R1): options inside the problem, sometimes out of order; the answer inside tags."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, split_options
from .rows import Row, json_rows, jsonl_rows

__all__ = ["BENCHMARK", "load"]

_ANSWER: Final = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def prompt(episode: Episode) -> str:
    """The question, and how to write the answer down."""
    return (
        f"{episode.question}\n{lettered(episode.options)}\nThink first inside <think> </think>, then give the letter "
        "of the right option inside <answer> </answer>."
    )


BENCHMARK: Final = Benchmark(
    name="LongVideoReason",
    title="1,000 questions that want reasoning over a long video",
    home="Hugging Face datasets LongVideo-Reason/longvideo-reason and longvideo_eval_videos",
    licence="research only",
    needs=(
        "test.jsonl                          # or test.json; train.jsonl for split train",
        "longvila_videos/<video>.mp4 ...",
    ),
    variants={"longvideo-reason": {}},
    parser="videozoomer_openr1",
    prompt=prompt,
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "test", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: the stem of the annotation file, such as `test` or `train`.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: a split that is no stem.
        DatasetError: files are missing or wrong.
    """
    if "/" in split or "\\" in split:
        raise ConfigError(f"split wants the stem of a file, such as test, got {split!r}")
    resolved, base, file = BENCHMARK.locate(root, f"{split}.jsonl", f"{split}.json")
    videos = VideoFolder(resolved, base / "longvila_videos")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "longvila_videos")
    builder = DatasetBuilder(name="LongVideoReason", split=split, root=resolved)
    for row in json_rows(file) if file.suffix == ".json" else jsonl_rows(file):
        builder.add(_draft(row, videos))
    return builder.finish([file])


def _draft(row: Row, videos: VideoFolder) -> Draft:
    stem, letters, options = split_options(row.text("problem"))
    tagged = _ANSWER.findall(row.text("answer"))
    letter = (tagged[-1] if tagged else row.text("answer")).strip().strip("().")
    name = PurePosixPath(row.text("videos")).name
    return Draft(
        row=row,
        id=f"{row.whole('problem_id')}",
        video=videos.find(name),
        video_id=name,
        question=stem,
        options=options,
        # By the letter, not by the place: options that stand out of order were put in order.
        answer_indices=tuple(index for index, one in enumerate(letters) if one == letter),
        groups={"task": row.text("problem_type", "none")},
    )
