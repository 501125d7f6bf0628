"""Which packets make a run: one for each group of pictures, in pieces where a group is long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_assets import decode_all, hard_times, on_at, read_number

from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder, Pictures
from vz_env.video.plan import PacketRun
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


def test_a_long_group_is_decoded_in_pieces(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vz_env.video.plan.CHUNK_BYTES", 2000)
    for file, workers in (("one_keyframe.mp4", 1), ("one_keyframe.mp4", 2), ("open_gop.ts", 1), ("long_gop.ts", 2)):
        times, numbers = decode_all(numbered(file))
        asked = hard_times(times)
        with VideoReader(numbered(file), workers=workers, cache=FrameCache(0)) as reader:
            batch = reader.frames_at(asked)
        assert [read_number(frame) for frame in batch.frames] == [numbers[i] for i in on_at(times, asked)]


def _runs(path: Path, asked: list[float], monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """How many packets each run of a look has, and the numbers of the frames that are seen."""
    lengths: list[int] = []
    decode = PictureDecoder.decode

    def noting(self: PictureDecoder, run: PacketRun, *more: Any) -> Pictures:
        lengths.append(len(run.packets))
        return decode(self, run, *more)

    with VideoReader(path, cache=FrameCache(0)) as reader, monkeypatch.context() as patch:
        patch.setattr(PictureDecoder, "decode", noting)
        seen = [read_number(frame) for frame in reader.frames_at(asked).frames]
    return lengths, seen


def test_the_last_picture_before_a_keyframe_does_not_join_two_groups(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keyframes every 48 frames; with B-frames the one of 1.6 s is decoded before 1.59 s is over.
    lengths, seen = _runs(numbered("bframes.mp4"), [1.5, 1.59, 2.0, 3.19, 3.3], monkeypatch)
    assert seen == [45, 47, 60, 95, 99]
    assert len(lengths) == 3
    assert max(lengths) <= 48 + 4


def test_a_picture_that_refers_across_a_keyframe_keeps_its_groups_together(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = numbered("open_gop.ts")
    with VideoReader(path) as reader:
        keyframes = sorted(set(reader.keyframe_times(np.arange(0, reader.info.duration_seconds, 0.1)).tolist()))
    times, numbers = decode_all(path)
    joined = []
    for keyframe in keyframes[1:-1]:
        asked = np.array([keyframe - 0.01, keyframe + 0.5])
        lengths, seen = _runs(path, asked.tolist(), monkeypatch)
        assert seen == [numbers[i] for i in on_at(times, asked)]
        joined.append(len(lengths) == 1)
    assert any(joined)
