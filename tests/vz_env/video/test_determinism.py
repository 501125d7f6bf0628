"""One video, one answer: whatever the threads, the order, the process and the caches."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vz_env.video.cache import FrameCache
from vz_env.video.frame_store import FrameStore
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
FILES = [
    "bframes.mp4",
    "open_gop.ts",
    "hevc.mp4",
    "vp9.webm",
    "av1.mp4",
    "mpeg4_bframes.mp4",
    "variable.mkv",
    "cut.mp4",
]
TIMES = np.random.default_rng(5).uniform(0, 4, 24)

PROGRAM = """
import sys
from test_determinism import TIMES, digest
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

for path in sys.argv[1:]:
    with VideoReader(path, cache=FrameCache(0), workers=2) as reader:
        print(digest(reader))
"""


def digest(reader: VideoReader, order: np.ndarray | None = None, pieces: int = 1) -> str:
    """A hash over the frames at `TIMES` and their timestamps, asked for in some order and in some pieces."""
    order = np.arange(len(TIMES)) if order is None else order
    frames = np.empty((len(TIMES), 48, 80, 3), np.uint8)
    times = np.empty(len(TIMES))
    for part in np.array_split(order, pieces):
        batch = reader.frames_at(TIMES[part], size=(80, 48))
        frames[part], times[part] = batch.frames, batch.timestamps_seconds
    return hashlib.sha256(frames.tobytes() + times.tobytes()).hexdigest()


@pytest.mark.parametrize("file", FILES)
def test_one_hash_over_threads_orders_and_caches(file: str, numbered: Numbered, tmp_path: Path) -> None:
    path, rng = numbered(file), np.random.default_rng(0)
    found: dict[str, str] = {}
    for workers in (1, 2, 4):
        for repeat in range(2):
            with VideoReader(path, cache=FrameCache(0), workers=workers) as reader:
                found[f"{workers} threads, {repeat}"] = digest(reader)
                found[f"{workers} threads, {repeat}, again"] = digest(reader)
                found[f"{workers} threads, {repeat}, shuffled"] = digest(reader, rng.permutation(len(TIMES)), 7)
    store = FrameStore(tmp_path)
    with VideoReader(path, cache=FrameCache(), store=store) as reader:
        found["fills the caches"] = digest(reader)
        found["from memory"] = digest(reader)
    with VideoReader(path, cache=FrameCache(0), store=store) as reader:
        found["from disk"] = digest(reader)
        reader.survey()
    with VideoReader(path, cache=FrameCache(0)) as reader:
        found["with known keyframes"] = digest(reader)

    assert set(found.values()) == {found["1 threads, 0"]}, found


def test_one_hash_over_processes(numbered: Numbered) -> None:
    paths = [numbered(file) for file in FILES]
    expected = []
    for path in paths:
        with VideoReader(path, cache=FrameCache(0)) as reader:
            expected.append(digest(reader))
        with VideoReader(path, cache=FrameCache(0), isolation="process") as reader:
            assert digest(reader) == expected[-1]
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, paths)],
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected
