from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_assets import Asset, decode_all, read_number

from vz_env.errors import VideoDecodeError
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader
from vz_env.video.reencode import ReencodeStopped, reencode_video

Numbered = Callable[[str], Path]
PLAN = {"max_pixels": 96 * 64, "group_frames": 12, "quality": 20}


@pytest.mark.parametrize(
    "file",
    ["bframes.mp4", "ntsc.mp4", "variable.mp4", "variable.mkv", "variable.ts", "cut.mp4", "late.mkv", "vp9.webm"],
)
def test_the_same_frames_are_on_at_the_same_times(file: str, numbered: Numbered, tmp_path: Path) -> None:
    source = numbered(file)
    times, numbers = decode_all(source)
    assert reencode_video(source, tmp_path / "copy.mp4", **PLAN) == len(numbers)

    asked = np.random.default_rng(0).uniform(0, times[-1], 40)
    with VideoReader(source, cache=FrameCache(0)) as before, VideoReader(tmp_path / "copy.mp4") as after:
        expected, found = before.frames_at(asked), after.frames_at(asked)
        assert [read_number(frame) for frame in found.frames] == [read_number(frame) for frame in expected.frames]
        np.testing.assert_allclose(found.timestamps_seconds, expected.timestamps_seconds, atol=1e-6)
        assert (after.info.width, after.info.height) == (100, 60)
        assert after.info.duration_seconds == pytest.approx(before.info.duration_seconds, abs=0.05)
        assert max(after.survey().packets_of_groups) <= 12


def test_rotation_is_settled(tmp_path: Path) -> None:
    recipe = Asset(file="turned.mp4", ticks=range(12), prepare=lambda stream: stream.set_display_rotation(90))
    reencode_video(recipe.write(tmp_path), tmp_path / "copy.mp4", **PLAN)
    with VideoReader(tmp_path / "copy.mp4") as reader:
        assert (reader.info.width, reader.info.height, reader.info.rotation_degrees) == (60, 100, 0)
        assert read_number(np.rot90(reader.frames_at([0.2]).frames[0], -1)) == 6


def test_a_truncated_file_is_copied_as_far_as_it_goes(numbered: Numbered, tmp_path: Path) -> None:
    content = numbered("cfr.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    reencode_video(tmp_path / "cut.mkv", tmp_path / "copy.mp4", **PLAN)
    with VideoReader(tmp_path / "cut.mkv") as before, VideoReader(tmp_path / "copy.mp4") as after:
        assert after.info.duration_seconds == pytest.approx(before.info.duration_seconds, abs=0.05)


def test_a_damaged_file_leaves_nothing_behind(numbered: Numbered, tmp_path: Path) -> None:
    content = bytearray(numbered("bframes.mp4").read_bytes())
    content[len(content) // 3 : len(content) // 3 + 4000] = b"\x55" * 4000
    (tmp_path / "hurt.mp4").write_bytes(content)
    with pytest.raises(VideoDecodeError, match=r"hurt\.mp4: "):
        reencode_video(tmp_path / "hurt.mp4", tmp_path / "copy.mp4", **PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["hurt.mp4"]


def test_stopping_leaves_nothing_behind(numbered: Numbered, tmp_path: Path) -> None:
    told: list[float] = []
    with pytest.raises(ReencodeStopped):
        reencode_video(
            numbered("cfr.mp4"),
            tmp_path / "copy.mp4",
            **PLAN,
            progress=told.append,
            should_stop=lambda: bool(told),
        )
    assert told == [pytest.approx(3.3)]
    assert list(tmp_path.iterdir()) == []
