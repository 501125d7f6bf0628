"""H.264: what the wanted pictures are made from is enough to decode them, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_runs import check_choices, check_spoilt, decoded, encode

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder
from vz_env.video.reader import VideoReader
from vz_env.video.references import find_references
from vz_env.video.references.bits import Bits, se, ue, with_escapes, without_escapes
from vz_env.video.references.h264_finder import H264Finder

Numbered = Callable[[str], Path]

USUAL = [
    ("mp4", "veryfast", "bframes=3", "yuv420p", 0.65),
    ("ts", "fast", "bframes=4:slices=2:aud=1:ref=1", "yuv420p", 0.65),
    ("mkv", "medium", "ref=1:bframes=5:b-adapt=0:direct=temporal:weightp=2", "yuv420p", 0.45),
    ("mp4", "placebo", "bframes=16:b-adapt=0:ref=16:keyint=infinite", "yuv420p", 0.4),  # numbers begin again
]
RARE = [
    ("mp4", "superfast", "bframes=8:b-adapt=0:b-pyramid=strict:ref=2", "yuv420p", 0.4),
    ("mp4", "slow", "ref=5:bframes=8:b-adapt=0", "yuv420p", 0.5),
    ("mp4", "fast", "cqm=jvt:8x8dct=1:bframes=3:ref=1", "yuv420p", 0.65),
    ("mkv", "fast", "bframes=3:ref=1", "yuv420p10le", 0.65),
    ("mp4", "fast", "bframes=3:ref=1", "yuv422p", 0.65),
    ("mp4", "fast", "no-deblock=1:weightb=1:bframes=4:ref=1", "yuv420p", 0.65),
    ("ts", "fast", "nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900:bframes=3:ref=1:b-pyramid=strict", "yuv420p", 0.65),
    ("mp4", "fast", "slice-max-size=300:bframes=3:ref=1", "yuv420p", 0.65),
]
NOT_UNDERSTOOD = ["interlaced=1", "cabac=0", "bframes=0"]


def write(path: Path, preset: str, options: str, pixel_format: str = "yuv420p") -> Path:
    return encode(path, "libx264", {"preset": preset, "x264-params": options}, pixel_format)


@pytest.mark.parametrize("recipe", USUAL + (RARE if os.environ.get("VZ_LONG_TESTS") else []), ids=lambda r: r[2])
def test_what_is_chosen_decodes_to_the_same_bits(recipe: tuple[str, str, str, str, float], tmp_path: Path) -> None:
    container, *how, most = recipe
    assert check_choices(write(tmp_path / f"a.{container}", *how)) < most  # type: ignore[arg-type]


def test_frames_that_serve_their_neighbours_alone_are_not_decoded(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed
    with VideoReader(numbered("bframes.mp4"), cache=FrameCache(0)) as reader:
        expected = reader.frames_at([8.0]).frames  # frame 240, its keyframe is 48 frames before it
        monkeypatch.setattr(H264Finder, "choose", lambda *args: None)
        monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
        np.testing.assert_array_equal(reader.frames_at([8.0]).frames, expected)
        of = len(fed)
        fed.clear()
        monkeypatch.undo()
        monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
        np.testing.assert_array_equal(reader.frames_at([8.0]).frames, expected)
    assert len(fed) < 0.7 * of


@pytest.mark.parametrize("options", NOT_UNDERSTOOD)
def test_what_is_not_understood_has_no_finder(options: str, tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "a.mp4", "veryfast", options))) as container:
        assert find_references(container.streams.video[0]) is None


def test_runs_that_begin_without_an_instant_refresh_are_decoded_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "veryfast", "open-gop=1:keyint=20:bframes=3")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        finder = find_references(stream)
        assert finder is not None
        second = [i for i, packet in enumerate(packets) if packet.is_keyframe][1]
        assert finder.choose(packets[second : second + 6], {packets[second + 3].pts}) is None
        assert finder.choose(packets[:6], {packets[3].pts}) is not None


def test_a_stream_that_spares_nothing_is_no_longer_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", "veryfast", "bframes=2:b-pyramid=none")  # of two references each is needed
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size][:30]
        finder = find_references(stream)
    assert isinstance(finder, H264Finder)
    for _ in range(300):  # a keyframe alone says nothing of what could be spared
        assert finder.choose(packets[:1], {packets[0].pts}) is not None
    tries = [finder.choose(packets, {packets[-1].pts}) for _ in range(40)]
    assert tries[0] is not None
    assert tries[-1] is None


def test_a_frame_that_is_missing_is_noticed(tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "a.mp4", "veryfast", "bframes=3"))) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        finder = find_references(stream)
    assert finder is not None
    kept = [packet for packet in packets[:12] if packet is not packets[1]]
    assert finder.choose(kept, {kept[-1].pts}) is None


def test_a_decoder_is_told_of_no_frame_that_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(write(tmp_path / "a.mp4", "medium", "ref=3:bframes=7:b-adapt=0"))) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size][:30]
        finder = find_references(stream)
        assert finder is not None
        chosen = finder.choose(packets, {packets[-1].pts})
        assert chosen is not None
        with av.logging.Capture() as lines:
            av.logging.set_level(av.logging.VERBOSE)
            try:
                decoded(stream, chosen)
            finally:
                av.logging.set_level(None)
    assert len(chosen) < len(packets)
    assert not [text for _, _, text in lines if "gap" in text or "missing" in text or "exceed" in text], lines


def test_spoilt_streams_are_not_understood_or_chosen_from_and_raise_nothing(numbered: Numbered) -> None:
    check_spoilt(H264Finder, numbered("bframes.mp4"))


@given(st.integers(0, 1 << 20), st.integers(-(1 << 20), 1 << 20), st.binary(max_size=40))
def test_numbers_and_escapes_are_read_as_they_were_written(number: int, signed: int, data: bytes) -> None:
    text = ue(number) + se(signed) + "1"
    text += "0" * (-len(text) % 8)
    bits = Bits(int(text, 2).to_bytes(len(text) // 8, "big"))
    assert (bits.ue(), bits.se(), bits.flag()) == (number, signed, True)
    assert without_escapes(with_escapes(data)) == data
    assert not any(code in with_escapes(data) for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
