"""Video-Holmes: reasoning over short suspense films; six options under their letters, seven kinds of questions."""

from __future__ import annotations

import os
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load"]


def prompt(episode: Episode) -> str:
    """The question, and how to write the answer down."""
    return (
        f"{episode.question}\n{lettered(episode.options)}\nThink first inside <think> </think>, then give the letter "
        "of the right option inside <answer> </answer>."
    )


BENCHMARK: Final = Benchmark(
    name="VideoHolmes",
    title="270 suspense films, 7 kinds of questions that join clues",
    home="github.com/TencentARC/Video-Holmes",
    licence="Apache-2.0, academic purpose only",
    needs=(
        "test_Video-Holmes.json       # train_Video-Holmes.json for split train",
        "videos/<video ID>.mp4 ...   # or videos_cropped/",
    ),
    variants={"video-holmes": {}},
    parser="videoholmes_official",
    prompt=prompt,
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "test", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `test` or `train`.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in {"test", "train"}:
        raise ConfigError(f"VideoHolmes wants split 'test' or 'train', got {split!r}")
    file = f"{split}_Video-Holmes.json"
    resolved, base, _ = BENCHMARK.locate(root, file)
    folders = [VideoFolder(resolved, base / name) for name in ("videos", "videos_cropped")]
    videos = next((folder for folder in folders if folder.is_there), folders[0])
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    builder = DatasetBuilder(name="VideoHolmes", split=split, root=resolved)
    for row in json_rows(base / file):
        builder.add(_draft(row, videos))
    return builder.finish([base / file])


def _draft(row: Row, videos: VideoFolder) -> Draft:
    choices = row.get("Options")
    if not isinstance(choices, dict):
        raise row.fail(f"Options: wanted an object of letters and texts, got {choices!r:.60}")
    letters = sorted(choices)
    options = Row({"Options": [choices[letter] for letter in letters]}, row.place).texts("Options")
    name, answer = row.text("video ID"), row.text("Answer").strip()
    return Draft(
        row=row,
        # The number alone runs from 1 in every film: the pair is the key.
        id=f"{name}_{row.whole('Question ID')}",
        video=videos.find(name),
        video_id=name,
        question=row.text("Question"),
        options=options,
        answer_indices=tuple(index for index, letter in enumerate(letters) if letter == answer),
        groups={"task": row.text("Question Type", "none")},
    )
