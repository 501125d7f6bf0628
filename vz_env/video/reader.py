"""Exact frames at timestamps, from any place of a long video, at the speed of the codec.

`VideoReader.frames_at` is the one way in: look into the caches, join the others who want something of this video now
(`gather`), plan which packets are needed (`plan`), decode those and no others (`decode`), keep the pictures. A picture
that cannot be decoded is an error that says so, never a blank.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from types import TracebackType
from typing import Final, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, VideoCrash, VideoDecodeError, VideoError
from .access import FileIdentity
from .cache import FrameCache, frame_cache
from .frame_store import FrameStore
from .frames import FrameBatch, fit_size
from .gather import Found, Gathering
from .index import VideoInfo
from .limits import Deadline, DecodeLimits
from .memory import PictureMemory
from .quarantine import Quarantine
from .source import LocalSource, PictureSource
from .survey import PacketSurvey, Progress
from .timeline import Timeline

__all__ = ["BACKENDS", "ISOLATIONS", "Backend", "Isolation", "VideoReader"]

Isolation = Literal["none", "process"]
"""Where a file is decoded: in this process, or in a child with bounded memory that is killed at the deadline."""

ISOLATIONS: Final = get_args(Isolation)

Backend = Literal["pyav", "torchcodec"]
"""What decodes: PyAV, or torchcodec where it is right; which frame is on when is settled here for both."""

BACKENDS: Final = get_args(Backend)

TOLERANCE_SECONDS = 1e-6
"""A time this little before a frame counts as that frame's: 0.033333 is meant as 1/30. Far below any frame's length."""


class VideoReader:
    """An open video that answers "what is on at these times?". Thread-safe: calls at the same time share one pass.

    The frame at time t is the last presented frame whose time is at or before t, and time 0 is the first presented
    frame. Do not fork with a reader open: open it in the child.

    Args:
        path: video file; relative paths count from `root` when that is given.
        root: folder that the file must lie inside.
        limits: sizes and times that may not be exceeded.
        workers: decoder threads; with many environments on few cores, 1 spends the least.
        cache: where pictures are kept in memory; the process-wide cache by default.
        isolation: "process" decodes in a child process, for files one does not trust; see `isolation.ProcessSource`.
        backend: what decodes; their pictures differ by the rounding of their scalers.
        store: where pictures are kept on disk as well; nowhere by default.
        quarantine: told about failures.

    Raises:
        VideoError: one of its kinds, when the file cannot be opened; the message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        limits: DecodeLimits | None = None,
        workers: int = 1,
        cache: FrameCache | None = None,
        isolation: Isolation = "none",
        backend: Backend = "pyav",
        store: FrameStore | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        """Open the file and measure its timeline."""
        if workers < 1:
            raise ConfigError(f"workers must be at least 1, got {workers}")
        if isolation not in ISOLATIONS:
            raise ConfigError(f"isolation must be one of {', '.join(ISOLATIONS)}, got {isolation!r}")
        if backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        self._limits = limits or DecodeLimits()
        self._quarantine = quarantine
        self._lock = threading.Lock()
        self._closed = True  # until everything is there: `__del__` looks at it
        self._source = _open_source(path, root, self._limits, workers, (isolation, backend))
        self._memory = PictureMemory(self.identity, frame_cache() if cache is None else cache, store)
        self._gathering = Gathering(self._lock, max_ticks=self._limits.max_frames_per_call)
        self._closed = False

    @property
    def info(self) -> VideoInfo:
        """What the file holds."""
        return self._source.info

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self._source.identity.path

    @property
    def identity(self) -> FileIdentity:
        """The file this reader was opened from."""
        return self._source.identity

    @property
    def timeline(self) -> Timeline:
        """Its ends in ticks, for what works on packets; everybody else counts in seconds."""
        return self._source.timeline

    @property
    def time_base(self) -> Fraction:
        """Seconds of one tick."""
        return self._source.time_base

    def frames_at(
        self,
        timestamps_seconds: Sequence[float] | NDArray[np.float64],
        *,
        size: tuple[int, int] | None = None,
        max_pixels: int | None = None,
    ) -> FrameBatch:
        """Return the frames that are on at the given times, in the order given.

        Args:
            timestamps_seconds: shape (n,), in any order, repeats allowed; clamped into [0, duration).
            size: (width, height) to hand out exactly; without it the picture keeps its aspect and is never enlarged.
            max_pixels: most pixels of one frame when no size is given.

        Returns:
            n frames, read-only, with the times of the frames themselves. All or nothing: never a blank, never fewer.

        Raises:
            ConfigError: times that are not numbers, too many of them, or both size and max_pixels.
            VideoDecodeError: a picture that was asked for cannot be decoded; nothing is handed out.
            VideoTimeout: the deadline of `DecodeLimits.timeout_seconds` passed.
        """
        width, height = self._size(size, max_pixels)
        seconds = self._seconds(timestamps_seconds, width * height * 3)
        ticks = self._ticks(seconds)
        deadline = Deadline(self._limits.timeout_seconds, self.path)
        found: Found = {}
        missing = self._memory.look_up(set(ticks), (width, height), found)
        if missing:
            found |= self._gathering.ask(self._decode, set(missing), (width, height), deadline)
        return self._batch(ticks, found, (width, height))

    def keyframe_times(self, timestamps_seconds: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when the last keyframe at or before each of the given times is presented.

        Keyframes decode alone, so `frames_at` at these times is the fast overview of a long video: true pictures at
        true, if uneven, times, at most one group of pictures earlier than asked. Several times of one group give the
        same keyframe. Before the first keyframe, the first presented frame stands in.

        Args:
            timestamps_seconds: shape (n,), in any order; clamped into [0, duration).

        Returns:
            float64 seconds, shape (n,), none after the time it was asked for.

        Raises:
            ConfigError: times that are not numbers, or too many of them.
            VideoDecodeError: no keyframe can be read.
            VideoTimeout: the deadline of `DecodeLimits.timeout_seconds` passed.
        """
        ticks = self._ticks(self._seconds(timestamps_seconds, 0))
        deadline = Deadline(self._limits.timeout_seconds, self.path)
        with self._taking_turns(deadline) as source:
            keyframes = source.keyframes_at(set(ticks), deadline)
        first, last = source.timeline.first_tick, source.timeline.last_tick
        shown = np.array([min(max(keyframes[tick], first), last) - first for tick in ticks], dtype=np.float64)
        times: NDArray[np.float64] = shown * float(source.time_base)
        return times

    def survey(self, progress: Progress | None = None, *, timeout_seconds: float = 600.0) -> PacketSurvey:
        """Read every packet once: how many there are, where the keyframes are. Remembered in the cache folder.

        Raises:
            VideoTimeout: it took longer than `timeout_seconds`.
        """
        deadline = Deadline(timeout_seconds, self.path)
        with self._taking_turns(deadline) as source:
            return source.survey(deadline, progress)

    @contextmanager
    def _taking_turns(self, deadline: Deadline) -> Iterator[PictureSource]:
        """Hold the source while the block runs."""
        if not self._lock.acquire(timeout=deadline.left):
            deadline.fail("waiting for another call on this video")
        try:
            self._check_open()
            with self._noting():
                yield self._source
        finally:
            self._lock.release()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Tell the quarantine of what fails in the block; only a crash is reason enough not to try again."""
        try:
            yield
        except VideoError as error:
            if self._quarantine is not None:
                self._quarantine.note(self.identity, error, blocks=isinstance(error, VideoCrash))
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise VideoDecodeError(f"{self.path}: this reader is closed; open the video again")

    def _size(self, size: tuple[int, int] | None, max_pixels: int | None) -> tuple[int, int]:
        """Settle the size of the pictures to hand out."""
        if size is None:
            return fit_size(self.info.width, self.info.height, max_pixels)
        if max_pixels is not None:
            raise ConfigError("give either size or max_pixels, not both")
        width, height = size
        if width < 1 or height < 1:
            raise ConfigError(f"size must be (width, height) of at least one pixel, got {size}")
        return width, height

    def _seconds(
        self, timestamps_seconds: Sequence[float] | NDArray[np.float64], frame_bytes: int
    ) -> NDArray[np.float64]:
        """Check what was asked for."""
        seconds = np.asarray(timestamps_seconds, dtype=np.float64)
        if seconds.ndim != 1 or np.isnan(seconds).any():
            raise ConfigError(f"timestamps must be numbers of seconds in one dimension, got shape {seconds.shape}")
        limits = self._limits
        if len(seconds) > limits.max_frames_per_call or len(seconds) * frame_bytes > limits.max_output_bytes:
            raise ConfigError(
                f"{len(seconds)} frames of {frame_bytes} bytes in one call; the limits are "
                f"{limits.max_frames_per_call} frames (max_frames_per_call) and {limits.max_output_bytes} bytes"
            )
        return seconds

    def _ticks(self, seconds: NDArray[np.float64]) -> list[int]:
        """Turn seconds into stream ticks, once; everything after this counts in integers."""
        timeline, per_second = self._source.timeline, 1.0 / self._source.time_base
        inside = np.clip(seconds, 0.0, self.info.duration_seconds)
        return [
            min(timeline.first_tick + math.floor((t + TOLERANCE_SECONDS) * per_second), timeline.last_tick)
            for t in inside.tolist()
        ]

    def _decode(self, ticks: set[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Decode what another thread has not decoded while this one waited for its turn; holds the lock."""
        self._check_open()
        found: Found = {}
        missing = self._memory.look_up(ticks, size, found)
        if missing:
            with self._noting():
                fresh = self._source.decode(missing, size, deadline)
            self._memory.keep(fresh, size)
            found |= fresh
        return found

    def _batch(self, ticks: list[int], found: Found, size: tuple[int, int]) -> FrameBatch:
        """Put the pictures into one array, in the order asked for; a single picture is handed out as it is."""
        first, time_base = self._source.timeline.first_tick, self._source.time_base
        times = np.array([float((found[tick][0] - first) * time_base) for tick in ticks], dtype=np.float64)
        if len(ticks) == 1:
            return FrameBatch(found[ticks[0]][1][None], times)
        places: dict[int, list[int]] = {}
        for position, tick in enumerate(ticks):
            places.setdefault(tick, []).append(position)
        frames = np.empty((len(ticks), size[1], size[0], 3), dtype=np.uint8)
        for tick, positions in places.items():
            frames[positions] = found.pop(tick)[1]  # let go of each at once: an overview is not held twice
        return FrameBatch(frames, times)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close the file; waits for a call that is under way. Closing twice is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._source.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def __del__(self) -> None:
        """Close a reader that its users let go of: the container is part of a reference cycle and would linger."""
        if not getattr(self, "_closed", True):
            self.close()

    def __repr__(self) -> str:
        """Show the file and its length."""
        info = self.info
        return f"VideoReader({self.path!r}, {info.duration_seconds:.3f}s, {info.width}x{info.height} {info.codec})"


def _open_source(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None,
    limits: DecodeLimits,
    workers: int,
    how: tuple[Isolation, Backend],
) -> PictureSource:
    """Open the file where, and with what, it is to be decoded."""
    isolation, backend = how
    if backend == "torchcodec":
        if isolation == "process":
            raise ConfigError("isolation='process' is for files one does not trust, backend='torchcodec' for others")
        from .torchcodec_source import TorchcodecSource

        return TorchcodecSource(path, root=root, limits=limits, workers=workers)
    if isolation == "process":
        from .isolation import ProcessSource

        return ProcessSource(path, root=root, limits=limits, workers=workers)
    return LocalSource(path, root=root, limits=limits, workers=workers)
