"""A child process at the other end of two pipes: one line of JSON and some bytes each way, with deadlines."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from typing import IO, Any, Final, cast

from ..errors import VideoCrash
from .limits import Deadline, DecodeLimits

__all__ = ["ChildProcess"]

MAX_LINE_BYTES: Final = 16 << 20
PIECE_BYTES: Final = 1 << 20
_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class ChildProcess:
    """A running `vz_env.video.worker`. Not thread-safe.

    Args:
        limits: `max_process_bytes` and `timeout_seconds` bound it.
        deadline: for its start.

    Raises:
        VideoTimeout: it did not start in time.
        VideoCrash: it died while it started.
    """

    def __init__(self, limits: DecodeLimits, deadline: Deadline) -> None:
        """Start it, and wait until it says that its limits are in place."""
        variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        variables["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        variables["OPENBLAS_NUM_THREADS"] = variables["OMP_NUM_THREADS"] = "1"  # threads take address space
        command = [sys.executable, "-P", "-m", "vz_env.video.worker", str(limits.max_process_bytes)]
        self._process = subprocess.Popen(  # noqa: S603  (our own module, run by our own interpreter)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout).fileno()
        self._buffer = bytearray()
        os.set_blocking(self._input.fileno(), False)
        try:
            self._read_line(deadline)
        except BaseException:
            self.kill()
            raise

    @property
    def process_id(self) -> int:
        """Of the child."""
        return self._process.pid

    def ask(self, request: dict[str, Any], deadline: Deadline, most_bytes: int) -> tuple[dict[str, Any], bytes]:
        """Send a line, and return the line and the bytes that come back.

        Raises:
            VideoTimeout: no answer in time.
            VideoCrash: the child died, or its answer is larger than `most_bytes`.
        """
        self._send(json.dumps(request).encode("ascii") + b"\n", deadline)
        try:
            answer = json.loads(self._read_line(deadline))
            count = int(answer.get("bytes_after", 0))
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise VideoCrash(f"{deadline.path}: the decoding process answered nonsense ({error})") from error
        if not 0 <= count <= most_bytes:
            raise VideoCrash(f"{deadline.path}: the decoding process sends {count} bytes, at most {most_bytes} fit")
        return answer, self._read_bytes(count, deadline)

    def _send(self, line: bytes, deadline: Deadline) -> None:
        """Write all of a line."""
        left = memoryview(line)
        while left:
            deadline.wait(
                lambda seconds: select.select([], [self._input], [], seconds)[1],
                "sending a request to the decoding process",
            )
            try:
                left = left[os.write(self._input.fileno(), left) :]
            except (BrokenPipeError, ConnectionError):
                raise self._crash(deadline) from None

    def _read_line(self, deadline: Deadline) -> bytes:
        """Read up to the next line break."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_LINE_BYTES:
                raise VideoCrash(f"{deadline.path}: the decoding process answered with a line without an end")
            self._read_some(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _read_bytes(self, count: int, deadline: Deadline) -> bytes:
        """Read so many bytes."""
        while len(self._buffer) < count:
            self._read_some(deadline)
        content = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return content

    def _read_some(self, deadline: Deadline) -> None:
        """Read what is there, waiting until something is."""
        deadline.wait(
            lambda seconds: select.select([self._output], [], [], seconds)[0], "decoding in a process of its own"
        )
        piece = os.read(self._output, PIECE_BYTES)
        if not piece:
            raise self._crash(deadline)
        self._buffer += piece

    def _crash(self, deadline: Deadline) -> VideoCrash:
        """Say how the child ended."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            code = 0
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return VideoCrash(
            f"{deadline.path}: the process that decoded it ended {how}; leave the file out, or re-encode it"
        )

    def kill(self) -> None:
        """End it, at once, and take its ending note so that no zombie is left."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
