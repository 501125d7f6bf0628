"""NExT-QA: short videos of daily life, five options; causal, temporal and descriptive questions. For smoke tests."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, VideoFolder
from .rows import Row, csv_rows, json_object

__all__ = ["BENCHMARK", "load", "question_kind"]

_SPLITS: Final = ("train", "val", "test")
_KINDS: Final = {"C": "causal", "T": "temporal", "D": "descriptive"}

BENCHMARK: Final = Benchmark(
    name="NExTQA",
    title="1,570 videos of about 40 seconds (val and test), causal, temporal and descriptive questions",
    home="github.com/doc-doc/NExT-QA (dataset/nextqa); videos from VidOR",
    licence="MIT",
    needs=(
        "val.csv, test.csv, train.csv      # the split's",
        "map_vid_vidorID.json              # where videos lie in VidOR's folders",
        "videos/<folder>/<video>.mp4 ...   # or videos/<video>.mp4",
    ),
    variants={"nextqa-val": {"split": "val"}, "nextqa-test": {"split": "test"}},
    parser="letter",
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "val", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `train`, `val` or `test`.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in _SPLITS:
        raise ConfigError(f"NExTQA wants split 'train', 'val' or 'test', got {split!r}")
    resolved, base, file = BENCHMARK.locate(root, f"{split}.csv")
    videos = VidorVideos(resolved, base)
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    builder = DatasetBuilder(name="NExTQA", split=split, root=resolved)
    for row in csv_rows(file):
        builder.add(_draft(row, videos))
    return builder.finish([file])


class VidorVideos:
    """Finds videos that lie flat under `videos/`, or in VidOR's numbered folders as the map beside the CSV says."""

    def __init__(self, root: Path, base: Path) -> None:
        """Read the map, if there is one."""
        path = base / "map_vid_vidorID.json"
        self._map = json_object(path) if path.is_file() else {}
        self._folder = VideoFolder(root, base / "videos")
        self.is_there = self._folder.is_there

    def find(self, name: str) -> str:
        """The path of a video, relative to the root."""
        flat = self._folder.find(name)
        mapped = self._map.get(name)
        if not isinstance(mapped, str) or self._folder.holds(PurePosixPath(flat).name):
            return flat
        return f"{self._folder.find('x.mp4').removesuffix('x.mp4')}{mapped}.mp4"


def question_kind(code: str) -> str:
    """The kind of a question's type: CW and CH are causal, TN, TP and TC temporal, the rest descriptive."""
    return _KINDS.get(code[:1], "descriptive")


def _draft(row: Row, videos: VidorVideos) -> Draft:
    name, code = row.text("video"), row.text("type")
    options = tuple(row.text(f"a{index}") for index in range(5))
    answer = row.whole("answer")
    return Draft(
        row=row,
        id=f"{name}_{row.text('qid')}",
        video=videos.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        answer_indices=(answer,) if 0 <= answer < len(options) else (),
        # The official table has no TP: it is counted as TN.
        groups={"task": "TN" if code == "TP" else code, "kind": question_kind(code)},
    )
