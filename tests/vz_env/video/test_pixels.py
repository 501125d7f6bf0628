"""Memory of pictures: filled like any array, private to a process, and given back when nobody looks into it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vz_env.video.pixels import PAGES_FOR_KEPT, empty_pixels

PICTURE = (236, 422, 3)


def _resident_bytes() -> int:
    """Memory of this process that is there."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("shape", [(0, 0, 3), (1, 1, 3), PICTURE, (2, *PICTURE)])
def test_an_array_like_any_other(shape: tuple[int, ...]) -> None:
    pixels = empty_pixels(shape)
    assert pixels.shape == shape
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    pixels[...] = 7
    assert (pixels == 7).all()
    pixels.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        pixels[...] = 8


def test_pages_of_its_own_from_the_size_that_is_asked_for() -> None:
    assert empty_pixels((PAGES_FOR_KEPT - 1,)).flags.owndata
    assert not empty_pixels((PAGES_FOR_KEPT,)).flags.owndata
    assert empty_pixels(PICTURE, least_bytes=1 << 20).flags.owndata


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_dropped_goes_back_to_the_system_although_others_stay() -> None:
    before = _resident_bytes()
    pictures = [empty_pixels(PICTURE) for _ in range(200)]
    for picture in pictures:
        picture[...] = 1
    held = _resident_bytes() - before
    assert held > 190 * pictures[0].nbytes
    rows = [picture[0] for picture in pictures[::10]]  # each looks into one picture and keeps it
    del pictures, picture
    left = _resident_bytes() - before
    assert len(rows) == 20
    assert left < 0.15 * held


GIVING_BACK = """
import os
from pathlib import Path
from vz_env.video.pixels import give_back_freed

def resident():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
blocks = [bytes(100_000) for _ in range(1000)]  # too small for pages of their own
last = bytes(100_000)  # what lies before it is not given back without being asked to
del blocks
held = resident() - before
give_back_freed()
print(held, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such call")
def test_what_the_allocator_holds_goes_back_too() -> None:
    done = subprocess.run([sys.executable, "-c", GIVING_BACK], capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 50e6
    assert left < 0.2 * held


PROGRAM = """
import os
from vz_env.video.pixels import empty_pixels

picture = empty_pixels((236, 422, 3))
picture[...] = 1
child = os.fork()
if not child:
    picture[...] = 2
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(int(picture.min()), int(picture.max()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is shared without fork")
def test_a_forked_child_does_not_write_into_the_pictures_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
