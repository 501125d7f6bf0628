"""CG-Bench: questions whose clue lasts seconds in videos of up to an hour and a half; the clues are evidence."""

from __future__ import annotations

import os
from typing import Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .benchmark import Benchmark, lettered
from .builder import DatasetBuilder, Draft, VideoFolder, index_of_letter, indices_of_text
from .rows import Row, json_rows

__all__ = ["BENCHMARK", "load"]

_FILES: Final = {"mini": "cgbench_mini.json", "full": "cgbench.json"}


def prompt(episode: Episode) -> str:
    """The question, and the reply as a block of JSON that the official scorer reads."""
    return (
        f"Question: {episode.question}\nChoices:\n{lettered(episode.options)}\nAnswer with the letter of the right "
        'choice as JSON: ```json\n{"result": "A"}\n```'
    )


BENCHMARK: Final = Benchmark(
    name="CGBench",
    title="1,219 videos of 10 to 105 minutes; 3,000 (mini) or 12,129 questions with clue intervals",
    home="Hugging Face dataset CG-Bench/CG-Bench (gated); the mini file is in github.com/CG-Bench/CG-Bench too",
    licence="unclear",
    needs=(
        "cgbench_mini.json                   # cgbench.json for split full",
        "cg_videos_720p/<video_uid>.mp4 ...  # from video_chunk_*.zip",
        "cg_subtitles/<video_uid>.srt ...    # from subtitles.zip; for the variant with subtitles",
        "cg_clue_videos/<qid>.mp4 ...        # from clue_video_*.zip; for the variant that shows the clues alone",
    ),
    variants={
        "cgbench-mini": {"split": "mini"},
        "cgbench": {"split": "full"},
        "cgbench-mini-subtitles": {"split": "mini", "subtitles": True},
        "cgbench-mini-clues": {"split": "mini", "clues": True},
    },
    parser="cgbench_official",
    prompt=prompt,
)


def load(
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "mini",
    subtitles: bool = False,
    clues: bool = False,
    need_videos: bool = True,
) -> Dataset:
    """Load a split.

    Args:
        root: folder of the tree that `BENCHMARK.needs` shows.
        split: `mini` or `full`.
        subtitles: give episodes their subtitle file where there is one.
        clues: ask about the clip of a question's clues in place of the whole video: accuracy there is clue-acc.
        need_videos: whether a video folder that is not there is an error now.

    Raises:
        ConfigError: an unknown split.
        DatasetError: files are missing or wrong.
    """
    if split not in _FILES:
        raise ConfigError(f"CGBench wants split 'mini' or 'full', got {split!r}")
    resolved, base, _ = BENCHMARK.locate(root, _FILES[split])
    folder = "cg_clue_videos" if clues else "cg_videos_720p"
    videos = VideoFolder(resolved, base / folder)
    if need_videos and not videos.is_there:
        raise BENCHMARK.missing(base, folder)
    prefix, srt = base.relative_to(resolved).as_posix(), VideoFolder(resolved, base / "cg_subtitles")
    builder = DatasetBuilder(name="CGBench", split=split, root=resolved)
    for row in json_rows(base / _FILES[split]):
        draft = _draft(row, videos)
        if clues:  # what is left of the video has a time of its own
            draft.video, draft.duration, draft.evidence = videos.find(draft.id), None, ()
        if subtitles and srt.holds(f"{draft.video_id}.srt"):
            draft.subtitles = (f"{prefix}/cg_subtitles/{draft.video_id}.srt", "srt", 0.0)
        builder.add(draft)
    parts = {"subtitles": subtitles, "clues": clues}
    return builder.finish([base / _FILES[split]], variant=" ".join(word for word, is_on in parts.items() if is_on))


def _draft(row: Row, videos: VideoFolder) -> Draft:
    options, name = row.texts("choices"), row.text("video_uid")
    return Draft(
        row=row,
        id=row.text("qid"),
        video=videos.find(name),
        video_id=name,
        question=row.text("question"),
        options=options,
        answer_indices=index_of_letter(row.text("right_answer", ""), options)
        or indices_of_text(row.text("answer", ""), options),
        evidence=row.spans("clue_intervals", ()),
        duration=row.number("duration", None),
        groups={"domain": row.text("domain", "none"), "task": row.text("sub_category", "none")},
    )
