"""One episode as a person reads it: the question, the timeline, every turn with its frames and its text.

Frames are not stored with results; they are read again from the video at the recorded timestamps. The answer key is
opened here, after the episode: it marks the right option and where the evidence was.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from vz_agents.baselines import letter_of
from vz_agents.trajectory import Trajectory, TurnRecord
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import DatasetError, VideoError
from vz_env.video.opening import open_reader

from .charts import ZoomMark, draw_timeline

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["EpisodeView", "OptionView", "Thumbnail", "TurnView", "clean_text", "verdict_of", "view_episode"]

MAX_THUMBNAIL_PIXELS: Final = 128 * 80
MAX_THUMBNAILS: Final = 32  # of a turn; more are thinned out evenly
_JPEG_QUALITY: Final = 72

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A frame as a data URI, its time, and whether it shows the evidence."""

    source: str
    label: str
    is_evidence: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """One turn: what came in (text, frames) and what was done."""

    number: int
    observation: str
    action: str
    outcome: str
    frames: str
    thumbnails: tuple[Thumbnail, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionView:
    """An option with its letter, and whether it is right and whether it was given."""

    letter: str
    text: str
    is_right: bool
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeView:
    """Everything the template shows of one trajectory; `verdict` is right, wrong, ungraded or failed."""

    policy: str
    episode_id: str
    question: str
    options: tuple[OptionView, ...]
    groups: str
    verdict: str
    summary: str
    timeline: Markup
    turns: tuple[TurnView, ...]
    note: str


def clean_text(text: str) -> str:
    """A text without control characters and direction overrides, which could forge what a screen shows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def view_episode(trajectory: Trajectory, dataset: Dataset) -> EpisodeView:
    """Gather what a person wants to see of a trajectory.

    Args:
        trajectory: a finished episode.
        dataset: the dataset it was played on.

    Returns:
        The view; when the video cannot be read it has no frames and `note` says why.

    Raises:
        UnknownEpisode: the dataset has no such episode.
    """
    episode, key = dataset.episode(trajectory.episode_id), dataset.key(trajectory.episode_id)
    zooms = _zooms(trajectory, key)
    overview = trajectory.turns[0].timestamps if trajectory.turns else []
    seen = [time for turn in trajectory.turns for time in turn.timestamps]
    ends = [zoom.segment.end_seconds for zoom in zooms]
    duration = episode.duration_seconds or max([*seen, *ends, 1.0])
    thumbnails, note = _thumbnails(trajectory, episode, key, dataset)
    return EpisodeView(
        policy=clean_text(trajectory.policy),
        episode_id=clean_text(episode.id),
        question=clean_text(episode.question),
        options=_options(trajectory, episode, key),
        groups=clean_text(", ".join(f"{name} {value}" for name, value in episode.groups.items())),
        verdict=verdict_of(trajectory),
        summary=_summary(trajectory),
        timeline=draw_timeline(duration, overview=overview, zooms=zooms, evidence=key.evidence),
        turns=tuple(
            TurnView(
                number=number,
                observation=clean_text(turn.observation),
                action=clean_text(turn.action),
                outcome=_outcome(turn),
                frames=_frame_count(turn, shown),
                thumbnails=shown,
            )
            for number, (turn, shown) in enumerate(zip(trajectory.turns, thumbnails, strict=True), start=1)
        ),
        note=clean_text(trajectory.error or note),
    )


def _zooms(trajectory: Trajectory, key: AnswerKey) -> list[ZoomMark]:
    """The zooms that were granted; the frames each brought are those of the turn after it."""
    marks = []
    for number, turn in enumerate(trajectory.turns, start=1):
        if turn.info.get("action") != "zoom" or not turn.info.get("segment"):
            continue
        times = trajectory.turns[number].timestamps if number < len(trajectory.turns) else []
        segment = Segment(*turn.info["segment"])
        marks.append(ZoomMark(turn=number, segment=segment, is_hit=any(_is_evidence(time, key) for time in times)))
    return marks


def _is_evidence(time: float, key: AnswerKey) -> bool:
    return any(segment.contains(time) for segment in key.evidence)


def _options(trajectory: Trajectory, episode: Episode, key: AnswerKey) -> tuple[OptionView, ...]:
    last: dict[str, Any] = trajectory.turns[-1].info if trajectory.turns else {}
    chosen = last.get("parsed")
    return tuple(
        OptionView(
            letter=letter_of(index),
            text=clean_text(option),
            is_right=index in key.answer_indices,
            is_chosen=chosen == letter_of(index),
        )
        for index, option in enumerate(episode.options)
    )


def verdict_of(trajectory: Trajectory) -> str:
    """right, wrong, ungraded or failed."""
    if trajectory.is_error:
        return "failed"
    if trajectory.score is None:
        return "ungraded"
    return "right" if trajectory.score >= 0.5 else "wrong"


def _summary(trajectory: Trajectory) -> str:
    zooms, frames = trajectory.metrics.get("zooms") or 0, trajectory.metrics.get("frames_used") or 0
    words = [f"{frames:.0f} frames", f"{zooms:.0f} zoom{'' if zooms == 1 else 's'}"]
    if zooms and trajectory.metrics.get("evidence_hit") is not None:
        words.append("evidence seen" if trajectory.metrics["evidence_hit"] else "evidence missed")
    if trajectory.status != "answered":
        words.append(trajectory.status.replace("_", " "))
    return ", ".join(words)


def _outcome(turn: TurnRecord) -> str:
    kind = str(turn.info.get("action", "failed"))
    return f"{kind} ({turn.info['invalid_code']})" if kind == "invalid" and turn.info.get("invalid_code") else kind


def _frame_count(turn: TurnRecord, shown: Sequence[Thumbnail]) -> str:
    count = len(turn.timestamps)
    if not count:
        return ""
    return f"{len(shown)} of {count} frames" if 0 < len(shown) < count else f"{count} frame{'' if count == 1 else 's'}"


def _thumbnails(
    trajectory: Trajectory, episode: Episode, key: AnswerKey, dataset: Dataset
) -> tuple[list[tuple[Thumbnail, ...]], str]:
    """Thumbnails of each turn, and why there are none."""
    nothing: list[tuple[Thumbnail, ...]] = [() for _ in trajectory.turns]
    try:
        reader = open_reader(episode.video_path, root=dataset.root)
        return [
            tuple(_turn_thumbnails(reader, _thin(turn.timestamps), key)) if turn.timestamps else ()
            for turn in trajectory.turns
        ], ""
    except (VideoError, DatasetError) as fault:
        return nothing, f"The frames cannot be shown: {fault}"


def _turn_thumbnails(reader: Any, times: Sequence[float], key: AnswerKey) -> Iterator[Thumbnail]:
    batch = reader.frames_at(np.asarray(times, dtype=np.float64), max_pixels=MAX_THUMBNAIL_PIXELS)
    for frame, time in zip(batch.frames, times, strict=True):
        yield Thumbnail(source=_data_uri(frame), label=f"{time:.2f}s", is_evidence=_is_evidence(time, key))


def _thin(times: Sequence[float]) -> list[float]:
    if len(times) <= MAX_THUMBNAILS:
        return list(times)
    return [times[index] for index in np.linspace(0, len(times) - 1, MAX_THUMBNAILS).round().astype(int)]


def _data_uri(frame: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, format="JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
