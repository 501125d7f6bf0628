from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vz_env.errors import VideoNotFound
from vz_env.video.opening import open_reader
from vz_env.video.pool import ReaderPool


@dataclass
class FakeReader:
    path: str
    is_closed: bool = False


def files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.mp4" for number in range(count)]
    for path in paths:
        path.write_bytes(b"x")
    return paths


def test_the_least_recently_used_is_dropped(tmp_path: Path) -> None:
    pool = ReaderPool(FakeReader, max_readers=2)
    first, second, third = files(tmp_path, 3)
    kept = pool.get(first)
    dropped = pool.get(second)
    assert pool.get(first) is kept
    pool.get(third)

    assert len(pool) == 2
    assert pool.get(first) is kept
    assert pool.get(second) is not dropped
    pool.clear()
    assert len(pool) == 0


def test_closed_readers_are_replaced(tmp_path: Path) -> None:
    pool = ReaderPool(FakeReader, max_readers=2)
    (path,) = files(tmp_path, 1)
    pool.get(path).is_closed = True
    assert not pool.get(path).is_closed


def test_a_missing_file_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    pool = ReaderPool(FakeReader, max_readers=2)
    with pytest.raises(VideoNotFound):
        pool.get(tmp_path / "absent.mp4")
    assert len(pool) == 0


def test_a_second_opener_gets_the_first_ones_reader(tmp_path: Path) -> None:
    (path,) = files(tmp_path, 1)
    opened: list[FakeReader] = []

    def make(name: str) -> FakeReader:
        if not opened:
            opened.append(FakeReader(name))
            return pool.get(path)  # another thread was quicker
        opened.append(FakeReader(name))
        return opened[-1]

    pool = ReaderPool(make, max_readers=2)
    assert pool.get(path) is pool.get(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is a matter of POSIX systems")
def test_a_forked_child_starts_afresh_and_reads(numbered: Callable[[str], Path]) -> None:
    path = numbered("cfr.mp4")
    expected = open_reader(path).frames_at([1.0, 2.0]).frames.tobytes()
    script = (
        "import os, sys\n"
        "from vz_env.video.opening import open_reader\n"
        f"reader = open_reader({str(path)!r})\n"
        "reader.frames_at([0.5])\n"
        "reader._lock.acquire()\n"  # as another thread of the parent would hold it
        "child = os.fork()\n"
        "if child == 0:\n"
        f"    again = open_reader({str(path)!r})\n"
        "    os.write(1, again.frames_at([1.0, 2.0]).frames.tobytes())\n"
        "    os._exit(int(again is reader))\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    assert done.stdout == expected
