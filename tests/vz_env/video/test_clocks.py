"""Clocks that jump, wrap, begin late, or go back: right frames within the limits, or one clear error."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from make_assets import Asset, asset, read_number

from vz_env.errors import VideoDecodeError, VideoRefused
from vz_env.video.cache import FrameCache
from vz_env.video.limits import DecodeLimits
from vz_env.video.reader import VideoReader

MILLI = Fraction(1, 1000)
DAY = 86_400_000
BFRAMES = {"preset": "veryfast", "bf": "3"}


def write(folder: Path, file: str, ticks: list[int], time_base: Fraction = MILLI, **changes: object) -> Path:
    recipe = Asset(file=file, ticks=ticks, time_base=time_base, options=BFRAMES, gop=10, **changes)  # type: ignore[arg-type]
    return recipe.write(folder)


def numbers_at(path: Path, times: list[float]) -> list[int]:
    with VideoReader(path, cache=FrameCache(0)) as reader:
        return [read_number(frame) for frame in reader.frames_at(times).frames]


@pytest.mark.parametrize("file", ["jump.mkv", "jump.mp4"])
def test_a_frame_is_on_through_a_hole_of_hours(file: str, tmp_path: Path) -> None:
    path = write(tmp_path, file, [*range(0, 1000, 40), *range(7_200_000, 7_201_000, 40)])
    assert numbers_at(path, [0.5, 0.99, 1800.0, 7199.9, 7200.0, 7200.5]) == [12, 24, 24, 24, 25, 37]


def test_a_timestamp_after_a_day_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "far.mkv", [*range(0, 1000, 40), *range(DAY, DAY + 1000, 40)])
    with pytest.raises(VideoRefused, match="max_duration_seconds"):
        VideoReader(path)
    with VideoReader(path, limits=DecodeLimits(max_duration_seconds=1e6), cache=FrameCache(0)) as reader:
        assert [read_number(f) for f in reader.frames_at([3e4, DAY / 1e3 + 0.5]).frames] == [24, 37]


def test_a_clock_that_begins_after_a_day_begins_at_zero(tmp_path: Path) -> None:
    path = write(tmp_path, "late.mkv", list(range(DAY, DAY + 2000, 40)))
    with VideoReader(path) as reader:
        assert reader.info.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert numbers_at(path, [0.0, 1.0, 1.99]) == [0, 25, 49]


def test_the_clock_of_a_broadcast_may_wrap(tmp_path: Path) -> None:
    begin = {"output_ts_offset": str(2**33 / 90_000 - 2.0), "avoid_negative_ts": "disabled"}
    path = write(tmp_path, "wrap.ts", list(range(0, 450_000, 3000)), Fraction(1, 90_000), container_options=begin)
    asked = np.arange(0.05, 5.0, 0.45)
    assert numbers_at(path, asked.tolist()) == [int(t * 30 + 1e-6) for t in asked]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_recordings_joined_byte_by_byte_are_refused(order: tuple[int, int], tmp_path: Path) -> None:
    pieces = [
        asset("cfr.ts").write(tmp_path),
        write(tmp_path, "b.ts", list(range(0, 450_000, 3000)), Fraction(1, 90_000)),
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(pieces[i].read_bytes() for i in order))
    with pytest.raises(VideoDecodeError, match="clock goes back"):
        VideoReader(path)
