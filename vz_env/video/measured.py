"""What was measured of a video, kept on disk: opening a known file again reads its header and nothing more.

One small JSON file a video, in `video-index/` of the cache folder, under the identity of the file (path, device, inode,
size, time of change), so a file that changed is measured again. Written whole or not at all. What cannot be read, or
does not match its own checksum, counts as absent: the cache may lose time, never an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av

from ..cache_folder import cache_folder
from .access import FileIdentity
from .index import VideoInfo
from .timeline import Timeline

__all__ = ["Measured", "forget_measured", "load_measured", "save_measured"]

FORMAT: Final = 1
"""Raised whenever what is kept, or how it is measured, changes."""

MAX_ENTRIES: Final = 10_000
MAX_BYTES: Final = 16 << 20
"""A larger entry is not ours: 100,000 keyframes take about one MiB."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one file.

    Attributes:
        info: what `VideoReader.info` says.
        timeline: its ends, in ticks.
        keyframe_ticks: presentation ticks of all keyframes, rising; None before a pass over the whole file.
    """

    info: VideoInfo
    timeline: Timeline
    keyframe_ticks: tuple[int, ...] | None = None


def load_measured(identity: FileIdentity) -> Measured | None:
    """Return what is kept of a file, or None: not measured yet, or not readable."""
    try:
        path = _path(identity)
        if path.stat().st_size > MAX_BYTES:
            return None
        entry = json.loads(path.read_bytes())
        content = entry["content"]
        if entry["sha256"] != _digest(content) or content["made_for"] != _made_for(identity):
            return None
        steps = content["keyframe_steps"]
        return Measured(
            info=VideoInfo(**content["info"]),
            timeline=Timeline(*content["timeline"]),
            keyframe_ticks=None if steps is None else _ticks_of(steps),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save_measured(identity: FileIdentity, measured: Measured) -> None:
    """Keep what was measured; a cache folder that cannot be written to costs nothing but the next measurement."""
    ticks = measured.keyframe_ticks
    timeline = measured.timeline
    content = {
        "made_for": _made_for(identity),
        "info": asdict(measured.info),
        "timeline": [timeline.first_tick, timeline.last_tick, timeline.end_tick],
        "keyframe_steps": None if ticks is None else [b - a for a, b in zip((0, *ticks), ticks, strict=False)],
    }
    path = _path(identity)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent)
        unfinished.write_text(json.dumps({"sha256": _digest(content), "content": content}), encoding="ascii")
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def forget_measured(identity: FileIdentity) -> None:
    """Drop what is kept of a file."""
    with suppress(OSError):
        _path(identity).unlink(missing_ok=True)


def _path(identity: FileIdentity) -> Path:
    name = hashlib.sha256(json.dumps(list(identity)).encode("ascii")).hexdigest()[:32]
    return cache_folder() / "video-index" / f"{name}.json"


def _made_for(identity: FileIdentity) -> list[Any]:
    """What must be the same for an entry to count: the file, this format, and the library that measured."""
    return [FORMAT, av.__version__, *identity]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def _ticks_of(steps: list[int]) -> tuple[int, ...]:
    """Undo the differences that keyframes are kept as."""
    ticks, tick = [], 0
    for step in steps:
        tick += step
        ticks.append(tick)
    return tuple(ticks)


def _make_room(folder: Path) -> None:
    """Drop the oldest tenth when there are too many entries."""
    with os.scandir(folder) as entries:
        known = [entry for entry in entries if entry.name.endswith(".json")]
    if len(known) < MAX_ENTRIES:
        return
    for entry in sorted(known, key=lambda entry: entry.stat().st_mtime)[: MAX_ENTRIES // 10]:
        Path(entry.path).unlink(missing_ok=True)
