"""HEVC: what the wanted pictures are made from is enough to decode them, to the bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_assets import Asset

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder, another_context
from vz_env.video.hevc import Bits, ReferenceSet, UnknownSyntax
from vz_env.video.reader import VideoReader
from vz_env.video.references import ReferenceFinder, find_references

Numbered = Callable[[str], Path]
WIDTH, HEIGHT, FRAMES = 96, 64, 60

USUAL = [
    ("mp4", "ultrafast", "bframes=3", "yuv420p"),
    ("ts", "fast", "bframes=4:slices=2:repeat-headers=1:weightb=1:aud=1", "yuv420p"),
    ("mkv", "superfast", "bframes=3:b-adapt=0:temporal-layers=3:open-gop=0", "yuv420p10le"),
    ("mp4", "medium", "ref=1:bframes=5:b-adapt=0:hrd=1:vbv-maxrate=900:vbv-bufsize=900:wpp=0", "yuv420p"),
]
RARE = [
    ("mp4", "medium", "ref=5:bframes=8", "yuv420p"),
    ("mp4", "slow", "scaling-list=default:sao=0", "yuv420p"),
    ("mp4", "medium", "lossless=1:no-deblock=1", "yuv420p"),
    ("ts", "medium", "interlace=tff:cbqpoffs=2", "yuv420p"),
    ("mp4", "fast", "radl=2:open-gop=0:no-temporal-mvp=1", "yuv420p"),
    ("mp4", "medium", "opt-ref-list-length-pps=1:opt-qp-pps=1:multi-pass-opt-rps=1:ctu=16:max-tu-size=16", "yuv420p"),
    ("mp4", "medium", "intra-refresh=1", "yuv420p"),
    ("mkv", "placebo", "b-pyramid=0", "yuv420p10le"),
]


def pictures() -> list[np.ndarray]:
    """A texture that moves, fades and now and then turns over: something to predict from several pictures."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (30, 30, 3)), np.ones((8, 8, 1)))
    made = []
    for n in range(FRAMES):
        x, y = int(50 + 40 * np.sin(n / 9)), int(50 + 40 * np.cos(n / 7))
        picture = texture[y : y + HEIGHT, x : x + WIDTH] * (0.4 + 0.6 * abs(np.sin(n / 20)))
        if n % 24 >= 18:
            picture[20:40, n % 24 : n % 24 + 30] = 255 - picture[20:40, n % 24 : n % 24 + 30]
        made.append((picture + rng.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8))
    return made


PICTURES = pictures()


