"""NExT-GQA: NExT-QA's causal and temporal questions with the seconds that show the answer."""

from __future__ import annotations

import os
from typing import Any, Final

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError

from .benchmark import Benchmark
from .builder import DatasetBuilder, Draft, indices_of_text
from .nextqa import VidorVideos, question_kind
from .rows import Row, csv_rows, json_object

__all__ = ["BENCHMARK", "load"]

BENCHMARK: Final = Benchmark(
    name="NExTGQA",
    title="1,557 videos of about 40 seconds; each question with the segments that show its answer",
    home="github.com/doc-doc/NExT-GQA (datasets/nextgqa); videos from VidOR",
    licence="MIT",
    needs=(
        "val.csv, test.csv                      # the split's",
        "gsub_val.json, gsub_test.json          # the segments",
        "map_vid_vidorID.json                   # from NExT-QA: where videos lie in VidOR's folders",
        "videos/<folder>/<video_id>.mp4 ...     # or videos/<video_id>.mp4",
    ),
    variants={"nextgqa-val": {"split": "val"}, "nextgqa-test": {"split": "test"}},
    parser="letter",
)


def load(*, root: str | os.PathLike[str] | None = None, split: str = "val", need_videos: bool = True) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `val` or `test`.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in {"val", "test"}:
        raise ConfigError(f"NExTGQA wants split 'val' or 'test', got {split!r}")
    resolved, base, file = BENCHMARK.locate(root, f"{split}.csv")
    spans = base / f"gsub_{split}.json"
    if not spans.is_file():
        raise BENCHMARK.missing(base, spans.name)
    videos = VidorVideos(resolved, base)
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    grounding = json_object(spans)
    builder = DatasetBuilder(name="NExTGQA", split=split, root=resolved)
    for row in csv_rows(file):
        builder.add(_draft(row, videos, grounding))
    return builder.finish([file, spans])


def _draft(row: Row, videos: VidorVideos, grounding: dict[str, Any]) -> Draft:
    name, qid, code = row.text("video_id"), row.text("qid"), row.text("type")
    options = tuple(row.text(f"a{index}") for index in range(5))
    place = Row({"video": grounding.get(name, {})}, f"{row.place} (gsub {name})")
    found = place.get("video", {})
    if not isinstance(found, dict) or not isinstance(found.get("location", {}), dict):
        raise place.fail(f"wanted an object with location, got {found!r:.60}")
    known = Row(found, place.place)
    return Draft(
        row=row,
        id=f"{name}_{qid}",
        video=videos.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        answer_indices=indices_of_text(row.text("answer"), options),
        evidence=Row(found.get("location", {}), place.place).spans(qid, ()),
        duration=known.number("duration", None),
        groups={"task": code, "kind": question_kind(code)},
    )
