"""Long runs: memory and open files stay where they are. The one of half a minute runs with `VZ_LONG_TESTS=1` only."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
ZOOMS, WARM_UP = 4000, 2000  # the heap of the decoders settles slowly
FILES = 50
MAX_BYTES_A_ZOOM = 5_000

# A process of its own: what the other tests left behind must not move the figures.
PROGRAM = """
import json, os, resource, sys
import numpy as np
from vz_env.video import open_reader
from vz_env.video.cache import frame_cache

folder, zooms = sys.argv[1], int(sys.argv[2])
paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
frame_cache().max_bytes = 4 << 20
rng, page = np.random.default_rng(0), resource.getpagesize()
memory, handles = [], []
for zoom in range(zooms):
    reader = open_reader(paths[rng.integers(len(paths))])
    start = rng.uniform(0, reader.info.duration_seconds)
    reader.frames_at(start + np.arange(8) / 4, size=(96, 64))
    del reader
    memory.append(int(open("/proc/self/statm").read().split()[1]) * page)
    handles.append(len(os.listdir("/proc/self/fd")))
print(json.dumps([memory, handles]))
"""


@pytest.mark.skipif(not os.environ.get("VZ_LONG_TESTS"), reason="set VZ_LONG_TESTS=1 to run it")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_random_zooms_over_fifty_files_leave_nothing_behind(numbered: Numbered, tmp_path: Path) -> None:
    kinds = ("bframes.mp4", "cfr.mkv", "cfr.ts", "vp9.webm", "mpeg4.avi")
    for number in range(FILES):
        kind = kinds[number % len(kinds)]
        shutil.copy(numbered(kind), tmp_path / f"{number:02d}{Path(kind).suffix}")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(ZOOMS)], capture_output=True, text=True, check=True
    )
    memory, handles = json.loads(done.stdout)

    slope = np.polyfit(np.arange(ZOOMS - WARM_UP), memory[WARM_UP:], 1)[0]
    assert slope < MAX_BYTES_A_ZOOM, f"{slope:.0f} bytes a zoom"
    assert max(handles[WARM_UP:]) - min(handles[WARM_UP:]) <= 2, (min(handles[WARM_UP:]), max(handles[WARM_UP:]))


class _Heap(ctypes.Structure):
    """What `mallinfo2` of the C library tells."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keepcost")
    )


def heap_in_use() -> int:
    """Bytes that native code holds; resident memory would also show how torn the heap is."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("the C library does not tell how much it has handed out")
    library.mallinfo2.restype = _Heap
    gc.collect()
    return library.mallinfo2().used


@pytest.mark.parametrize("file", ["bframes.mp4", "cfr.mkv", "cfr.ts"])
def test_seeking_again_and_again_holds_no_native_memory(file: str, numbered: Numbered) -> None:
    path, asked = numbered(file), np.arange(4) * 2.0
    with VideoReader(path, cache=FrameCache(0)) as reader:
        for _ in range(20):
            reader.frames_at(asked, size=(16, 16))
        before = heap_in_use()
        for _ in range(300):
            reader.frames_at(asked, size=(16, 16))
        grown = heap_in_use() - before

    assert grown < 300 * 4 * 40, f"{grown / 1200:.0f} bytes a seek"
