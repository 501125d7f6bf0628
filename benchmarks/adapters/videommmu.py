"""VideoMMMU: what a lecture teaches, in three tracks; the third asks a question about a picture after the lecture."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError, DatasetError

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter
from .disciplines import DISCIPLINES, discipline_of
from .rows import Row, json_object

__all__ = ["BENCHMARK", "TRACKS", "load"]

TRACKS: Final = ("perception", "comprehension", "adaptation")
_QUOTED: Final = re.compile(r"'([^']*)'?")
_QUIZ: Final = "\nA quiz in the last picture of the video is not the question: leave it aside."
_APPLY: Final = (
    "Learn what the video teaches, and use it to answer this {kind} question. The picture that the question is about "
    "follows the video.\n"
)


def prompt(episode: Episode) -> str:
    """The question as the official text lays it out, by track."""
    options = f"\n{lettered(episode.options)}" if episode.options else ""
    if episode.groups.get("track") != "adaptation":
        return f"{episode.question}{options}{_QUIZ}"
    return f"{_APPLY.format(kind='multiple-choice' if options else 'open')}{episode.question}{options}"


BENCHMARK: Final = Benchmark(
    name="VideoMMMU",
    title="300 lectures, 30 subjects, three tracks of 300 questions, up to 14 options",
    home="github.com/EvolvingLMMs-Lab/VideoMMMU (data/) and Hugging Face dataset lmms-lab/VideoMMMU",
    licence="not stated",
    needs=(
        "data/perception_video.json, data/comprehension_video.json, data/adaptation_video.json",
        "Business/<id>.mp4 ...        # and Art, Engineering, Humanities, Medicine, Science",
        "Business/<id>_image.mp4 ...  # adaptation: the question's picture (.png and .jpg too)",
    ),
    variants={"videommmu": {}, **{f"videommmu-{track}": {"track": track} for track in TRACKS}},
    parser="mmmu",
    prompt=prompt,
)


def load(
    *, root: str | os.PathLike[str] | None = None, split: str = "test", track: str = "all", need_videos: bool = True
) -> Dataset:
    """Load one track, or all three.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: a name for reports; there is one part.
        track: `perception`, `comprehension`, `adaptation` or `all`.
        need_videos: whether it is an error now that no folder of videos is there.

    Raises:
        ConfigError: an unknown track.
        DatasetError: files are missing or wrong.
    """
    if track not in {*TRACKS, "all"}:
        raise ConfigError(f"VideoMMMU wants track 'all' or one of {', '.join(TRACKS)}, got {track!r}")
    chosen = TRACKS if track == "all" else (track,)
    resolved, base, _ = BENCHMARK.locate(root, f"data/{chosen[0]}_video.json")
    folders = {name: VideoFolder(resolved, base / name) for name in DISCIPLINES}
    if need_videos and not any(folder.is_there for folder in folders.values()):
        raise BENCHMARK.missing(base, "Business (or another discipline's folder)")
    builder = DatasetBuilder(name="VideoMMMU", split=split, root=resolved)
    files = [base / "data" / f"{name}_video.json" for name in chosen]
    for name, file in zip(chosen, files, strict=True):
        if not file.is_file():
            raise BENCHMARK.missing(base, f"data/{file.name}")
        for number, value in _records(json_object(file), file).items():
            builder.add(_draft(Row(value, f"{file}: {number}"), name, folders))
    return builder.finish(files, variant="" if track == "all" else track)


def _records(value: dict[str, Any], file: Path) -> dict[str, Any]:
    inner = next(iter(value.values()), None)
    if len(value) != 1 or not isinstance(inner, dict) or not all(isinstance(one, dict) for one in inner.values()):
        raise DatasetError(f"{file}:1: wanted one track as an object of numbered records")
    return inner


def _draft(row: Row, track: str, folders: dict[str, VideoFolder]) -> Draft:
    name = row.text("id")
    discipline, options, answer = discipline_of(name), row.texts("options", ()), row.text("answer")
    folder = folders[discipline]
    images = [f"{name}_image{ending}" for ending in (".mp4", ".png", ".jpg")]
    image = folder.find(next(filter(folder.holds, images), images[0]))
    kind = row.get("question_type", "multiple-choice")
    return Draft(
        row=row,
        id=f"{track}_{name}",
        video=folder.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        kind="choice" if options else "text",
        answer_indices=index_of_letter(answer, options),
        answer_texts=() if options else _open_answers(answer),
        images=(image,) if track == "adaptation" else (),
        groups={"track": track, "task": track, "discipline": discipline, "kind": "open" if not options else str(kind)},
    )


def _open_answers(answer: str) -> tuple[str, ...]:
    """The right answers of an open question: one text, or those in a written-out list, whose quotes may not close."""
    if not answer.lstrip().startswith("["):
        return (answer,)
    return tuple(text.strip(" ]") for text in _QUOTED.findall(answer) if text.strip(" ,]"))
