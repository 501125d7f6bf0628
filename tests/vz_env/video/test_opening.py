from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from make_assets import read_number

from vz_env.errors import ConfigError, VideoCrash, VideoDecodeError, VideoTimeout
from vz_env.video import opening
from vz_env.video import reader as reader_module
from vz_env.video.frame_store import FrameStore
from vz_env.video.opening import (
    ReaderOptions,
    configure_readers,
    forget_failures,
    open_reader,
    quarantined_files,
)
from vz_env.video.source import LocalSource

Numbered = Callable[[str], Path]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test begins and ends without failures and with the default readers."""
    forget_failures()
    before = configure_readers()
    yield
    configure_readers(before)
    forget_failures()


def test_a_file_that_failed_is_remembered_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(VideoDecodeError, match="git lfs pull"):
        open_reader(path)
    monkeypatch.setattr(opening, "_POOL", None)
    with pytest.raises(VideoDecodeError, match=r"git lfs pull.*not tried again\)$"):
        open_reader(path)
    (failed,) = quarantined_files()
    assert (failed.path, failed.is_blocked, failed.failures) == (str(path.resolve()), True, 1)


def test_a_file_that_was_mended_is_read(numbered: Numbered, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not yet")
    with pytest.raises(VideoDecodeError):
        open_reader(path)
    shutil.copy(numbered("cfr.mp4"), path)
    assert read_number(open_reader(path).frames_at([1.0]).frames[0]) == 30


def test_a_damaged_place_is_noted_and_the_rest_is_read(
    numbered: Numbered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(numbered("cfr.mp4"), tmp_path / "a.mp4"))
    decode = LocalSource.decode

    def fail_late(self: LocalSource, ticks: list[int], *rest: object) -> object:
        if max(ticks) * float(self.time_base) > 5:
            raise VideoDecodeError("the picture at 6.000 s cannot be decoded")
        return decode(self, ticks, *rest)

    monkeypatch.setattr(LocalSource, "decode", fail_late)
    for _ in range(3):
        with pytest.raises(VideoDecodeError, match=r"6\.000 s"):
            open_reader(path).frames_at([6.0], size=(16, 16))
    assert open_reader(path).frames_at([1.0], size=(16, 16)).frames.shape == (1, 16, 16, 3)
    (failed,) = quarantined_files()
    assert (failed.failures, failed.is_blocked) == (3, False)


@pytest.mark.parametrize(
    ("error", "waits", "tries"),
    [(VideoTimeout("slow"), 1.5, 2), (VideoTimeout("slow"), 0.0, None), (VideoCrash("x"), 0, 1)],
)
def test_timeouts_block_when_they_repeat_and_crashes_at_once(
    error: Exception,
    waits: float,
    tries: int | None,
    numbered: Numbered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path(shutil.copy(numbered("cfr.mp4"), tmp_path / "a.mp4"))
    calls: list[object] = []

    def fail(*args: object) -> None:
        calls.append(args)
        raise error

    clock = time.monotonic
    monkeypatch.setattr("vz_env.video.quarantine.time.monotonic", lambda: clock() + waits * len(calls))
    monkeypatch.setattr(LocalSource, "decode", fail)
    for _ in range(4):
        with pytest.raises(type(error)):
            open_reader(path).frames_at([1.0], size=(16, 16))
    assert len(calls) == (tries or 4)


def test_readers_are_made_as_configured(numbered: Numbered, tmp_path: Path) -> None:
    path = numbered("cfr.mp4")
    plain = open_reader(path)
    before = configure_readers(ReaderOptions(workers=2, store=FrameStore(tmp_path)))
    assert before == ReaderOptions()
    kept = open_reader(path)
    assert kept is not plain
    kept.frames_at([3.0], size=(18, 18))
    assert len(list(tmp_path.rglob("*.rgb"))) == 1
    configure_readers()
    assert open_reader(path) is not kept


def test_options_that_make_no_reader_are_refused() -> None:
    with pytest.raises(ConfigError, match="isolation"):
        ReaderOptions(isolation="jail")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workers"):
        ReaderOptions(workers=0)
    with pytest.raises(ConfigError, match="isolation"):
        reader_module.VideoReader("a.mp4", isolation="jail")  # type: ignore[arg-type]
