from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vz_env.errors import NoVideoStream, VideoCrash, VideoDecodeError, VideoNotFound, VideoRefused, VideoTimeout
from vz_env.video.cache import FrameCache
from vz_env.video.isolation import ProcessSource
from vz_env.video.limits import DecodeLimits
from vz_env.video.opening import ReaderOptions, configure_readers, forget_failures, open_reader, quarantined_files
from vz_env.video.pipe import ChildProcess
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="resource limits are a matter of POSIX systems")
TIMES = [0.0, 2.51, 9.99, 2.51, 1e9]


def isolated(path: Path, **changes: object) -> VideoReader:
    return VideoReader(path, isolation="process", cache=FrameCache(0), **changes)  # type: ignore[arg-type]


def child_of(reader: VideoReader) -> int:
    source = reader._source
    assert isinstance(source, ProcessSource)
    assert source.process_id is not None
    return source.process_id


def is_running(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


@pytest.mark.parametrize("file", ["bframes.mp4", "variable.ts", "vp9.webm"])
def test_the_same_frames_as_in_this_process(file: str, numbered: Numbered) -> None:
    path = numbered(file)
    with VideoReader(path, cache=FrameCache(0)) as here, isolated(path, workers=2) as there:
        expected, found = here.frames_at(TIMES, max_pixels=4000), there.frames_at(TIMES, max_pixels=4000)
        assert there.info == here.info
        np.testing.assert_array_equal(found.frames, expected.frames)
        np.testing.assert_array_equal(found.timestamps_seconds, expected.timestamps_seconds)
        np.testing.assert_array_equal(there.keyframe_times(TIMES), here.keyframe_times(TIMES))
        assert there.survey() == here.survey()
        child = child_of(there)
        assert is_running(child)
    assert not is_running(child)


def test_a_child_that_hangs_is_killed_at_the_deadline_and_replaced(numbered: Numbered) -> None:
    with isolated(numbered("bframes.mp4"), limits=DecodeLimits(timeout_seconds=1.0)) as reader:
        child = child_of(reader)
        os.kill(child, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(VideoTimeout, match="took more than"):
            reader.frames_at([1.0])
        assert time.monotonic() - start < 2.0
        assert not is_running(child)
        assert len(reader.frames_at([1.0])) == 1


def test_a_child_that_dies_is_a_typed_error_and_is_replaced(numbered: Numbered) -> None:
    with isolated(numbered("bframes.mp4")) as reader:
        os.kill(child_of(reader), signal.SIGSEGV)
        with pytest.raises(VideoCrash, match="SIGSEGV"):
            reader.frames_at([1.0])
        assert len(reader.frames_at([1.0])) == 1


def test_a_crash_puts_the_file_into_quarantine(numbered: Numbered) -> None:
    before = configure_readers(ReaderOptions(isolation="process"))
    try:
        reader = open_reader(numbered("bframes.mp4"))
        os.kill(child_of(reader), signal.SIGKILL)
        with pytest.raises(VideoCrash, match="SIGKILL"):
            reader.frames_at([3.3], size=(14, 14))
        with pytest.raises(VideoCrash, match="not tried again"):
            open_reader(numbered("bframes.mp4"))
        assert quarantined_files()[-1].is_blocked
    finally:
        configure_readers(before)
        forget_failures()


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "large.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 4096, 2304, "yuvj420p"
        for number in range(2):
            frame = av.VideoFrame(4096, 2304, "yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoDecodeError):
        isolated(path, limits=DecodeLimits(max_process_bytes=230 << 20)).frames_at([0.0, 1.0])
    with isolated(path) as reader:
        assert len(reader.frames_at([0.0, 1.0], size=(160, 90))) == 2


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", VideoDecodeError, "empty"),
        (b"#EXTM3U\n/etc/passwd\n", VideoRefused, "playlist"),
        (None, VideoNotFound, "no such video"),
    ],
)
def test_what_the_child_refuses_is_our_error_here(
    content: bytes | None, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words):
        isolated(path)


def test_the_child_has_no_secrets_and_may_not_write(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with isolated(numbered("cfr.mp4")) as reader:
        process = Path(f"/proc/{child_of(reader)}")
        if not process.exists():
            pytest.skip("looks at the child through /proc")
        limits = process.joinpath("limits").read_text()
        assert b"sk-secret" not in process.joinpath("environ").read_bytes()
        for name, value in (("Max file size", "0"), ("Max open files", "64"), ("Max address space", str(2 << 30))):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.removeprefix(name).split()[0] == value
        for handle in process.joinpath("fd").iterdir():
            target = str(handle.readlink())
            assert target.startswith(("pipe:", "/dev/null", str(reader.path))), target


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Answers that a taken-over child could give, put over the true ones."""
    lies: dict[str, object] = {}
    ask = ChildProcess.ask

    def lie(self: ChildProcess, request: dict[str, object], *rest: object) -> object:
        answer, content = ask(self, request, *rest)  # type: ignore[arg-type]
        return ({**answer, **lies}, content) if request["do"] in ("decode", "open") else (answer, content)

    monkeypatch.setattr(ChildProcess, "ask", lie)
    return lies


def test_nonsense_from_the_child_is_an_error_of_ours(liar: dict[str, object], numbered: Numbered) -> None:
    lies: list[dict[str, object]] = [
        {"shown": []},
        {"shown": [[0, 0]], "pictures": [0, 0]},
        {"shown": "x"},
        {"pictures": ["a"]},
        {"shown": [[0, 10**400]]},
        {"error": "SystemExit", "message": "x"},
        {"error": "VideoTimeout", "message": "late"},
    ]
    with isolated(numbered("bframes.mp4")) as reader:  # one reader for all: a child is new where the last one went
        for lie in lies:
            liar.update(lie)
            with pytest.raises((VideoDecodeError, VideoTimeout)):
                reader.frames_at([1.0, 2.0])
            liar.clear()
        assert len(reader.frames_at([1.0])) == 1


@pytest.mark.parametrize(
    "lie",
    [{"time_base": [0, 1]}, {"time_base": [1, 0]}, {"timeline": [5, 1, 0]}, {"info": {}}, {"timeline": ["x", 1, 2]}],
)
def test_nonsense_about_the_file_is_refused(
    lie: dict[str, object], liar: dict[str, object], numbered: Numbered
) -> None:
    liar.update(lie)
    with pytest.raises(VideoCrash, match="nonsense"):
        isolated(numbered("bframes.mp4"))


def test_sound_only_keeps_its_type(tmp_path: Path) -> None:
    from make_assets import write_audio_only

    with pytest.raises(NoVideoStream, match="audio"):
        isolated(write_audio_only(tmp_path / "song.mp4"))
