"""Looks through a dataset before anybody plays it: every record, every video, every subtitle file; says what to fix.

Nothing here stops at the first trouble. What would end an episode in an error, or leave it ungraded, is an `error`;
what would only make its numbers worth less is a `warning`. Reads the keys: it is the owner's tool.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from ..episode import Episode
from ..errors import DatasetError, VideoError
from ..subtitles import load_subtitles
from ..video import open_reader
from .dataset import Dataset
from .jsonl import load_jsonl

__all__ = ["Checkup", "Finding", "check_dataset", "check_files"]

LONGEST_DIFFERENCE_SECONDS: Final = 1.0
"""Between an annotated length and that of the file: people round, and the environment forgives as much."""

LEAST_QUESTIONS: Final = 20
"""Before these many, no skew of the answers is worth a word."""

Progress = Callable[[int, int], None]
"""Called with (videos looked at, videos in all)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to fix: how bad, where, what is wrong and what to do."""

    severity: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was looked through, and what was found; errors come first."""

    questions: int
    videos: int
    hours: float
    with_evidence: int
    with_subtitles: int
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether every question can be played and graded."""
        return not any(finding.severity == "error" for finding in self.findings)


def check_files(
    annotations: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    decode: bool = True,
    progress: Progress | None = None,
) -> Checkup:
    """Check an annotation file and everything that it names.

    Args:
        annotations: the .jsonl file.
        root: the folder that its paths are relative to.
        decode: decode the first, the middle and the last frame of every video, not only open it.
        progress: told about every video.

    Returns:
        The checkup; also of a file of which nothing can be used.
    """
    try:
        dataset = load_jsonl(annotations, root, on_error="skip")
    except DatasetError as error:
        return Checkup(0, 0, 0.0, 0, 0, (Finding("error", str(annotations), str(error)),))
    lines = [Finding("error", f"line {line.line}", line.message) for line in dataset.rejected]
    found = check_dataset(dataset, decode=decode, progress=progress)
    findings = sorted([*lines, *found.findings], key=lambda finding: finding.severity)
    return Checkup(
        found.questions, found.videos, found.hours, found.with_evidence, found.with_subtitles, tuple(findings)
    )


def check_dataset(dataset: Dataset, *, decode: bool = True, progress: Progress | None = None) -> Checkup:
    """Check a dataset that is loaded; see `check_files`."""
    of_video: defaultdict[Path, list[Episode]] = defaultdict(list)
    for episode in dataset:
        of_video[episode.video_path].append(episode)
    findings = [Finding("warning", "annotations", note) for note in dataset.notes]
    seconds = 0.0
    for done, (path, episodes) in enumerate(of_video.items(), start=1):
        length, found = _check_video(path, episodes, dataset, decode=decode)
        seconds += length or 0.0
        findings += found
        for episode in episodes if length is not None else ():
            findings += _check_times(episode, dataset, length)
        if progress is not None:
            progress(done, len(of_video))
    findings += [*_check_subtitles(dataset.episodes), *_check_answers(dataset), *_check_twins(dataset.episodes)]
    return Checkup(
        questions=len(dataset),
        videos=len(of_video),
        hours=seconds / 3600,
        with_evidence=sum(bool(dataset.key(name).evidence) for name in dataset.ids),
        with_subtitles=sum(episode.subtitles is not None for episode in dataset),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),
    )


def _check_video(
    path: Path, episodes: Sequence[Episode], dataset: Dataset, *, decode: bool
) -> tuple[float | None, list[Finding]]:
    """The length of a video in seconds, None when it cannot be played, and what is wrong with it."""
    where = _shown(path, dataset)
    count = f"{len(episodes)} question{'s' * (len(episodes) != 1)}"
    try:
        reader = open_reader(path, dataset.root)
        info = reader.info
        length = float(info.duration_seconds)
        if decode:
            reader.frames_at(np.array([0.0, length / 2, length]), max_pixels=100_352)
    except VideoError as error:
        return None, [Finding("error", where, f"{error} ({count})")]
    found = []
    if info.is_truncated:
        found.append(Finding("warning", where, f"the file is cut off; {length:.1f} s of it are used. Copy it again"))
    told = {episode.duration_seconds for episode in episodes if episode.duration_seconds is not None}
    wrong = [seconds for seconds in told if abs(seconds - length) > LONGEST_DIFFERENCE_SECONDS]
    if wrong:
        message = (
            f"duration_s says {wrong[0]:g}, the file lasts {length:.1f} s and is believed. Correct it or leave it out"
        )
        found.append(Finding("warning", where, message))
    return length, found


def _check_times(episode: Episode, dataset: Dataset, length: float | None) -> Iterator[Finding]:
    """Spans of the key that lie outside of the video."""
    key = dataset.key(episode.id)
    for name, spans in (("evidence_spans_s", key.evidence), ("answer_spans_s", key.answer_segments)):
        beyond = [span for span in spans if span.start_seconds >= (length or math.inf)]
        if beyond:
            severity: Literal["error", "warning"] = "error" if name == "answer_spans_s" else "warning"
            yield Finding(
                severity,
                f"question {episode.id}",
                f"{name}: {len(beyond)} of {len(spans)} begin after the end of the video ({length:.1f} s). "
                "Are they seconds from its start?",
            )


def _check_subtitles(episodes: Sequence[Episode]) -> Iterator[Finding]:
    """Subtitle files that cannot be read, or say nothing."""
    for file in dict.fromkeys(episode.subtitles for episode in episodes):
        if file is None:
            continue
        try:
            lines = len(load_subtitles(file))
        except DatasetError as error:
            yield Finding("error", file.path.name, str(error))
            continue
        if not lines:
            yield Finding("warning", file.path.name, "no line with words in it. Is it the right file and format?")


def _check_answers(dataset: Dataset) -> Iterator[Finding]:
    """Answers that a policy could guess from the position of the option alone."""
    keys = [(episode, dataset.key(episode.id)) for episode in dataset if episode.answer_kind == "choice"]
    if len(keys) < LEAST_QUESTIONS:
        return
    index, right = Counter(key.answer_indices[0] for _, key in keys).most_common(1)[0]
    chance = sum(1 / len(episode.options) for episode, _ in keys)
    if right > chance + 3 * math.sqrt(chance):
        yield Finding(
            "warning",
            "annotations",
            f"option {chr(ord('A') + index)} is right in {right} of {len(keys)} questions, where {chance:.0f} would be "
            "expected: who always says it needs no video. Shuffle the options",
        )


def _check_twins(episodes: Sequence[Episode]) -> Iterator[Finding]:
    """The same question about the same video, twice."""
    seen: dict[tuple[object, ...], str] = {}
    for episode in episodes:
        first = seen.setdefault((episode.video_path, episode.question, episode.options), episode.id)
        if first != episode.id:
            yield Finding(
                "warning", f"question {episode.id}", f"the same as question {first}. Leave one out: it counts twice"
            )


def _shown(path: Path, dataset: Dataset) -> str:
    """A path as the annotations name it."""
    root = dataset.root
    return path.relative_to(root).as_posix() if root is not None and path.is_relative_to(root) else path.name
