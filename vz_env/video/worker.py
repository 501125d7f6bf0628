"""The child's side of `isolation="process"`: limits first, then one file, then requests until the pipe closes.

Run as `python -m vz_env.video.worker BYTES`. One request is a line of JSON on stdin; one answer is a line of JSON on
stdout, followed by as many raw bytes as its `bytes_after` says.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import IO, Any

from ..errors import VideoDecodeError, VideoError
from .access import FileIdentity
from .limits import Deadline, DecodeLimits
from .source import LocalSource

__all__ = ["bound_resources", "main"]

SPARE_SECONDS = 5


def bound_resources(most_bytes: int) -> None:
    """Bound the address space, forbid writing files and leaving a core behind, and allow few open files."""
    for kind, limit in (
        (resource.RLIMIT_AS, most_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))


def _bound_processor_time(seconds: float) -> None:
    """Allow so much more processor time: should the parent be gone, nothing else would end a decoder that spins."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds * (os.cpu_count() or 1)) + SPARE_SECONDS
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class _Desk:
    """The open file, and what may be asked of it."""

    def __init__(self) -> None:
        self._source: LocalSource | None = None
        self._tasks: dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], list[bytes]]]] = {
            "open": self._open,
            "decode": self._decode,
            "keyframes": self._keyframes,
            "survey": self._survey,
        }

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Do what is asked; what goes wrong is part of the answer."""
        _bound_processor_time(float(request.get("seconds", request.get("limits", {}).get("timeout_seconds", 60.0))))
        try:
            return self._tasks[request["do"]](request)
        except VideoError as error:
            return {"error": type(error).__name__, "message": str(error)}, []

    def _open(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        limits = DecodeLimits(**request["limits"])
        source = LocalSource(
            request["path"], root=None, limits=limits, workers=request["workers"], keeps_measurements=False
        )
        if source.identity != FileIdentity(*request["identity"]):
            raise VideoDecodeError(f"{request['path']}: the file changed while it was being opened")
        self._source = source
        info = {name: getattr(source.info, name) for name in source.info.__slots__}
        ends = source.timeline
        return {
            "info": info,
            "timeline": [ends.first_tick, ends.last_tick, ends.end_tick],
            "time_base": [source.time_base.numerator, source.time_base.denominator],
        }, []

    def _decode(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        source = self._opened
        found = source.decode(request["ticks"], tuple(request["size"]), self._deadline(request))
        pictures = {shown: picture.tobytes() for shown, picture in found.values()}
        shown_at = [[tick, shown] for tick, (shown, _) in found.items()]
        return {"shown": shown_at, "pictures": list(pictures)}, list(pictures.values())

    def _keyframes(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        found = self._opened.keyframes_at(request["ticks"], self._deadline(request))
        return {"keyframes": [[tick, keyframe] for tick, keyframe in found.items()]}, []

    def _survey(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        found = self._opened.survey(self._deadline(request))
        return {name: getattr(found, name) for name in found.__slots__}, []

    @property
    def _opened(self) -> LocalSource:
        if self._source is None:
            raise VideoDecodeError("no file is open in this process")
        return self._source

    def _deadline(self, request: dict[str, Any]) -> Deadline:
        return Deadline(float(request["seconds"]), self._opened.identity.path)


def _send(stream: IO[bytes], answer: dict[str, Any], pieces: list[bytes]) -> None:
    stream.write(json.dumps({**answer, "bytes_after": sum(map(len, pieces))}).encode("ascii") + b"\n")
    for piece in pieces:
        stream.write(piece)
    stream.flush()


def main() -> None:
    """Answer requests until there are no more."""
    bound_resources(int(sys.argv[1]))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    desk = _Desk()
    _send(answers, {}, [])
    for line in requests:
        _send(answers, *desk.answer(json.loads(line)))


if __name__ == "__main__":
    main()
