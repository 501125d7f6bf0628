"""LongVideoBench: questions that refer to a moment, with or without subtitles among the frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError, VideoError
from vz_env.video.opening import open_reader

from .benchmark import Benchmark, plain_prompt
from .builder import DatasetBuilder, Draft, VideoFolder
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load"]

_FILES: Final = {"validation": "lvb_val.json", "test": "lvb_test_wo_gt.json"}


def prompt(episode: Episode) -> str:
    """The question, which follows the frames and, in the subtitled variant, the subtitles among them."""
    return f"Question: {plain_prompt(episode)}"


BENCHMARK: Final = Benchmark(
    name="LongVideoBench",
    title="8 seconds to an hour; 17 kinds of questions that refer to a moment",
    home="Hugging Face dataset longvideobench/LongVideoBench (gated)",
    licence="CC-BY-NC-SA-4.0",
    needs=(
        "lvb_val.json                       # validation",
        "lvb_test_wo_gt.json                # test, answers hidden",
        "videos/<video_path> ...            # from videos.tar.part.*",
        "subtitles/<subtitle_path> ...      # from subtitles.tar; for the variant with subtitles",
    ),
    variants={
        "longvideobench": {"split": "validation", "subtitles": False},
        "longvideobench-subtitles": {"split": "validation", "subtitles": True},
    },
    parser="lmms_mcq",
    prompt=prompt,
    has_interleaved_subtitles=True,
)


def load(
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "validation",
    subtitles: bool = False,
    official_ends: bool = False,
    evidence: bool = False,
    need_videos: bool = True,
) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `validation`, or `test` (answers hidden: its episodes stay ungraded).
        subtitles: give each episode its subtitle file; `describe="captions"` then shows it beside the frames.
        official_ends: read subtitles as the official loader does, where an end that is a whole number of seconds counts
            as none, so that such a line stays on to the end of the video, and a short line is on for a second.
        evidence: open every video for its frame rate, which turns the annotated frame numbers into seconds.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in _FILES:
        raise ConfigError(f"LongVideoBench wants split 'validation' or 'test', got {split!r}")
    resolved, base, _ = BENCHMARK.locate(root, _FILES[split])
    videos = VideoFolder(resolved, base / "videos")
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, "videos")
    if subtitles and not (base / "subtitles").is_dir():
        raise BENCHMARK.missing(base, "subtitles")
    prefix = base.relative_to(resolved).as_posix()
    builder = DatasetBuilder(name="LongVideoBench", split=split, root=resolved)
    for row in json_rows(base / _FILES[split]):
        draft = _draft(row, videos)
        if subtitles and row.get("subtitle_path", None) is not None:
            offset = -row.number("starting_timestamp_for_subtitles", 0.0)
            draft.has_open_whole_ends = official_ends
            draft.subtitles = (f"{prefix}/subtitles/{row.text('subtitle_path')}", "json", offset)
        if evidence:
            draft.evidence = _moments(row, resolved / draft.video, resolved)
        builder.add(draft)
    parts = {"subtitles": subtitles, "official-ends": subtitles and official_ends}
    return builder.finish([base / _FILES[split]], variant=" ".join(word for word, is_on in parts.items() if is_on))


def _draft(row: Row, videos: VideoFolder) -> Draft:
    options = row.texts("candidates")
    choice = row.whole("correct_choice", None)
    return Draft(
        row=row,
        id=row.text("id"),
        video=videos.find(row.text("video_path")),
        video_id=row.text("video_id"),
        question=row.text("question"),
        options=options,
        answer_indices=(choice,) if choice is not None and 0 <= choice < len(options) else (),
        is_hidden=choice is None,
        duration=row.number("duration", None),
        groups={
            "task": row.text("question_category", "none"),
            "duration": f"{row.whole('duration_group', 0):04d} s",
            "level": row.text("level", "none"),
            "topic": row.text("topic_category", "none"),
        },
    )


def _moments(row: Row, path: Path, root: Path) -> list[tuple[float, float]]:
    """The annotated frame numbers as spans of one frame; none where the video cannot be opened."""
    frames = [float(number) for number in row.get("position", ()) if isinstance(number, int | float)]
    try:
        fps = open_reader(path, root).info.average_fps
    except VideoError:
        return []
    return [(number / fps, (number + 1) / fps) for number in frames] if fps > 0 else []
