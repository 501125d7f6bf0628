from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_assets import read_number

from vz_env.errors import VideoRefused
from vz_env.video import source as source_module
from vz_env.video.cache import FrameCache
from vz_env.video.limits import DecodeLimits
from vz_env.video.measured import forget_measured, load_measured
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]


@pytest.fixture
def video(numbered: Numbered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody has opened yet, and an empty cache folder."""
    monkeypatch.setenv("VZ_CACHE_DIR", str(tmp_path / "cache"))
    return Path(shutil.copy(numbered("variable.ts"), tmp_path / "a.ts"))


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A line for each file that was measured."""
    made: list[object] = []
    probe = source_module.probe_video
    monkeypatch.setattr(source_module, "probe_video", lambda *args: made.append(args) or probe(*args))
    return made


def entry_of(folder: Path) -> Path:
    (path,) = (folder / "cache" / "video-index").iterdir()
    return path


def open_and_read(path: Path) -> list[int]:
    with VideoReader(path, cache=FrameCache(0)) as reader:
        return [read_number(frame) for frame in reader.frames_at([0.0, 3.0, 20.0, 1e9]).frames]


def test_a_file_is_measured_once(video: Path, probes: list[object]) -> None:
    with VideoReader(video) as reader:
        info = reader.info
    first = open_and_read(video)
    with VideoReader(video) as reader:
        assert reader.info == info
    assert open_and_read(video) == first
    assert len(probes) == 1


def test_a_file_that_changed_is_measured_again(video: Path, numbered: Numbered, probes: list[object]) -> None:
    open_and_read(video)
    shutil.copy(numbered("cfr.ts"), video)
    with VideoReader(video) as reader:
        assert reader.info.duration_seconds == pytest.approx(10)
    assert len(probes) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text(path.read_text().replace('"last_tick"', "").replace("160", "161")),
        lambda path: path.write_text(json.dumps({"sha256": "x", "content": None})),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "short", "not utf-8", "nested", "other numbers", "other content", "a folder"],
)
def test_a_spoilt_entry_counts_as_absent(
    spoil: Callable[[Path], object], video: Path, tmp_path: Path, probes: list[object]
) -> None:
    expected = open_and_read(video)
    spoil(entry_of(tmp_path))
    assert open_and_read(video) == expected
    assert len(probes) == 2


def test_a_cache_folder_that_cannot_be_written_costs_nothing_else(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VZ_CACHE_DIR", str(tmp_path / "file"))
    assert open_and_read(video)


def test_limits_hold_for_a_known_file_too(video: Path) -> None:
    open_and_read(video)
    with pytest.raises(VideoRefused, match="max_duration_seconds"):
        VideoReader(video, limits=DecodeLimits(max_duration_seconds=5))


def test_a_pass_over_the_file_keeps_its_keyframes(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    with VideoReader(video) as reader:
        asked = np.linspace(0, reader.info.duration_seconds, 60)
        searched = reader.keyframe_times(asked)
        survey = reader.survey(lambda done, of: told.append((done, of)))
        identity = reader.identity
    assert told[-1] == (round(reader.info.duration_seconds),) * 2
    assert sum(survey.packets_of_groups) == survey.packets == 150
    known = load_measured(identity)
    assert known is not None
    assert known.keyframe_ticks == survey.keyframe_ticks
    with VideoReader(video, cache=FrameCache(0)) as reader:
        monkeypatch.setattr(reader._source._demuxer, "from_keyframe", lambda *args: pytest.fail("read the file"))
        np.testing.assert_array_equal(reader.keyframe_times(asked), searched)
    assert len(set(searched)) == len(survey.keyframe_ticks)
    forget_measured(identity)
    assert load_measured(identity) is None
