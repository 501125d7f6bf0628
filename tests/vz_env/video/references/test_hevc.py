"""HEVC: what the wanted pictures are made from is enough to decode them, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_assets import Asset
from reference_runs import check_choices, check_spoilt, encode

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder
from vz_env.video.reader import VideoReader
from vz_env.video.references import find_references
from vz_env.video.references.bits import Bits, UnknownSyntax
from vz_env.video.references.hevc_finder import HevcFinder
from vz_env.video.references.hevc_sets import ReferenceSet

Numbered = Callable[[str], Path]

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


def write(path: Path, preset: str, options: str, pixel_format: str) -> Path:
    params = f"log-level=none:pools=none:frame-threads=1:{options}"
    return encode(path, "libx265", {"preset": preset, "x265-params": params}, pixel_format)


@pytest.mark.parametrize("recipe", USUAL + (RARE if os.environ.get("VZ_LONG_TESTS") else []), ids=lambda r: r[2])
def test_what_is_chosen_decodes_to_the_same_bits(recipe: tuple[str, str, str, str], tmp_path: Path) -> None:
    assert check_choices(write(tmp_path / f"a.{recipe[0]}", *recipe[1:])) < 0.85


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
    monkeypatch.setattr(HevcFinder, "_needed", lambda *args: (_ for _ in ()).throw(UnknownSyntax("new")))
    with VideoReader(numbered("hevc.mp4"), cache=FrameCache(0)) as reader:
        np.testing.assert_array_equal(reader.frames_at(times).frames, expected)


def test_other_codecs_have_no_finder(numbered: Numbered, tmp_path: Path) -> None:
    with av.open(str(numbered("vp9.webm"))) as container:
        assert find_references(container.streams.video[0]) is None
    intra = Asset(file="i.mp4", ticks=range(3), codec="libx265", options={"x265-params": "log-level=none"}, gop=1)
    with av.open(str(intra.write(tmp_path))) as container:  # a profile of its own
        assert find_references(container.streams.video[0]) is None


def test_spoilt_streams_are_not_understood_or_chosen_from_and_raise_nothing(numbered: Numbered) -> None:
    check_spoilt(HevcFinder, numbered("hevc.mp4"))


_DISTANCES = st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=16, unique_by=lambda entry: entry[0])


@given(_DISTANCES, _DISTANCES, st.integers(0, 3))
def test_a_set_of_references_is_read_as_it_was_written(
    before: list[tuple[int, bool]], after: list[tuple[int, bool]], index: int
) -> None:
    told = ReferenceSet(tuple((-d, used) for d, used in sorted(before)), tuple(sorted(after)))
    bits = ("0" if index else "") + told.written()
    data = int("1" + bits + "0" * (-len(bits) % 8), 2).to_bytes(len(bits) // 8 + 2, "big").lstrip(b"\0")[1:]
    assert ReferenceSet.read(Bits(data), index, [ReferenceSet()] * index) == told
