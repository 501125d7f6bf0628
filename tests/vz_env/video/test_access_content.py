"""What a file holds: no video, sound only, too large a picture, a codec that is on no list."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_assets import numbered_picture, read_number, write_audio_only

from vz_env.errors import NoVideoStream, VideoDecodeError, VideoError, VideoRefused
from vz_env.video.cache import FrameCache
from vz_env.video.diagnosis import likely_cause
from vz_env.video.limits import DecodeLimits
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


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


def broadcast(path: Path, size: tuple[int, int], first: int, codec: str, count: int) -> bytes:
    """A stretch of a transport stream whose pictures are numbered and dated from `first` on."""
    options = {
        "libx264": {"preset": "veryfast"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"},
    }
    clock = Fraction(1, 90_000)
    with av.open(str(path), "w", format="mpegts", container_options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = *size, "yuv420p", options[codec]
        stream.codec_context.time_base, stream.codec_context.gop_size = clock, 24
        for number in range(first, first + count):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = number * 3000, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_stream_may_change_its_size(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "sizes.ts"
    pieces = [((160, 96), 0), ((320, 192), 60)]
    path.write_bytes(b"".join(broadcast(tmp_path / "piece.ts", size, at, codec, 60) for size, at in pieces))
    with VideoReader(path, cache=FrameCache(0)) as reader:
        asked = np.arange(0.01, 3.99, 0.13)
        assert [read_number(frame) for frame in reader.frames_at(asked).frames] == [int(t * 30) for t in asked]


def test_a_bomb_behind_small_pictures_ends_the_video_before_it(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ts"
    pieces = [((160, 96), 0, 60), ((640, 384), 60, 4)]
    path.write_bytes(b"".join(broadcast(tmp_path / "p.ts", size, at, "libx264", n) for size, at, n in pieces))
    with VideoReader(path, cache=FrameCache(0), limits=DecodeLimits(max_frame_pixels=200_000)) as reader:
        assert reader.info.is_truncated
        assert reader.info.duration_seconds <= 2.0
        assert read_number(reader.frames_at([1.5]).frames[0]) == 45
