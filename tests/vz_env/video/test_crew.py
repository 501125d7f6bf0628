"""Who decodes what: no picture that nobody needs, and as many threads as help."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from make_assets import read_number

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder, Pictures
from vz_env.video.plan import PacketRun
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


def test_pictures_that_nobody_needs_are_not_decoded(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed

    def counting(self: PictureDecoder, packet: object) -> list[av.VideoFrame]:
        fed.append(packet)
        return feed(self, packet)  # type: ignore[arg-type]

    reader = VideoReader(numbered("bframes.mp4"), cache=FrameCache(0))
    monkeypatch.setattr(PictureDecoder, "feed", counting)
    reader.frames_at([1.0, 1.2, 8.0])  # frames 30, 36 and 240, with a keyframe every 48

    assert len(fed) < 40  # of 300, or of about 100 packets in the two groups


def test_pictures_that_no_other_refers_to_are_dropped_where_more_is_not_known(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[str] = []
    feed = PictureDecoder.feed

    def counting(self: PictureDecoder, packet: object) -> list[av.VideoFrame]:
        fed.append(self.context.skip_frame)
        return feed(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr("vz_env.video.crew.find_references", lambda stream: None)
    reader = VideoReader(numbered("bframes.mp4"), cache=FrameCache(0))
    monkeypatch.setattr(PictureDecoder, "feed", counting)
    reader.frames_at([1.0, 1.2, 8.0])

    assert len(fed) < 60
    assert fed.count("NONREF") > 30


def test_few_groups_have_decoders_of_several_threads(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    decode = PictureDecoder.decode

    def noting(self: PictureDecoder, *run: Any) -> Pictures:
        used.append(self.context.thread_count)
        return decode(self, *run)

    monkeypatch.setattr(PictureDecoder, "decode", noting)
    with VideoReader(numbered("bframes.mp4"), workers=2, cache=FrameCache(0)) as reader:  # a keyframe every 1.6 s
        one = reader.frames_at([1.7, 2.0, 2.3])
        assert used == [2]
        five = reader.frames_at([0.5, 2.4, 4.0, 5.5, 7.0])
        assert used == [2] * 6
        six = reader.frames_at([0.5, 2.4, 4.0, 5.5, 7.0, 8.1])
        assert used == [2] * 6 + [1] * 6
        again = reader.frames_at([9.0])
        assert used == [2] * 6 + [1] * 6 + [2]
    shown = [read_number(frame) for batch in (one, five, six, again) for frame in batch.frames]
    assert shown == [51, 60, 69, 15, 72, 120, 165, 210, 15, 72, 120, 165, 210, 243, 270]


@pytest.mark.parametrize(("workers", "groups", "threads"), [(1, 1, 1), (4, 2, 4), (4, 3, 2), (4, 7, 2), (2, 2, 2)])
def test_the_fewer_groups_the_more_threads_has_each(
    workers: int, groups: int, threads: int, numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[int] = set()
    decode = PictureDecoder.decode

    def noting(self: PictureDecoder, *run: Any) -> Pictures:
        used.add(self.context.thread_count)
        return decode(self, *run)

    monkeypatch.setattr(PictureDecoder, "decode", noting)
    with VideoReader(numbered("bframes.mp4"), workers=workers, cache=FrameCache(0)) as reader:
        reader.frames_at([0.5 + 1.6 * group for group in range(groups)])
    assert used == {threads}


def test_large_groups_are_not_held_to_see_how_many_there_are(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vz_env.video.crew._MUCH", 1)
    used: list[int] = []
    decode = PictureDecoder.decode

    def noting(self: PictureDecoder, *run: Any) -> Pictures:
        used.append(self.context.thread_count)
        return decode(self, *run)

    monkeypatch.setattr(PictureDecoder, "decode", noting)
    with VideoReader(numbered("bframes.mp4"), workers=2, cache=FrameCache(0)) as reader:
        reader.frames_at([0.5, 2.4])
        assert used == [2, 2]
        frames = reader.frames_at([0.5, 2.4, 4.0, 5.5]).frames
    assert [read_number(frame) for frame in frames] == [15, 72, 120, 165]
    assert used == [2, 2, 1, 1, 1, 1]


def test_a_codec_that_threads_only_slow_down_has_decoders_of_one(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[int] = set()
    feed = PictureDecoder.feed

    def noting(self: PictureDecoder, packet: Any) -> list[av.VideoFrame]:
        used.add(self.context.thread_count)
        return feed(self, packet)

    monkeypatch.setattr(PictureDecoder, "feed", noting)
    for chunk in (1 << 20, 2000):  # whole groups, and pieces of one
        monkeypatch.setattr("vz_env.video.plan.CHUNK_BYTES", chunk)
        with VideoReader(numbered("vp9.webm"), workers=2, cache=FrameCache(0)) as reader:
            assert [read_number(frame) for frame in reader.frames_at([0.5, 1.0, 1.4]).frames] == [15, 30, 42]
    assert used == {1}


@pytest.mark.parametrize("file", ["bframes.mp4", "vp9.webm"])
def test_the_longest_of_few_runs_is_begun_first(file: str, numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.05, 3.0, 6.0]  # the first picture of a group, and far into later ones
    sizes: list[int] = []
    submit = ThreadPoolExecutor.submit

    def noting(pool: ThreadPoolExecutor, call: Callable[..., Any], run: PacketRun, *more: Any) -> Any:
        sizes.append(run.size)
        return submit(pool, call, run, *more)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", noting)
    with VideoReader(numbered(file), workers=2, cache=FrameCache(0)) as reader:
        batch = reader.frames_at(times)

    assert len(sizes) > 1
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 2  # the first in time comes last
    with VideoReader(numbered(file), workers=1, cache=FrameCache(0)) as alone:
        assert np.array_equal(batch.frames, alone.frames_at(times).frames)
