"""Which path is opened: regular files inside the root, as they were when they were checked; and every error is ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from make_assets import asset

from vz_env.errors import NoVideoStream, VideoDecodeError, VideoError, VideoNotFound, VideoRefused, VideoTimeout
from vz_env.video.access import create_video, map_errors, open_video, resolve_video
from vz_env.video.opening import open_reader
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


@pytest.mark.parametrize("name", ["../canary.ts", "{canary}", "sub/../../canary.ts", "link.ts", "folder/canary.ts"])
def test_nothing_outside_the_root_is_opened(name: str, root: Path, canary: Path) -> None:
    (root / "sub").mkdir()
    (root / "link.ts").symlink_to(canary)
    (root / "folder").symlink_to(canary.parent, target_is_directory=True)
    for opener in (VideoReader, open_reader):
        with pytest.raises(VideoRefused, match="leaves the folder"):
            opener(name.format(canary=canary), root=root)


def test_the_pool_checks_the_root_each_time(root: Path, canary: Path) -> None:
    assert open_reader(canary) is not None
    with pytest.raises(VideoRefused, match="leaves the folder"):
        open_reader(canary, root=root)


def test_a_link_inside_the_root_is_fine(root: Path, canary: Path) -> None:
    (root / "real.ts").write_bytes(canary.read_bytes())
    (root / "link.ts").symlink_to("real.ts")
    with VideoReader("link.ts", root=root) as reader:
        assert reader.path == str((root / "real.ts").resolve())


def test_awkward_names_are_opened(root: Path, numbered: Numbered) -> None:
    for name in ("a:b.mp4", "concat:x|y.mp4", "100%d.mp4", "with space.mp4", "-i.mp4", "naïve.mp4", "q?x=1#f.mp4"):
        (root / name).write_bytes(numbered("slow.mp4").read_bytes())
        with VideoReader(name, root=root) as reader:
            assert reader.info.codec == "h264"


@pytest.mark.parametrize("name", ["absent.mp4", "a" * 5000, "nul\0.mp4", "", "~", "loop"])
def test_what_is_not_there(name: str, root: Path) -> None:
    (root / "loop").symlink_to("loop")
    with pytest.raises(VideoNotFound):
        VideoReader(name, root=root)


def test_only_regular_files(root: Path) -> None:
    os.mkfifo(root / "pipe.mp4")
    (root / "folder.mp4").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.mp4"))
        for name, kind in (
            ("/dev/zero", "device"),
            ("pipe.mp4", "pipe"),
            ("folder.mp4", "folder"),
            ("s.mp4", "socket"),
            ("/dev/zero", "device"),
        ):
            with pytest.raises(VideoNotFound, match=kind):
                VideoReader(root / name)


def test_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFound):
        resolve_video("a.mp4", tmp_path / "absent")


def test_reordered_pictures_in_avi_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    from make_assets import Asset

    path = Asset(file="b.avi", ticks=range(30), options={"preset": "veryfast", "bf": "3"}).write(tmp_path)
    with pytest.raises(VideoRefused, match="no presentation times"):
        VideoReader(path)


def test_unreadable_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "resolve", denied)
    with pytest.raises(VideoRefused, match="may not be read"):
        resolve_video(tmp_path / "a.mp4")


def test_a_file_that_changes_while_it_is_opened_is_refused(
    numbered: Numbered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(numbered("cfr.mp4").read_bytes())
    opened = av.open

    def swap(*args: object, **kwargs: object) -> object:
        container = opened(*args, **kwargs)
        path.unlink()
        path.write_bytes(numbered("slow.mp4").read_bytes())
        return container

    monkeypatch.setattr(av, "open", swap)
    with pytest.raises(VideoRefused, match="changed"):
        open_video(path)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (IndexError("x"), VideoDecodeError),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), VideoDecodeError),
        (MemoryError(), VideoDecodeError),
        (av.error.InvalidDataError(1, "bad"), VideoDecodeError),
        (av.error.TimeoutError(1, "slow"), VideoTimeout),
        (av.error.ExitError(1, "stop"), VideoTimeout),
        (NoVideoStream("kept"), NoVideoStream),
    ],
)
def test_every_foreign_exception_is_mapped(foreign: Exception, ours: type[VideoError], numbered: Numbered) -> None:
    with pytest.raises(ours), map_errors(str(numbered("cfr.mp4")), "testing"):
        raise foreign


def test_interrupts_pass_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), map_errors(tmp_path, "testing"):
        raise KeyboardInterrupt


def test_created_videos_appear_whole_or_not_at_all(tmp_path: Path, numbered: Numbered) -> None:
    path = tmp_path / "new.mp4"
    path.write_bytes(b"old")

    def fill(container: av.container.OutputContainer) -> None:
        with av.open(str(numbered("cfr.mp4"))) as source:
            stream = container.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    container.mux(packet)

    def fail_half_way() -> None:
        with create_video(path) as container:
            fill(container)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_bytes() == b"old"

    with create_video(path, options={"movflags": "faststart"}) as container:
        fill(container)
    with VideoReader(path) as reader:
        assert reader.info.duration_seconds == pytest.approx(10)
    assert [p.name for p in tmp_path.iterdir()] == ["new.mp4"]


def test_handles_do_not_pile_up(numbered: Numbered, tmp_path: Path) -> None:
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("counts handles through /proc")
    paths = []
    for number in range(20):
        paths.append(tmp_path / f"{number}.mp4")
        paths[-1].write_bytes(numbered("slow.mp4").read_bytes())
    for path in paths:
        open_reader(path)
    before = len(list(handles.iterdir()))
    for path in paths * 3:
        open_reader(path).frames_at([1.0], size=(16, 16))
    assert len(list(handles.iterdir())) <= before + 1


def test_assets_know_their_names() -> None:
    assert asset("cfr.mp4").file == "cfr.mp4"
