"""LVBench: 103 videos of about an hour; options inside the question, several labels a question, times as evidence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter, split_options
from .rows import Row, json_object, jsonl_rows

__all__ = ["BENCHMARK", "clock_span", "load"]

_FILE: Final = "video_info.meta.jsonl"
_KEY: Final = re.compile(r"(?:v=|youtu\.be/|/)([\w-]{11})(?:[&?#].*)?$")
_CLOCK: Final = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)", re.ASCII)


def prompt(episode: Episode) -> str:
    """The question with its options inside, as the annotation file holds it, and a sentence that asks for a letter."""
    options = lettered(episode.options, "({letter}) {option}")
    return f"{episode.question}\n{options}\nReply with the letter of the option."


BENCHMARK: Final = Benchmark(
    name="LVBench",
    title="103 videos of 30 minutes to 2 hours, 6 kinds of questions",
    home="Hugging Face dataset zai-org/LVBench; the videos are the user's to get",
    licence="CC-BY-NC-SA-4.0",
    needs=(
        "video_info.meta.jsonl",
        "videos/<key>.mp4 ...  # <key>_clean.mp4, and 00000/00000000.mp4 beside its .json, are found too",
    ),
    variants={"lvbench": {}},
    parser="letter",
    prompt=prompt,
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
    resolved, base, _ = BENCHMARK.locate(root, _FILE)
    videos = VideoFolder(resolved, base / "videos")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    numbered = _numbered(resolved, base / "videos")
    builder = DatasetBuilder(name="LVBench", split=split, root=resolved)
    for row in jsonl_rows(base / _FILE):
        key, genre = row.text("key"), row.text("type", "none")
        video = numbered.get(key) or videos.find(key, suffixes=("", "_clean"))
        minutes = _minutes(row)
        questions = row.get("qa")
        if not isinstance(questions, list) or not all(isinstance(one, dict) for one in questions):
            raise row.fail("qa: wanted a list of questions")
        for number, question in enumerate(questions):
            draft = _draft(Row(question, f"{row.place}: qa[{number}]"), key, video)
            draft.groups["genre"] = genre
            draft.duration, draft.is_duration_rough = minutes * 60.0 if minutes else None, True
            builder.add(draft)
    return builder.finish([base / _FILE])


def _numbered(root: Path, folder: Path) -> dict[str, str]:
    """Videos that a downloader numbered, `00000/00000000.mp4` beside a `.json` that holds the address, by their key."""
    found = {}
    for sidecar in sorted(folder.glob("*/*.json")):
        address = json_object(sidecar).get("url")
        video = sidecar.with_suffix(".mp4")
        key = _KEY.search(address) if isinstance(address, str) else None
        if key and video.is_file():
            found[key[1]] = video.relative_to(root).as_posix()
    return found


def _minutes(row: Row) -> float | None:
    info = row.get("video_info", {})
    if not isinstance(info, dict):
        raise row.fail(f"video_info: wanted an object, got {info!r:.60}")
    minutes: float | None = Row(info, row.place).number("duration_minutes", None)
    return minutes


def _draft(row: Row, key: str, video: str) -> Draft:
    stem, letters, options = split_options(row.text("question"))
    letter = row.text("answer").strip().strip("().")
    position = tuple(index for index, one in enumerate(letters) if one == letter)
    labels = row.get("question_type", ["none"])
    labels = [labels] if isinstance(labels, str) else list(Row({"labels": labels}, row.place).texts("labels"))
    return Draft(
        row=row,
        id=row.text("uid"),
        video=video,
        video_id=key,
        question=stem,
        options=options,
        answer_indices=position or index_of_letter(letter, options),
        evidence=clock_span(row.text("time_reference", "")),
        groups={"task": ", ".join(labels)},
    )


def clock_span(text: str) -> list[tuple[float, float]]:
    """The interval of `MM:SS-MM:SS` or `H:MM:SS-H:MM:SS` in seconds; none when it is written otherwise."""
    times = [60.0 * (60 * int(match[1] or 0) + int(match[2])) + float(match[3]) for match in _CLOCK.finditer(text)]
    if len(times) == 1:
        return [(times[0], times[0] + 1.0)]
    return [(times[0], times[1])] if len(times) == 2 and times[0] < times[1] else []
