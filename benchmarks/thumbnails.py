"""The frames of an episode as small pictures inside a page: one by one, or in strips where a page holds many.

Frames are not stored with results; they are read again from the video at the recorded times. A page has a budget of
bytes: an episode that would pass it is shown without its frames, and says so.
"""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_agents.trajectory import Trajectory
from vz_env.episode import AnswerKey, Episode
from vz_env.errors import DatasetError, VideoError
from vz_env.pictures import PICTURE_WORDS, question_picture
from vz_env.video.opening import open_reader

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["FIRST_EPISODES", "MAX_THUMBNAILS", "Thumbnail", "ThumbnailPlan", "draw_thumbnails", "plan_thumbnails"]

MAX_THUMBNAILS: Final = 32  # of a turn; more are thinned out evenly
MAX_PAGE_BYTES: Final = 24 << 20  # of all pictures of a page together
FIRST_EPISODES: Final = 16  # of many, those that are drawn large
_MANY_EPISODES: Final = 60
_STRIP_FRAMES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture as a data URI, its time or times, and whether it shows the evidence."""

    source: str
    label: str
    is_evidence: bool


@dataclass(slots=True, kw_only=True)
class ThumbnailPlan:
    """How the frames of a page's episodes are drawn, and how many bytes are left for them."""

    max_pixels: int = 128 * 80
    max_count: int = MAX_THUMBNAILS
    quality: int = 72
    is_strip: bool = False
    bytes_left: int = field(default=MAX_PAGE_BYTES)
    until: float = math.inf

    @property
    def is_spent(self) -> bool:
        """Whether the page has as many pictures as it can hold, or drawing them has taken as long as it may."""
        return self.bytes_left <= 0 or time.monotonic() > self.until


def plan_thumbnails(episodes: int, *, most_seconds: float = math.inf) -> tuple[ThumbnailPlan, ThumbnailPlan]:
    """How the first few episodes of a page are drawn, and how the others are.

    Large pictures one by one for a few episodes; where there are many, the frames of a turn side by side in one small
    picture for those behind them.

    Args:
        episodes: how many there are.
        most_seconds: after which no more frames are drawn; frames of long videos take their time.
    """
    until = time.monotonic() + most_seconds
    if episodes <= _MANY_EPISODES:
        plan = ThumbnailPlan(until=until)
        return plan, plan
    large = MAX_PAGE_BYTES // 4
    strips = ThumbnailPlan(max_pixels=64 * 36, max_count=_STRIP_FRAMES, quality=50, is_strip=True, until=until)
    strips.bytes_left -= large
    return ThumbnailPlan(bytes_left=large, until=until), strips


def draw_thumbnails(
    trajectory: Trajectory, episode: Episode, key: AnswerKey, dataset: Dataset, plan: ThumbnailPlan
) -> tuple[list[tuple[Thumbnail, ...]], str]:
    """Thumbnails of each turn, and why there are none."""
    nothing: list[tuple[Thumbnail, ...]] = [() for _ in trajectory.turns]
    if plan.is_spent:
        return nothing, "The frames are left out: the page has as many as it can hold, or as there was time to draw."
    try:
        reader = open_reader(episode.video_path, root=dataset.root)
        drawn = []
        for number, turn in enumerate(trajectory.turns):
            pictures = episode.question_images if number == 0 else ()  # they come behind the overview
            times = _thin(turn.timestamps[: len(turn.timestamps) - len(pictures)], plan.max_count)
            shown = list(_turn(reader, times, key, plan)) if times else []
            drawn.append((*shown, *_pictures(pictures, dataset, plan)))
    except (VideoError, DatasetError) as fault:
        return nothing, f"The frames cannot be shown: {fault}"
    plan.bytes_left -= sum(len(one.source) for turn in drawn for one in turn)
    return drawn, ""


def _turn(reader: Any, times: Sequence[float], key: AnswerKey, plan: ThumbnailPlan) -> Iterator[Thumbnail]:
    batch = reader.frames_at(np.asarray(times, dtype=np.float64), max_pixels=plan.max_pixels)
    hits = [any(segment.contains(time) for segment in key.evidence) for time in times]
    if plan.is_strip:
        strip = np.concatenate(list(batch.frames), axis=1)
        marks = "".join("*" if hit else " " for hit in hits).rstrip()
        label = f"{times[0]:.1f}s to {times[-1]:.1f}s{', * shows evidence: ' + marks if any(hits) else ''}"
        yield Thumbnail(source=_data_uri(strip, plan.quality), label=label, is_evidence=any(hits))
        return
    for frame, moment, hit in zip(batch.frames, times, hits, strict=True):
        yield Thumbnail(source=_data_uri(frame, plan.quality), label=f"{moment:.2f}s", is_evidence=hit)


def _pictures(paths: Sequence[Path], dataset: Dataset, plan: ThumbnailPlan) -> Iterator[Thumbnail]:
    """The pictures that belong to the question, which a turn shows behind the frames of the video."""
    for path in paths:
        picture = question_picture(path, dataset.root, size=None, max_pixels=plan.max_pixels)
        yield Thumbnail(source=_data_uri(picture, plan.quality), label=PICTURE_WORDS, is_evidence=False)


def _thin(times: Sequence[float], limit: int) -> list[float]:
    if len(times) <= limit:
        return list(times)
    return [times[index] for index in np.linspace(0, len(times) - 1, limit).round().astype(int)]


def _data_uri(frame: NDArray[np.uint8], quality: int) -> str:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, format="JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
