"""VNBench (VideoNIAH): needles put into videos; a question counts when all four orders of its options are right."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Final

from vz_env.datasets.dataset import Dataset

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter, indices_of_text
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load"]

_FILE: Final = "VNBench-main-4try.json"
_NEEDLE_SECONDS: Final = 1.0  # how long a needle is shown is not annotated; a second is what the inserted ones last

BENCHMARK: Final = Benchmark(
    name="VNBench",
    title="1,350 questions about needles put into videos, each in four orders of its options",
    home="Hugging Face dataset Joez1717/VNBench",
    licence="academic research only",
    needs=("VNBench-main-4try.json", "VNBench/<video>.mp4 ...  # or videos/"),
    variants={"vnbench": {}},
    parser="vnbench_official",
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "test", need_videos: bool = True) -> Dataset:
    """Load the benchmark.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: a name for reports; there is one part.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        DatasetError: files are missing or wrong.
    """
    resolved, base, file = BENCHMARK.locate(root, _FILE)
    folders = [VideoFolder(resolved, base / name) for name in ("VNBench", "videos")]
    videos = next((folder for folder in folders if folder.is_there), folders[0])
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "VNBench")
    builder = DatasetBuilder(name="VNBench", split=split, root=resolved)
    for row in json_rows(file):
        builder.add(_draft(row, videos))
    return builder.finish([file])


def _draft(row: Row, videos: VideoFolder) -> Draft:
    name = PurePosixPath(row.text("video")).name
    options, kind = row.texts("options"), row.text("type")
    group = f"{PurePosixPath(name).stem}: {row.text('question')}"
    return Draft(
        row=row,
        id=f"{PurePosixPath(name).stem}_{kind}_{row.whole('try')}",
        video=videos.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        answer_indices=index_of_letter(row.text("gt_option", ""), options)
        or indices_of_text(row.text("gt", ""), options),
        evidence=_needles(row),
        duration=row.number("length", None),
        groups={"task": kind, "try_group": group, "try": row.text("try")},
    )


def _needles(row: Row) -> list[tuple[float, float]]:
    """Where the needles are: single times, or spans."""
    times = row.get("needle_time", [])
    times = times if isinstance(times, list) else [times]
    if any(isinstance(time, list) for time in times):
        return list(row.spans("needle_time"))
    moments = [Row({"needle_time": time}, row.place).number("needle_time") for time in times]
    return [(moment, moment + _NEEDLE_SECONDS) for moment in moments]
