"""AV1: the frames that the wanted pictures are made from are enough to decode them, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from reference_runs import check_choices, check_spoilt, encode

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder
from vz_env.video.reader import VideoReader
from vz_env.video.references.av1_finder import Av1Finder
from vz_env.video.references.av1_units import units_of
from vz_env.video.references.bits import UnknownSyntax

Numbered = Callable[[str], Path]

USUAL = [
    ("mp4", "10", "hierarchical-levels=4", "yuv420p"),
    ("mkv", "12", "hierarchical-levels=5:film-grain=8", "yuv420p10le"),
    ("webm", "11", "hierarchical-levels=3:scm=1:tile-columns=1", "yuv420p"),
]
RARE = [
    ("mp4", "8", "pred-struct=1", "yuv420p"),
    ("mp4", "8", "irefresh-type=1", "yuv420p"),
    ("mp4", "6", "enable-overlays=1:hierarchical-levels=5", "yuv420p"),
    ("mp4", "10", "resize-mode=3:resize-denom=12:resize-kf-denom=12", "yuv420p"),
    ("mp4", "10", "superres-mode=1:superres-denom=12", "yuv420p"),
    ("mp4", "4", "tune=0:enable-tf=1:sharpness=2", "yuv420p10le"),
]


def write(path: Path, preset: str, options: str, pixel_format: str) -> Path:
    return encode(path, "libsvtav1", {"preset": preset, "svtav1-params": f"lp=1:{options}"}, pixel_format)


@pytest.mark.parametrize("recipe", USUAL + (RARE if os.environ.get("VZ_LONG_TESTS") else []), ids=lambda r: r[2])
def test_what_is_chosen_decodes_to_the_same_bits(recipe: tuple[str, str, str, str], tmp_path: Path) -> None:
    assert check_choices(write(tmp_path / f"a.{recipe[0]}", *recipe[1:]), has_hidden=True) < 0.7


def test_frames_that_the_wanted_ones_are_not_made_from_are_not_decoded(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[bytes] = []
    feed = PictureDecoder.feed

    def note(self: PictureDecoder, packet: av.Packet | None) -> object:
        fed.extend([] if packet is None else [unit.data for unit in units_of(bytes(packet)) if unit.kind == 6])
        return feed(self, packet)

    with VideoReader(numbered("av1.mp4"), cache=FrameCache(0)) as reader:  # a keyframe every 20
        monkeypatch.setattr(PictureDecoder, "feed", note)
        reader.frames_at([38.5 / 30])
    assert 2 <= len(fed) <= 8


def test_a_run_that_is_not_understood_is_decoded_whole(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.4, 1.2, 1.9]
    with VideoReader(numbered("av1.mp4"), cache=FrameCache(0)) as reader:
        expected = reader.frames_at(times).frames
    monkeypatch.setattr(Av1Finder, "_choose", lambda *args: (_ for _ in ()).throw(UnknownSyntax("new")))
    with VideoReader(numbered("av1.mp4"), cache=FrameCache(0)) as reader:
        np.testing.assert_array_equal(reader.frames_at(times).frames, expected)


def test_spoilt_streams_are_not_understood_or_chosen_from_and_raise_nothing(numbered: Numbered) -> None:
    check_spoilt(Av1Finder, numbered("av1.mp4"))


def test_units_say_how_long_they_are_but_the_last_may_not() -> None:
    long = bytes(300)
    data = b"\x12\0" + b"\x0a\xac\x02" + long + b"\x30abc"
    assert [(unit.kind, unit.payload) for unit in units_of(data)] == [(2, b""), (1, long), (6, b"abc")]
    assert b"".join(unit.data for unit in units_of(data)) == data


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x92\0", "no unit"),
        (b"\x16\0\0", "layers"),
        (b"\x32\x05ab", "do not fit"),
        (b"\x32" + b"\x80" * 9, "without end"),
    ],
)
def test_what_is_no_unit_is_not_understood(data: bytes, what: str) -> None:
    with pytest.raises(UnknownSyntax, match=what):
        list(units_of(data))
