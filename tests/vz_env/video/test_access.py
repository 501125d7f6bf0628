from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_assets import asset, write_audio_only

from vz_env.errors import NoVideoStream, VideoDecodeError, VideoError, VideoNotFound, VideoRefused, VideoTimeout
from vz_env.video.access import create_video, map_errors, open_video, resolve_video
from vz_env.video.diagnosis import likely_cause
from vz_env.video.limits import Deadline, DecodeLimits
from vz_env.video.opening import open_reader
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def canary(tmp_path: Path, numbered: Numbered) -> Path:
    """A sound video outside the root: no frame of it may ever be seen."""
    path = tmp_path / "canary.ts"
    path.write_bytes(numbered("cfr.ts").read_bytes())
    return path


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A loopback server that notes who calls."""
    calls: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, address = server.accept()
            except TimeoutError:
                continue
            calls.append(address)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], calls
    stop.set()
    thread.join()
    server.close()


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ts"])
@pytest.mark.parametrize("target", ["../canary.ts", "{canary}", "file:{canary}", "http://127.0.0.1:{port}/canary.ts"])
def test_playlists_are_never_followed(
    name: str, target: str, root: Path, canary: Path, listener: tuple[int, list[object]]
) -> None:
    port, calls = listener
    entry = target.format(canary=canary, port=port)
    (root / name).write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{entry}\n#EXT-X-ENDLIST\n")

    with pytest.raises(VideoRefused, match="playlist"):
        VideoReader(name, root=root)

    assert calls == []


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile '../canary.ts'\n", "ffconcat version 1.0\nfile canary.ts\n"]
)
def test_concat_scripts_are_never_followed(text: str, root: Path, canary: Path) -> None:
    (root / "canary.ts").write_bytes(canary.read_bytes())
    (root / "video.mp4").write_text(text)
    with pytest.raises(VideoRefused, match="playlist"):
        VideoReader("video.mp4", root=root)


@pytest.mark.parametrize("name", ["a.mpd", "a.mp4", "a.sdp", "a.ts", "a.mkv", "a.avi", "img%03d.mp4"])
@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>',
        "<smil><video src='http://127.0.0.1:{port}/a.mp4'/></smil>",
        "[playlist]\nFile1=http://127.0.0.1:{port}/a.mp4\nNumberOfEntries=1\n",
        "http://127.0.0.1:{port}/a.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nsubfile,,start,0,end,0,,:{canary}\n",
        "#EXTM3U\n#EXTINF:10,\nconcat:{canary}|{canary}\n#EXT-X-ENDLIST\n",
        "testsrc=duration=10:size=320x240:rate=30",
    ],
    ids=["dash", "smil", "pls", "url", "sdp", "hls subfile", "hls concat", "lavfi"],
)
def test_no_text_makes_a_connection_or_shows_another_file(
    name: str, text: str, root: Path, canary: Path, listener: tuple[int, list[object]]
) -> None:
    port, calls = listener
    (root / name).write_text(text.format(port=port, canary=canary))
    for opener in (VideoReader, open_reader):
        with pytest.raises(VideoError):
            opener(name, root=root)
    assert calls == []


def test_session_descriptions_bind_no_port(root: Path) -> None:
    (root / "video.mp4").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n")
    with pytest.raises(VideoRefused, match="playlist"):
        VideoReader("video.mp4", root=root, limits=DecodeLimits(timeout_seconds=2))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 5004))


@pytest.mark.parametrize(
    "name",
    [
        "http://127.0.0.1:{port}/a.mp4",
        "tcp://127.0.0.1:{port}",
        "file:{canary}",
        "file://{canary}",
        "concat:{canary}|{canary}",
        "subfile,,start,0,end,0,,:{canary}",
        "async:{canary}",
        "cache:{canary}",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
        "lavfi:testsrc",
    ],
)
@pytest.mark.parametrize("contained", [True, False])
def test_urls_are_file_names(
    name: str,
    contained: bool,
    root: Path,
    canary: Path,
    listener: tuple[int, list[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, calls = listener
    monkeypatch.chdir(root)
    with pytest.raises(VideoNotFound, match="check the path"):
        VideoReader(name.format(port=port, canary=canary), root=root if contained else None)
    assert calls == []


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"question,answer\n1,2\n", "looks like text"),
        (bytes(5000), "zeros"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x10\0mdat" + bytes(100), "moov"),
    ],
)
def test_not_a_video_names_the_likely_cause(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoDecodeError, match=words):
        VideoReader(path)


def test_random_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in ("mp4", "mkv", "ts", "avi", "webm"):
        path = tmp_path / f"noise.{suffix}"
        path.write_bytes(rng.bytes(20_000))
        with pytest.raises(VideoError):
            VideoReader(path)


def test_cause_of_a_vanished_file(tmp_path: Path) -> None:
    assert "no longer" in likely_cause(tmp_path / "absent")[1]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_only(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(NoVideoStream, match="audio"):
        VideoReader(write_audio_only(tmp_path / f"song.{suffix}"))


def test_limits_are_kept(numbered: Numbered) -> None:
    path = numbered("cfr.mp4")
    for limits, words in (
        (DecodeLimits(max_file_bytes=1000), "max_file_bytes"),
        (DecodeLimits(max_frame_pixels=15_000), "max_frame_pixels"),
        (DecodeLimits(max_duration_seconds=5), "max_duration_seconds"),
    ):
        with pytest.raises(VideoRefused, match=words):
            VideoReader(path, limits=limits)


def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8192, 4096, "yuvj420p"
        frame = av.VideoFrame(8192, 4096, "yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoRefused, match="8192x4096"):
        VideoReader(path)


def test_codecs_and_formats_are_on_a_list(tmp_path: Path) -> None:
    for suffix, codec, pixels in (("mov", "png", "rgb24"), ("flv", "libx264", "yuv420p"), ("gif", "gif", "rgb8")):
        path = tmp_path / f"odd.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
            for number in range(3):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24").reformat(
                    format=pixels
                )
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises((VideoRefused, VideoDecodeError)):
            VideoReader(path)


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


def test_deadline() -> None:
    Deadline(60, "a.mp4").check("reading")
    late = Deadline(-1, "a.mp4")
    assert late.left == 0
    with pytest.raises(VideoTimeout, match=r"a\.mp4: reading took more than -1 s"):
        late.check("reading")


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
