"""Video-MME: 900 videos, three lengths, with or without subtitles. Its records may not be passed on; none is here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter
from .rows import Row, json_rows, jsonl_rows, parquet_rows

__all__ = ["BENCHMARK", "load"]

_FILES: Final = (
    "videomme/test-00000-of-00001.parquet",
    "test-00000-of-00001.parquet",
    "videomme.jsonl",
    "videomme.json",
)
_LETTER: Final = re.compile(r"\s*[A-D][.:)]\s*")


def prompt(episode: Episode) -> str:
    """As the official text lays it out: what to do, the question, the options, the beginning of an answer."""
    return (
        "Which option answers this question about the video best? Reply with its letter (A, B, C or D) alone.\n"
        f"{episode.question}\n{lettered(episode.options)}\nThe letter is:"
    )


BENCHMARK: Final = Benchmark(
    name="VideoMME",
    title="900 videos of 11 seconds to an hour, 12 kinds of questions",
    home="Hugging Face dataset lmms-lab/Video-MME",
    licence="academic research only, no redistribution",
    needs=(
        "videomme/test-00000-of-00001.parquet  # or videomme.jsonl with the same columns",
        "data/<videoID>.mp4 ...                # from videos_chunked_*.zip",
        "subtitle/<videoID>.srt ...            # from subtitle.zip; for the variant with subtitles",
    ),
    variants={"videomme": {"subtitles": False}, "videomme-subtitles": {"subtitles": True}},
    parser="lmms_mcq",
    prompt=prompt,
)


def load(
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "test",
    subtitles: bool = False,
    need_videos: bool = True,
) -> Dataset:
    """Load the benchmark.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: a name for reports; there is one part.
        subtitles: give episodes their subtitle file where there is one; `describe="captions"` then shows it.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: the Parquet file wants pyarrow.
        DatasetError: files are missing or wrong.
    """
    resolved, base, file = BENCHMARK.locate(root, *_FILES)
    videos = VideoFolder(resolved, base / "data")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "data")
    if subtitles and not (base / "subtitle").is_dir():
        raise BENCHMARK.missing(base, "subtitle")
    prefix, srt = base.relative_to(resolved).as_posix(), VideoFolder(resolved, base / "subtitle")
    builder = DatasetBuilder(name="VideoMME", split=split, root=resolved)
    for row in _rows(file):
        draft = _draft(row, videos)
        if subtitles and srt.holds(f"{draft.video_id}.srt"):
            draft.subtitles = (f"{prefix}/subtitle/{draft.video_id}.srt", "srt", 0.0)
        builder.add(draft)
    return builder.finish([file], variant="subtitles" if subtitles else "")


def _rows(path: Path) -> Iterator[Row]:
    readers = {".parquet": parquet_rows, ".jsonl": jsonl_rows, ".json": json_rows}
    return readers[path.suffix](path)


def _draft(row: Row, videos: VideoFolder) -> Draft:
    options = tuple(_LETTER.sub("", option, count=1) for option in row.texts("options"))
    name = row.text("videoID")
    return Draft(
        row=row,
        id=row.text("question_id"),
        video=videos.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        answer_indices=index_of_letter(row.text("answer"), options),
        groups={
            "duration": row.text("duration", "none"),
            "task": row.text("task_type", "none"),
            "domain": row.text("domain", "none"),
            "sub_category": row.text("sub_category", "none"),
        },
    )
