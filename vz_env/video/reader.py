"""Exact frames at timestamps, from any place of a long video, at the speed of the codec.

`VideoReader.frames_at` is the one way in: look into the cache, plan which packets are needed (`plan`), decode those and
no others (`decode`), keep the pictures. A picture that cannot be decoded is an error that says so, never a blank.
"""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, VideoDecodeError
from .access import FileIdentity, map_errors, open_video, video_stream
from .cache import FrameCache, frame_cache
from .crew import DecodingCrew
from .decode import PictureScaler, may_skip_nonreference
from .frames import FrameBatch, fit_size
from .index import Demuxer, VideoInfo
from .limits import Deadline, DecodeLimits
from .plan import PacketPlan
from .pool import ReaderPool
from .probe import probe_video
from .timeline import Timeline

__all__ = ["VideoReader", "open_reader"]

TOLERANCE_SECONDS = 1e-6
"""A time this little before a frame counts as that frame's: 0.033333 is meant as 1/30. Far below any frame's length."""

MAX_KNOWN_TICKS = 1 << 16

_Found = dict[int, tuple[int, NDArray[np.uint8]]]
"""Requested tick -> (presentation tick, picture)."""


class VideoReader:
    """An open video that answers "what is on at these times?". Thread-safe: calls take turns.

    The frame at time t is the last presented frame whose time is at or before t, and time 0 is the first presented
    frame. Do not fork with a reader open: open it in the child.

    Args:
        path: video file; relative paths count from `root` when that is given.
        root: folder that the file must lie inside.
        limits: sizes and times that may not be exceeded.
        workers: decoder threads; with many environments on few cores, 1 spends the least.
        cache: where pictures are kept; the process-wide cache by default.

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
    ) -> None:
        """Open the file and measure its timeline."""
        if workers < 1:
            raise ConfigError(f"workers must be at least 1, got {workers}")
        self._limits = limits or DecodeLimits()
        self._cache = frame_cache() if cache is None else cache
        self._lock = threading.Lock()
        self._closed = True  # until everything is there: `__del__` looks at it
        self._known: OrderedDict[int, int] = OrderedDict()
        self._container, self._identity = open_video(path, root=root, limits=self._limits)
        try:
            with map_errors(self.path, "probing"):
                deadline = Deadline(self._limits.timeout_seconds, self.path)
                stream = video_stream(self._container, self.path)
                self._demuxer = Demuxer(self._container, stream, self.path)
                self._crew = DecodingCrew(stream, workers=workers, skip_nonreference=may_skip_nonreference(stream))
                probed = probe_video(self._demuxer, self._crew, self._identity, self._limits, deadline)
        except BaseException:
            self._container.close()
            raise
        self._info: VideoInfo = probed.info
        self._timeline: Timeline = probed.timeline
        self._closed = False

    @property
    def info(self) -> VideoInfo:
        """What the file holds."""
        return self._info

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self._identity.path

    @property
    def identity(self) -> FileIdentity:
        """The file this reader was opened from."""
        return self._identity

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
        ticks = self._ticks(timestamps_seconds, width * height * 3)
        deadline = Deadline(self._limits.timeout_seconds, self.path)
        found: _Found = {}
        missing = self._look_up(set(ticks), (width, height), found)
        if missing:
            if not self._lock.acquire(timeout=deadline.left):
                deadline.fail("waiting for another call on this video")
            try:
                self._decode(missing, (width, height), found, deadline)
            finally:
                self._lock.release()
        return self._batch(ticks, found, (width, height))

    def _size(self, size: tuple[int, int] | None, max_pixels: int | None) -> tuple[int, int]:
        """Settle the size of the pictures to hand out."""
        if size is None:
            return fit_size(self._info.width, self._info.height, max_pixels)
        if max_pixels is not None:
            raise ConfigError("give either size or max_pixels, not both")
        width, height = size
        if width < 1 or height < 1:
            raise ConfigError(f"size must be (width, height) of at least one pixel, got {size}")
        return width, height

    def _ticks(self, timestamps_seconds: Sequence[float] | NDArray[np.float64], frame_bytes: int) -> list[int]:
        """Turn seconds into stream ticks, once; everything after this counts in integers."""
        seconds = np.asarray(timestamps_seconds, dtype=np.float64)
        if seconds.ndim != 1 or np.isnan(seconds).any():
            raise ConfigError(f"timestamps must be numbers of seconds in one dimension, got shape {seconds.shape}")
        limits = self._limits
        if len(seconds) > limits.max_frames_per_call or len(seconds) * frame_bytes > limits.max_output_bytes:
            raise ConfigError(
                f"{len(seconds)} frames of {frame_bytes} bytes in one call; the limits are "
                f"{limits.max_frames_per_call} frames (max_frames_per_call) and {limits.max_output_bytes} bytes"
            )
        first, last = self._timeline.first_tick, self._timeline.last_tick
        per_second = 1.0 / self._demuxer.time_base
        inside = np.clip(seconds, 0.0, self._info.duration_seconds)
        return [min(first + math.floor((t + TOLERANCE_SECONDS) * per_second), last) for t in inside.tolist()]

    def _key(self, tick: int, size: tuple[int, int]) -> tuple[FileIdentity, tuple[int, int], int]:
        return (self._identity, size, tick)

    def _look_up(self, ticks: Iterable[int], size: tuple[int, int], found: _Found) -> list[int]:
        """Move what the cache holds into `found`, and return the ticks it does not hold."""
        missing = []
        for tick in ticks:
            shown = self._known.get(tick)
            picture = None if shown is None else self._cache.get(self._key(shown, size))
            if shown is None or picture is None:
                missing.append(tick)
            else:
                found[tick] = (shown, picture)
        return missing

    def _decode(self, missing: list[int], size: tuple[int, int], found: _Found, deadline: Deadline) -> None:
        """Plan and decode the missing ticks; holds the lock."""
        if self._closed:
            raise VideoDecodeError(f"{self.path}: this reader is closed; open the video again")
        # Another thread may have decoded them while this one waited for its turn.
        missing = self._look_up(missing, size, found)
        with map_errors(self.path, "decoding"):
            scale = PictureScaler(*size, self._info.rotation_degrees)
            plan = PacketPlan(self._demuxer, self._timeline, deadline)
            pictures = self._crew.decode(plan.runs(missing), scale, deadline)
            for tick in missing:
                shown = plan.shown_at[tick]
                if shown not in pictures:
                    frame = self._crew.rescue(self._demuxer, self._timeline.first_tick, shown, deadline)
                    shown = cast(int, frame.pts)
                    pictures[shown] = scale(frame)
                self._remember(tick, shown)
                self._cache.put(self._key(shown, size), pictures[shown])
                found[tick] = (shown, pictures[shown])

    def _remember(self, tick: int, shown: int) -> None:
        """Note which picture is on at a tick, so that the cache answers next time without reading packets."""
        self._known[tick] = shown
        if len(self._known) > MAX_KNOWN_TICKS:
            self._known.popitem(last=False)

    def _batch(self, ticks: list[int], found: _Found, size: tuple[int, int]) -> FrameBatch:
        """Copy the pictures into one array, in the order asked for."""
        frames = np.empty((len(ticks), size[1], size[0], 3), dtype=np.uint8)
        times = np.empty(len(ticks), dtype=np.float64)
        for position, tick in enumerate(ticks):
            shown, frames[position] = found[tick]
            times[position] = (shown - self._timeline.first_tick) * self._demuxer.time_base
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
                self._crew.close()
                self._container.close()

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
        info = self._info
        return f"VideoReader({self.path!r}, {info.duration_seconds:.3f}s, {info.width}x{info.height} {info.codec})"


_POOL = ReaderPool(VideoReader, max_readers=8)


def open_reader(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> VideoReader:
    """Return a reader from the pool of this process, opening the file when no reader of it is there.

    At most 8 files are kept open, the ones unused for longest go first. Ask again for each use rather than holding on
    to a reader, and do not close it: others may be using it. A file that changed on disk gets a new reader.

    Raises:
        VideoError: as `VideoReader`.
    """
    return _POOL.get(path, root)
