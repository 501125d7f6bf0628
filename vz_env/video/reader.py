"""Exact frames at timestamps, from any place of a long video, at the speed of the codec.

`VideoReader.frames_at` is the one way in: look into the caches, join the others who want something of this video now
(`gather`), plan which packets are needed (`plan`), decode those and no others (`decode`), keep the pictures. A picture
that cannot be decoded is an error that says so, never a blank.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, VideoCrash, VideoDecodeError, VideoError
from .access import FileIdentity
from .backends import BACKENDS, ISOLATIONS, Backend, Isolation, open_source
from .cache import FrameCache, frame_cache
from .frame_store import FrameStore
from .frames import FrameBatch
from .gather import Found, Gathering
from .index import VideoInfo
from .limits import Deadline, DecodeLimits
from .memory import PictureMemory
from .quarantine import Quarantine
from .request import check_seconds, make_batch, settle_size, to_ticks
from .source import PictureSource
from .survey import PacketSurvey, Progress
from .timeline import Timeline

__all__ = ["BACKENDS", "ISOLATIONS", "Backend", "Isolation", "VideoReader"]


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
        self._limits = limits or DecodeLimits()
        self._quarantine = quarantine
        self._lock = threading.Lock()
        self._closed = True  # until everything is there: `__del__` looks at it
        self._source = open_source(path, root, self._limits, workers, isolation=isolation, backend=backend)
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
        width, height = settle_size(self.info, size, max_pixels)
        ticks = self._ticks(check_seconds(timestamps_seconds, width * height * 3, self._limits))
        deadline = Deadline(self._limits.timeout_seconds, self.path)
        found: Found = {}
        missing = self._memory.look_up(set(ticks), (width, height), found)
        if missing:
            found |= self._gathering.ask(self._decode, set(missing), (width, height), deadline)
        return make_batch(ticks, found, (width, height), self.timeline, self.time_base)

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
        ticks = self._ticks(check_seconds(timestamps_seconds, 0, self._limits))
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
        deadline.wait(lambda seconds: self._lock.acquire(timeout=seconds), "waiting for another call on this video")
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

    def _ticks(self, seconds: NDArray[np.float64]) -> list[int]:
        """Turn seconds into stream ticks, once; everything after this counts in integers."""
        return to_ticks(seconds, self.info.duration_seconds, self.timeline, self.time_base)

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
