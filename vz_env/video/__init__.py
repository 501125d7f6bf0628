"""Video files to frames: safe opening, exact frames at timestamps, one bounded cache, and frames as lines of text."""

from __future__ import annotations

from .access import FileIdentity, open_video
from .cache import CacheMetrics, FrameCache, frame_cache
from .frames import FrameBatch, fit_size
from .index import VideoInfo
from .limits import DecodeLimits
from .reader import VideoReader, open_reader
from .sampling import overview_timestamps, uniform_timestamps, zoom_frame_count, zoom_timestamps

__all__ = [
    "CacheMetrics",
    "DecodeLimits",
    "FileIdentity",
    "FrameBatch",
    "FrameCache",
    "VideoInfo",
    "VideoReader",
    "fit_size",
    "frame_cache",
    "open_reader",
    "open_video",
    "overview_timestamps",
    "uniform_timestamps",
    "zoom_frame_count",
    "zoom_timestamps",
]
