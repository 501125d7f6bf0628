"""One episode as a person reads it: the question, the timeline, every turn with its frames and its text.

Frames are not stored with results; they are read again from the video at the recorded timestamps. The answer key is
opened here, after the episode: it marks the right option and where the evidence was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from vz_agents.baselines import letter_of
from vz_agents.trajectory import Trajectory, TurnRecord
from vz_env.episode import AnswerKey, Episode, Segment

from .charts import ZoomMark, draw_timeline
from .thumbnails import MAX_THUMBNAILS, Thumbnail, ThumbnailPlan, draw_thumbnails

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = [
    "MAX_THUMBNAILS",
    "EpisodeView",
    "OptionView",
    "Thumbnail",
    "TurnView",
    "clean_text",
    "verdict_of",
    "view_episode",
]

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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
    """Everything the template shows of one trajectory; `verdict` is right, wrong, ungraded or failed.

    `style` holds the words a page's filters go by: the verdict, `zoomed`, `missed` (the evidence), `early` (no answer).
    """

    policy: str
    episode_id: str
    question: str
    options: tuple[OptionView, ...]
    groups: str
    verdict: str
    style: str
    summary: str
    timeline: Markup
    turns: tuple[TurnView, ...]
    note: str


def clean_text(text: str) -> str:
    """A text without control characters and direction overrides, which could forge what a screen shows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def view_episode(trajectory: Trajectory, dataset: Dataset, plan: ThumbnailPlan | None = None) -> EpisodeView:
    """Gather what a person wants to see of a trajectory.

    Args:
        trajectory: a finished episode.
        dataset: the dataset it was played on.
        plan: how frames are drawn; what they take is subtracted from its bytes.

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
    thumbnails, note = draw_thumbnails(trajectory, episode, key, dataset, plan or ThumbnailPlan())
    return EpisodeView(
        policy=clean_text(trajectory.policy),
        episode_id=clean_text(episode.id),
        question=clean_text(episode.question),
        options=_options(trajectory, episode, key),
        groups=clean_text(", ".join(f"{name} {value}" for name, value in episode.groups.items())),
        verdict=verdict_of(trajectory),
        style=_style(trajectory),
        summary=_summary(trajectory),
        timeline=draw_timeline(duration, overview=overview, zooms=zooms, evidence=key.evidence),
        turns=tuple(
            TurnView(
                number=number,
                observation=clean_text(turn.observation),
                action=clean_text(turn.action),
                outcome=_outcome(turn),
                frames=_frame_count(turn, shown, is_strip=plan is not None and plan.is_strip),
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


def _style(trajectory: Trajectory) -> str:
    words = [verdict_of(trajectory)]
    words += ["zoomed"] if trajectory.metrics.get("zooms") else []
    words += ["missed"] if trajectory.metrics.get("evidence_hit") == 0.0 else []
    words += ["early"] if trajectory.status != "answered" else []
    return " ".join(words)


def _frame_count(turn: TurnRecord, shown: Sequence[Thumbnail], *, is_strip: bool) -> str:
    count = len(turn.timestamps)
    if not count:
        return ""
    if is_strip:
        return f"{count} frame{'' if count == 1 else 's'}"
    return f"{len(shown)} of {count} frames" if 0 < len(shown) < count else f"{count} frame{'' if count == 1 else 's'}"
