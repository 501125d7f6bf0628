"""Deadlines: they end what makes no progress, and not what was stopped with the whole process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vz_env.errors import VideoTimeout
from vz_env.video import limits
from vz_env.video.limits import Deadline

Numbered = Callable[[str], Path]

PROGRAM = """
import sys
from vz_env.video.cache import FrameCache
from vz_env.video.limits import DecodeLimits
from vz_env.video.reader import VideoReader

path, isolation, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
limits = DecodeLimits(timeout_seconds=seconds)
with VideoReader(path, cache=FrameCache(0), isolation=isolation, limits=limits, workers=2) as reader:
    print("decoding", flush=True)
    while not sys.stdin.closed:
        reader.frames_at([k / 20 for k in range(40)])
        print("on", flush=True)
"""


class Clock:
    """Monotonic seconds, as a test moves them."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_a_deadline_that_is_looked_at_ends_when_it_said(clock: Clock) -> None:
    deadline = Deadline(20.0, "a.mp4")
    for _ in range(20):
        clock.now += 1.0
        deadline.check("reading")
    assert deadline.left == 0.0
    clock.now += 0.1
    with pytest.raises(VideoTimeout, match=r"a\.mp4: reading took more than 20 s"):
        deadline.check("reading")


def test_what_the_process_lay_still_is_counted_up_to_a_share(clock: Clock) -> None:
    deadline = Deadline(20.0, "a.mp4")
    clock.now += 3600.0
    assert deadline.left == pytest.approx(15.0)
    clock.now += 5.0
    assert deadline.left == pytest.approx(10.0)


def test_steps_that_each_take_for_ever_end_too(clock: Clock) -> None:
    deadline = Deadline(20.0, "a.mp4")
    for _ in range(4):
        clock.now += 60.0
        deadline.check("decoding")
    clock.now += 60.0
    with pytest.raises(VideoTimeout):
        deadline.check("decoding")


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.01])
def test_the_shortest_deadlines_end(seconds: float) -> None:
    deadline = Deadline(seconds, "a.mp4")
    time.sleep(0.02)
    assert deadline.left == 0.0
    with pytest.raises(VideoTimeout):
        deadline.check("reading")


def test_waiting_looks_all_the_time_and_tries_at_least_once() -> None:
    waits: list[float] = []
    with pytest.raises(VideoTimeout, match=r"waiting took more than 0\.4 s"):
        Deadline(0.4, "a.mp4").wait(lambda seconds: waits.append(seconds) or time.sleep(seconds), "waiting")
    assert max(waits) <= limits.SHORTEST_GAP_SECONDS / 2
    assert len(waits) >= 3
    assert Deadline(0.0, "a.mp4").wait(lambda seconds: [seconds], "waiting") == [0.0]


def test_threads_that_look_at_once_move_the_end_by_one_gap() -> None:
    deadline = Deadline(4.0, "a.mp4")
    deadline._seen -= 100.0  # nobody has looked for so long,
    deadline._end -= 100.0  # and all of it has passed
    gate = threading.Barrier(8)

    def look() -> None:
        gate.wait()
        deadline.check("decoding")

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2.0 < deadline.left <= 3.0


@contextmanager
def decoding(path: Path, isolation: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that decodes the same again and again."""
    command = [sys.executable, "-c", PROGRAM, str(path), isolation, str(seconds)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "decoding\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="stops a process by a signal")
@pytest.mark.parametrize("isolation", ["none", "process"])
def test_a_process_that_was_stopped_goes_on_with_its_call(isolation: str, numbered: Numbered) -> None:
    seconds = 2.0
    with decoding(numbered("bframes.mp4"), isolation, seconds) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "on\n"
            process.send_signal(signal.SIGSTOP)
            time.sleep(seconds + 0.5)
            process.send_signal(signal.SIGCONT)
        lines = [process.stdout.readline() for _ in range(60)]
        assert set(lines) == {"on\n"}, process.stderr and process.stderr.read()
