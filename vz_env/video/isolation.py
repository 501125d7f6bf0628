"""A file decoded in a child process: bounded memory, killed at the deadline, and not believed.

The child (`worker`) opens the file and decodes; this side sends it lines of JSON and gets lines of JSON and raw pixels
back, of which it checks every number. Nothing is unpickled. A child that dies or does not answer costs the call that
waited for it; the next call starts another. What the child may do is bounded by the operating system:

- memory: `DecodeLimits.max_process_bytes` of address space
- time: it is killed at the deadline, and a limit on processor time ends it should this process be gone
- files: it cannot write any, and has no handles of this process but its three pipes
- environment: no variables of this process but its search path

It runs with the rights of the user all the same: for files from people you do not know, add a container.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from typing import Any, Final

import numpy as np

from .. import errors
from ..errors import ConfigError, VideoCrash, VideoDecodeError, VideoError
from .access import FileIdentity, resolve_video
from .gather import Found
from .index import VideoInfo
from .limits import Deadline, DecodeLimits
from .pipe import ChildProcess
from .survey import PacketSurvey, Progress
from .timeline import Timeline

__all__ = ["ProcessSource"]

STARTUP_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 0.5
"""The child looks at the deadline itself and says so in its own words; only when it cannot, it is killed."""

MAX_GROUPS: Final = 10_000_000


class ProcessSource:
    """A file opened and decoded in a child process. Arguments as `LocalSource`.

    Raises:
        VideoError: the file cannot be opened.
        ConfigError: this system has no resource limits.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None, limits: DecodeLimits, workers: int
    ) -> None:
        """Check the path here, start a child, and have the file opened there."""
        if os.name != "posix":
            raise ConfigError('isolation="process" needs the resource limits of a POSIX system; use isolation="none"')
        self._limits, self._workers = limits, workers
        self.identity: FileIdentity = resolve_video(path, root, limits)
        self._child: ChildProcess | None = None
        opened = self._start()
        with _checking(self):
            self.info = VideoInfo(**opened["info"])
            self.timeline = Timeline(*map(int, opened["timeline"]))
            self.time_base = Fraction(*map(int, opened["time_base"]))
            _check_measurements(self.info, self.timeline, self.time_base, limits)

    @property
    def process_id(self) -> int | None:
        """Of the child that is running, if one is."""
        return None if self._child is None else self._child.process_id

    def _start(self) -> dict[str, Any]:
        """Start a child and let it open the file."""
        child = ChildProcess(self._limits, Deadline(STARTUP_SECONDS, self.identity.path))
        self._child = child
        request = {
            "do": "open",
            "path": self.identity.path,
            "limits": asdict(self._limits),
            "workers": self._workers,
            "identity": list(self.identity),
        }
        try:
            return self._ask(request, Deadline(self._limits.timeout_seconds + GRACE_SECONDS, self.identity.path))[0]
        except VideoError:
            self._drop()
            raise

    def _ask(self, request: dict[str, Any], deadline: Deadline, most_bytes: int = 0) -> tuple[dict[str, Any], bytes]:
        """Send one request and wait for its answer; the child is gone when there is none.

        Raises:
            VideoError: what the child reports; `VideoTimeout` when it does not answer, `VideoCrash` when it died.
        """
        if self._child is None:
            self._start()
        child = self._child
        if child is None:
            raise VideoCrash(f"{self.identity.path}: no decoding process could be started")
        try:
            answer, content = child.ask(request, deadline, most_bytes)
        except VideoError:
            self._drop()
            raise
        if "error" in answer:
            raise _reported(answer)
        return answer, content

    def decode(self, ticks: Collection[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Have pictures decoded; see `LocalSource.decode`."""
        wanted = sorted(ticks)
        frame_bytes = size[0] * size[1] * 3
        request = {"do": "decode", "ticks": wanted, "size": list(size), "seconds": deadline.left}
        answer, content = self._ask(request, deadline.later(GRACE_SECONDS), len(wanted) * frame_bytes)
        with _checking(self):
            shown = {int(tick): int(when) for tick, when in answer["shown"]}
            order = [int(when) for when in answer["pictures"]]
            if set(shown) != set(wanted) or set(shown.values()) != set(order):
                raise ValueError("other pictures than were asked for")
            pixels = np.frombuffer(content, dtype=np.uint8).reshape(len(order), size[1], size[0], 3)
            pictures = {when: picture.copy() for when, picture in zip(order, pixels, strict=True)}
            return {tick: (when, pictures[when]) for tick, when in shown.items()}

    def keyframes_at(self, ticks: Collection[int], deadline: Deadline) -> dict[int, int]:
        """Have keyframes looked up; see `LocalSource.keyframes_at`."""
        request = {"do": "keyframes", "ticks": sorted(ticks), "seconds": deadline.left}
        answer, _ = self._ask(request, deadline.later(GRACE_SECONDS))
        with _checking(self):
            found = {int(tick): int(keyframe) for tick, keyframe in answer["keyframes"]}
            return {tick: found[tick] for tick in ticks}

    def survey(self, deadline: Deadline, progress: Progress | None = None) -> PacketSurvey:
        """Have every packet read; progress is told once, at the end."""
        answer, _ = self._ask({"do": "survey", "seconds": deadline.left}, deadline.later(GRACE_SECONDS))
        with _checking(self):
            found = PacketSurvey(
                keyframe_ticks=tuple(map(int, answer["keyframe_ticks"])),
                packets=int(answer["packets"]),
                packets_of_groups=tuple(map(int, answer["packets_of_groups"])),
                bytes=int(answer["bytes"]),
                is_reordered=bool(answer["is_reordered"]),
            )
        if progress is not None:
            progress(round(self.info.duration_seconds), round(self.info.duration_seconds))
        return found

    def _drop(self) -> None:
        """Kill the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def close(self) -> None:
        """Kill the child: it holds nothing that would have to be saved."""
        self._drop()


@contextmanager
def _checking(source: ProcessSource) -> Iterator[None]:
    """What the child sends is not believed: whatever does not fit is a `VideoCrash`, and the child goes."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        source.close()
        raise VideoCrash(
            f"{source.identity.path}: the decoding process answered nonsense ({error}); leave the file out"
        ) from error


def _check_measurements(info: VideoInfo, timeline: Timeline, time_base: Fraction, limits: DecodeLimits) -> None:
    """Refuse measurements that would break the arithmetic of a reader."""
    if not (0 < info.width * info.height <= limits.max_frame_pixels * 64 and info.width > 0):
        raise ValueError(f"pictures of {info.width}x{info.height}")
    if not 0.0 < float(info.duration_seconds) <= limits.max_duration_seconds:
        raise ValueError(f"a duration of {info.duration_seconds}")
    if time_base <= 0 or not timeline.first_tick <= timeline.last_tick <= timeline.end_tick:
        raise ValueError("ticks out of order")


def _reported(answer: dict[str, Any]) -> VideoError:
    """The error that the child reports, as this side's own."""
    kind = getattr(errors, str(answer["error"]), None)
    words = str(answer.get("message", ""))[:2000]
    if isinstance(kind, type) and issubclass(kind, VideoError):
        return kind(words)
    return VideoDecodeError(words)
