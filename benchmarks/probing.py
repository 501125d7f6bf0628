"""What a video file is, what looking into it costs, and whether a training run should have it re-encoded first.

Costs are measured on the file, on one thread, with nothing cached: a few keyframes, a few exact frames far apart, a few
zooms. The advice weighs the time that zooms would save against the time that re-encoding takes.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vz_env.episode import Segment
from vz_env.video.cache import FrameCache
from vz_env.video.frames import fit_size
from vz_env.video.index import VideoInfo
from vz_env.video.reader import VideoReader
from vz_env.video.reencode import reencode_video
from vz_env.video.survey import PacketSurvey

from .preparing import GROUP_FRAMES, QUALITY

__all__ = ["Costs", "FileReport", "measure_costs", "measure_zoom", "probe_file"]

ZOOM_FRAMES: Final = 16
ZOOM_SECONDS: Final = 8.0
SAMPLES: Final = 3
WORTH_ZOOMS: Final = 5_000
"""Zooms into one video that a training run may well make: 300 iterations of 16 rollouts with one zoom each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of one thread, at the given frame size.

    Attributes:
        open_seconds: the file is opened and its header read.
        overview_seconds: `overview_frames` exact frames over the whole video.
        keyframe_overview_seconds: as many keyframes.
        zoom_seconds: 16 frames within 8 s, median of a few places.
        prepare_seconds_a_frame: `vz prepare` on one frame of the file.
        prepared_zoom_seconds: the zoom, into what `vz prepare` makes of the file.
    """

    open_seconds: float
    overview_seconds: float
    keyframe_overview_seconds: float
    zoom_seconds: float
    prepare_seconds_a_frame: float
    prepared_zoom_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """Everything `vz probe` says of a file. Sizes are (width, height)."""

    path: str
    info: VideoInfo
    frame_size: tuple[int, int]
    overview_frames: int
    pictures: int
    keyframes: int
    median_group_pictures: float
    largest_group_pictures: int
    median_group_seconds: float
    is_reordered: bool
    costs: Costs

    @property
    def prepare_seconds(self) -> float:
        """About how long `vz prepare` takes on this file."""
        return self.costs.prepare_seconds_a_frame * self.pictures

    @property
    def pays_back_after_zooms(self) -> float:
        """How many zooms into this video make re-encoding it worth its time; infinite when it saves nothing."""
        saved = self.costs.zoom_seconds - self.costs.prepared_zoom_seconds
        return self.prepare_seconds / saved if saved > 0 else float("inf")

    @property
    def is_worth_preparing(self) -> bool:
        """Whether a training run is likely to win by `vz prepare`: zooms much faster, paid back within one run."""
        is_faster = self.costs.zoom_seconds > 3 * self.costs.prepared_zoom_seconds
        return is_faster and self.pays_back_after_zooms < WORTH_ZOOMS

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        pays = self.pays_back_after_zooms
        return {
            **asdict(self),
            "prepare_seconds": self.prepare_seconds,
            "pays_back_after_zooms": pays if pays < float("inf") else None,
            "is_worth_preparing": self.is_worth_preparing,
        }


def probe_file(
    path: Path,
    *,
    max_pixels: int = 100_352,
    overview_frames: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> FileReport:
    """Look at a video file, and measure what looking into it costs.

    Args:
        path: the file.
        max_pixels: most pixels of a frame, as an environment's budget has it.
        overview_frames: frames of the overview whose cost is estimated.
        progress: told while its packets are read: (seconds read, seconds in all).

    Raises:
        VideoError: the file cannot be read.
    """
    costs = measure_costs(path, max_pixels=max_pixels, overview_frames=overview_frames)
    with VideoReader(path, cache=FrameCache(0)) as reader:
        info, survey = reader.info, reader.survey(progress)
    return FileReport(
        path=str(path),
        info=info,
        frame_size=fit_size(info.width, info.height, max_pixels),
        overview_frames=overview_frames,
        pictures=survey.packets,
        keyframes=len(survey.keyframe_ticks),
        median_group_pictures=float(statistics.median(survey.packets_of_groups)),
        largest_group_pictures=max(survey.packets_of_groups),
        median_group_seconds=_median_group_seconds(survey, info, float(reader.time_base)),
        is_reordered=survey.is_reordered,
        costs=costs,
    )


def measure_costs(path: Path, *, max_pixels: int, overview_frames: int) -> Costs:
    """Time the ways of looking, on one thread and without a cache.

    Raises:
        VideoError: the file cannot be read.
    """
    begun = time.perf_counter()
    with VideoReader(path, cache=FrameCache(0)) as reader:
        open_seconds = time.perf_counter() - begun
        duration = reader.info.duration_seconds

        # Places that no whole fraction of the video falls on, so that few of them are keyframes by chance.
        places = (np.arange(6) + 0.37) / 6 * duration
        _seconds_of(reader, places[:1], max_pixels)  # the decoder is opened by its first use
        exact = _seconds_of(reader, places, max_pixels) / len(places)
        keyframe = _seconds_of(reader, places, max_pixels, is_keyframes=True) / len(places)
    zoom = measure_zoom(path, max_pixels)
    prepare, prepared_zoom = _prepared_costs(path, Segment(places[2], places[2] + ZOOM_SECONDS), max_pixels)
    return Costs(
        open_seconds=open_seconds,
        overview_seconds=exact * overview_frames,
        keyframe_overview_seconds=keyframe * overview_frames,
        zoom_seconds=zoom,
        prepare_seconds_a_frame=prepare,
        prepared_zoom_seconds=prepared_zoom,
    )


def measure_zoom(path: Path, max_pixels: int) -> float:
    """Time a zoom of 16 frames on an open file, on one thread and without a cache: the median of a few places.

    Raises:
        VideoError: the file cannot be read.
    """
    with VideoReader(path, cache=FrameCache(0)) as reader:
        duration = reader.info.duration_seconds
        _seconds_of(reader, np.zeros(1), max_pixels)  # the decoder is opened by its first use
        starts = (np.arange(SAMPLES) + 0.37) / SAMPLES * max(0.0, duration - ZOOM_SECONDS)
        return statistics.median(_seconds_of(reader, _zoom(start, duration), max_pixels) for start in starts)


def _seconds_of(
    reader: VideoReader, times: NDArray[np.float64], max_pixels: int, *, is_keyframes: bool = False
) -> float:
    """How long one look takes."""
    begun = time.perf_counter()
    reader.frames_at(reader.keyframe_times(times) if is_keyframes else times, max_pixels=max_pixels)
    return time.perf_counter() - begun


def _zoom(start_seconds: float, duration_seconds: float) -> NDArray[np.float64]:
    """The moments of one zoom: 16 frames within eight seconds, or within the video where that is shorter."""
    return start_seconds + np.arange(ZOOM_FRAMES) * min(ZOOM_SECONDS, duration_seconds) / ZOOM_FRAMES


def _prepared_costs(path: Path, stretch: Segment, max_pixels: int) -> tuple[float, float]:
    """Re-encode some seconds of the file, and zoom into that: (seconds to write one frame, seconds of the zoom)."""
    with TemporaryDirectory(prefix="vz-probe-") as folder:
        copy = Path(folder) / "copy.mp4"
        begun = time.perf_counter()
        frames = reencode_video(
            path, copy, max_pixels=max_pixels, group_frames=GROUP_FRAMES, quality=QUALITY, stretch=stretch
        )
        prepare_seconds = (time.perf_counter() - begun) / frames
        return prepare_seconds, measure_zoom(copy, max_pixels)


def _median_group_seconds(survey: PacketSurvey, info: VideoInfo, seconds_a_tick: float) -> float:
    """Median time from one keyframe to the next; the whole video when there is one keyframe."""
    ticks = survey.keyframe_ticks
    if len(ticks) < 2:
        return info.duration_seconds
    return float(statistics.median(b - a for a, b in itertools.pairwise(ticks))) * seconds_a_tick