def write(path: Path, preset: str, options: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx265", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.gop_size, stream.codec_context.thread_count = 32, 1
        stream.options = {"preset": preset, "x265-params": f"log-level=none:pools=none:frame-threads=1:{options}"}
        for number, picture in enumerate(PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(stream: Any, packets: list[Any]) -> dict[int, str]:
    """A hash of each picture as it comes out of a fresh decoder, before any conversion."""
    context = another_context(stream)
    found = {}
    for packet in [*packets, None]:
        for frame in context.decode(packet):
            assert not frame.is_corrupt
            found[frame.pts] = hashlib.sha256(b"".join(bytes(plane) for plane in frame.planes)).hexdigest()
    return found


@pytest.mark.parametrize("recipe", USUAL + (RARE if os.environ.get("VZ_LONG_TESTS") else []), ids=lambda r: r[2])
def test_what_is_chosen_decodes_to_the_same_bits(recipe: tuple[str, str, str, str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with av.open(str(write(tmp_path / f"a.{recipe[0]}", *recipe[1:]))) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size and p.pts is not None]
        finder = find_references(stream)
        assert finder is not None
        whole = decoded(stream, packets)
        assert len(whole) == FRAMES
        begin = {0: packets[0].pts}
        begin |= {i: p.pts for i, p in enumerate(packets) if p.is_keyframe}
        chosen_of = []
        for _ in range(25):
            start = int(rng.choice(list(begin)))
            # Pictures before their keyframe cannot be wanted of a run that begins with it.
            run = [p for p in packets[start:] if p.pts >= begin[start]][: int(rng.integers(2, 40))]
            run = packets[start : packets.index(run[-1]) + 1]
            wanted = {run[i].pts for i in rng.integers(0, len(run), 2) if run[i].pts >= begin[start]}
            if not wanted:
                continue
            last = max(i for i, packet in enumerate(run) if packet.pts in wanted)
            chosen = finder.choose(run[: last + 1], wanted)
            assert chosen is not None
            found = decoded(stream, chosen)
            assert {pts: found[pts] for pts in wanted} == {pts: whole[pts] for pts in wanted}
            assert len(found) == len(chosen)  # nothing that was missing was made up
            chosen_of.append((len(chosen), last + 1))
    assert sum(count for count, _ in chosen_of) < 0.85 * sum(of for _, of in chosen_of)


def test_pictures_that_the_wanted_ones_are_not_made_from_are_not_decoded(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed
    with VideoReader(numbered("hevc.mp4"), cache=FrameCache(0)) as reader:  # a keyframe every 40, three B-frames
        monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
        reader.frames_at([38.5 / 30])
    assert len(fed) <= 16


def test_a_run_that_is_not_understood_is_decoded_whole(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.4, 1.2, 3.9]
    with VideoReader(numbered("hevc.mp4"), cache=FrameCache(0)) as reader:
        expected = reader.frames_at(times).frames
    monkeypatch.setattr(ReferenceFinder, "_needed", lambda *args: (_ for _ in ()).throw(UnknownSyntax("new")))
    with VideoReader(numbered("hevc.mp4"), cache=FrameCache(0)) as reader:
        np.testing.assert_array_equal(reader.frames_at(times).frames, expected)


def test_other_codecs_have_no_finder(numbered: Numbered, tmp_path: Path) -> None:
    with av.open(str(numbered("bframes.mp4"))) as container:
        assert find_references(container.streams.video[0]) is None
    intra = Asset(file="i.mp4", ticks=range(3), codec="libx265", options={"x265-params": "log-level=none"}, gop=1)
    with av.open(str(intra.write(tmp_path))) as container:  # a profile of its own
        assert find_references(container.streams.video[0]) is None


def test_spoilt_streams_are_not_understood_or_chosen_from_and_raise_nothing(numbered: Numbered) -> None:
    with av.open(str(numbered("hevc.mp4"))) as container:
        stream = container.streams.video[0]
        header = stream.codec_context.extradata
        packets = [p for p in container.demux(stream) if p.size][:12]
    outcomes = set()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        try:
            finder = ReferenceFinder(flipped(header, rng, int(rng.integers(0, 3)) * (seed % 3 == 0)))
        except (UnknownSyntax, IndexError):
            outcomes.add("header")
            continue
        spoilt = []
        for packet in packets:
            copy = av.Packet(flipped(bytes(packet)[:200], rng, int(rng.integers(0, 2)) * (seed % 3)))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            spoilt.append(copy)
        chosen = finder.choose(spoilt, {packets[-1].pts})
        outcomes.add("nothing" if chosen is None else "some")
        assert chosen is None or len(chosen) <= len(packets)
    assert outcomes == {"header", "nothing", "some"}


def flipped(content: bytes, rng: np.random.Generator, count: int) -> bytes:
    """Content with some bits of its beginning flipped."""
    spoilt = bytearray(content)
    for _ in range(count):
        spoilt[int(rng.integers(min(60, len(spoilt))))] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


_DISTANCES = st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=16, unique_by=lambda entry: entry[0])


@given(_DISTANCES, _DISTANCES, st.integers(0, 3))
def test_a_set_of_references_is_read_as_it_was_written(
    before: list[tuple[int, bool]], after: list[tuple[int, bool]], index: int
) -> None:
    told = ReferenceSet(tuple((-d, used) for d, used in sorted(before)), tuple(sorted(after)))
    bits = ("0" if index else "") + told.written()
    data = int("1" + bits + "0" * (-len(bits) % 8), 2).to_bytes(len(bits) // 8 + 2, "big").lstrip(b"\0")[1:]
    assert ReferenceSet.read(Bits(data), index, [ReferenceSet()] * index) == told
