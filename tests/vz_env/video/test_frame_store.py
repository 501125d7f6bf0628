from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vz_env.errors import ConfigError
from vz_env.video.cache import FrameCache
from vz_env.video.frame_store import FrameStore
from vz_env.video.reader import VideoReader
from vz_env.video.source import LocalSource

Numbered = Callable[[str], Path]
TIMES = [0.0, 1.0, 2.5, 7.3]


def read(path: Path, store: FrameStore, times: list[float] = TIMES) -> np.ndarray:
    with VideoReader(path, cache=FrameCache(0), store=store) as reader:
        batch = reader.frames_at(times, size=(64, 40))
    assert (batch.timestamps_seconds <= np.array(times) + 1e-6).all()
    return batch.frames


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_decoded_once_is_read_from_the_disk(
    numbered: Numbered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = numbered("bframes.mp4")
    first = read(path, FrameStore(tmp_path))
    monkeypatch.setattr(LocalSource, "decode", lambda *args: pytest.fail("decoded again"))
    store = FrameStore(tmp_path)
    again = read(path, store)

    np.testing.assert_array_equal(again, first)
    assert (store.hits, store.misses) == (4, 0)
    assert len(pictures(tmp_path)) == 4
    assert str(tmp_path) in repr(store)


@pytest.mark.parametrize("spoil", [lambda content: content[:-1], lambda content: content[:10], lambda content: b""])
def test_a_cut_picture_is_decoded_anew(spoil: Callable[[bytes], bytes], numbered: Numbered, tmp_path: Path) -> None:
    path = numbered("bframes.mp4")
    first = read(path, FrameStore(tmp_path))
    for kept in pictures(tmp_path):
        kept.write_bytes(spoil(kept.read_bytes()))
    np.testing.assert_array_equal(read(path, FrameStore(tmp_path)), first)
    np.testing.assert_array_equal(read(path, FrameStore(tmp_path)), first)


def test_a_flipped_bit_is_noticed(numbered: Numbered, tmp_path: Path) -> None:
    path = numbered("bframes.mp4")
    first = read(path, FrameStore(tmp_path))
    for kept in pictures(tmp_path):
        content = bytearray(kept.read_bytes())
        content[len(content) // 2] ^= 64
        kept.write_bytes(content)
    np.testing.assert_array_equal(read(path, FrameStore(tmp_path)), first)


def test_the_folder_stays_within_its_cap_and_the_oldest_go(numbered: Numbered, tmp_path: Path) -> None:
    path, one = numbered("bframes.mp4"), 64 * 40 * 3 + 28
    store = FrameStore(tmp_path, max_bytes=10 * one)
    read(path, store, [0.0, 1.0])
    for kept in pictures(tmp_path):
        os.utime(kept, (0, 0))
    old = set(pictures(tmp_path))
    for second in range(2, 10):
        read(path, store, [float(second)])
        assert sum(kept.stat().st_size for kept in pictures(tmp_path)) <= 10 * one
    read(path, store, [9.5])
    assert not old & set(pictures(tmp_path))


def test_what_a_killed_process_left_half_written_goes(numbered: Numbered, tmp_path: Path) -> None:
    store = FrameStore(tmp_path, max_bytes=2 * (64 * 40 * 3 + 28))
    read(numbered("bframes.mp4"), store, [0.0])
    folder = pictures(tmp_path)[0].parent
    for name, age in ((".7.1.1", 3600), (".8.1.1", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    read(numbered("bframes.mp4"), store, [1.0, 2.0, 3.0])
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [".8.1.1"]


def test_a_folder_that_cannot_be_written_costs_the_cache_alone(numbered: Numbered, tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file came first")
    assert read(numbered("bframes.mp4"), store).shape == (4, 40, 64, 3)


def test_pictures_from_the_disk_are_read_only(numbered: Numbered, tmp_path: Path) -> None:
    read(numbered("bframes.mp4"), FrameStore(tmp_path))
    (frame,) = read(numbered("bframes.mp4"), FrameStore(tmp_path), [1.0])
    with pytest.raises(ValueError, match="read-only"):
        frame[0, 0, 0] = 1


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="wants a folder"):
        FrameStore(tmp_path / "file")
    with pytest.raises(ConfigError, match="at least 1"):
        FrameStore(tmp_path, max_bytes=0)
