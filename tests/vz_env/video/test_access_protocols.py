"""A file whose text names others, and a name that is a URL: no connection, no socket, no frame of a file outside."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from vz_env.errors import VideoError, VideoNotFound, VideoRefused
from vz_env.video.limits import DecodeLimits
from vz_env.video.opening import open_reader
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


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
