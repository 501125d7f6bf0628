"""Charades-STA: when does a sentence happen? The answer is a segment, graded by its overlap."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, VideoFolder
from .rows import Row, csv_rows, read_text

__all__ = ["BENCHMARK", "load"]

_LINE: Final = re.compile(r"(\S+) (-?\d+(?:\.\d+)?) (-?\d+(?:\.\d+)?)##(.*)")


def prompt(episode: Episode) -> str:
    """The question; the data set has no prompt of its own."""
    return episode.question


BENCHMARK: Final = Benchmark(
    name="CharadesSTA",
    title="videos of about 30 seconds; 3,720 (test) sentences to be found in time",
    home="the TALL and 2D-TAN repositories (text files); videos from Charades",
    licence="none stated; Charades itself is non-commercial",
    needs=(
        "charades_sta_test.txt           # charades_sta_train.txt for split train",
        "Charades_v1_test.csv            # optional: lengths, to clamp the 562 spans that end after their video",
        "Charades_v1_480/<video>.mp4 ...",
    ),
    variants={"charades-sta": {"split": "test"}},
    prompt=prompt,
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "test", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `train` or `test`.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in {"train", "test"}:
        raise ConfigError(f"CharadesSTA wants split 'train' or 'test', got {split!r}")
    resolved, base, file = BENCHMARK.locate(root, f"charades_sta_{split}.txt")
    videos = VideoFolder(resolved, base / "Charades_v1_480")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "Charades_v1_480")
    lengths = _lengths(base / f"Charades_v1_{split}.csv")
    builder = DatasetBuilder(name="CharadesSTA", split=split, root=resolved)
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            builder.add(_draft(line.strip(), Row({}, f"{file}:{number}"), number, videos, lengths))
    return builder.finish([file])


def _lengths(path: Path) -> dict[str, float]:
    """Length of each video by its id, where Charades' own table is there."""
    if not path.is_file():
        return {}
    return {row.text("id"): row.number("length") for row in csv_rows(path)}


def _draft(line: str, row: Row, number: int, videos: VideoFolder, lengths: dict[str, float]) -> Draft:
    match = _LINE.fullmatch(line)
    if match is None:
        raise row.fail(f"wanted 'VIDEO start end##sentence.', got {line!r:.80}")
    name, start, end, sentence = match[1], float(match[2]), float(match[3]), match[4].strip()
    question = f"When does this happen: {sentence} Answer with [start, end] in seconds." if sentence else ""
    return Draft(
        row=row,
        id=f"{name}_{number}",
        video=videos.find(name),
        video_id=name,
        question=question,
        kind="spans",
        answer_spans=[(start, end)],
        evidence=[(start, end)] if end > start else [],
        duration=lengths.get(name),
    )
