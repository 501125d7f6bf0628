"""Video files to frames: safe opening, exact frames at timestamps, one bounded cache, and frames as lines of text."""

from __future__ import annotations

from .access import FileIdentity, open_video
from .cache import CacheMetrics, FrameCache, frame_cache
from .frame_store import FrameStore
from .frames import FrameBatch, fit_size
from .index import VideoInfo
from .limits import DecodeLimits
from .opening import (
    ReaderOptions,
    configure_readers,
    configured_readers,
    forget_failures,
    open_reader,
    quarantined_files,
)
from .reader import VideoReader
from .sampling import overview_timestamps, uniform_timestamps, zoom_frame_count, zoom_timestamps

__all__ = [
    "CacheMetrics",
    "DecodeLimits",
    "FileIdentity",
    "FrameBatch",
    "FrameCache",
    "FrameStore",
    "ReaderOptions",
    "VideoInfo",
    "VideoReader",
    "configure_readers",
    "configured_readers",
    "fit_size",
    "forget_failures",
    "frame_cache",
    "open_reader",
    "open_video",
    "overview_timestamps",
    "quarantined_files",
    "uniform_timestamps",
    "zoom_frame_count",
    "zoom_timestamps",
]
