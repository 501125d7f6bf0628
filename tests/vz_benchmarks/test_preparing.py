from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_assets import asset, read_number

from vz_benchmarks.cli import main
from vz_benchmarks.preparing import PrepareSettings, prepare_dataset
from vz_benchmarks.probing import probe_file
from vz_env.datasets.jsonl import load_jsonl
from vz_env.errors import ConfigError
from vz_env.video.reader import VideoReader

SMALL = PrepareSettings(max_pixels=96 * 64, group_frames=15)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two videos in different containers, one of them in a folder, with questions and subtitles."""
    root = tmp_path_factory.mktemp("dataset")
    (root / "sub").mkdir()
    asset("bframes.mp4").write(root)
    asset("cfr.mkv").write(root / "sub")
    lines = [
        {"id": name, "video": video, "question": "?", "options": ["a", "b"], "answer_kind": "choice", "answer_index": 0}
        for name, video in (("q1", "bframes.mp4"), ("q2", "sub/cfr.mkv"))
    ]
    (root / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{broken\n")
    (root / "sub" / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    return root


def test_the_copy_is_a_dataset_of_its_own(source: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = prepare_dataset(source, tmp_path / "out", SMALL, progress=lambda done, of: told.append((done, of)))

    assert len(result.done) == 2
    assert result.failed == {}
    assert result.copy_bytes == sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.mp4"))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) == 3 + 2 * 3  # at the beginning, every hundred frames of both videos, and when each is done
    dataset = load_jsonl(tmp_path / "out" / "questions.jsonl", tmp_path / "out", on_error="skip")
    assert [episode.video_path.name for episode in dataset] == ["bframes.mp4", "cfr.mp4"]
    assert [line.line for line in dataset.rejected] == [3]
    assert (tmp_path / "out" / "sub" / "a.srt").read_text() == (source / "sub" / "a.srt").read_text()
    for episode in dataset:
        with VideoReader(episode.video_path) as reader:
            assert [read_number(frame) for frame in reader.frames_at(np.arange(9) + 0.5).frames] == [
                15 + 30 * k for k in range(9)
            ]


def test_the_same_call_continues(source: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "out", [False, False, True]
    stopped = prepare_dataset(source, out, SMALL, workers=1, should_stop=lambda: bool(asked.pop(0)) if asked else True)
    assert stopped.is_stopped
    assert list(out.rglob("*.mp4")) == []
    first = prepare_dataset(source, out, SMALL)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    again = prepare_dataset(source, out, SMALL)

    assert (len(first.done), len(again.done), again.found_done) == (2, 0, 2)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == times
    with pytest.raises(ConfigError, match="begun with"):
        prepare_dataset(source, out, PrepareSettings(max_pixels=5000))


def test_a_changed_source_is_done_again_and_a_broken_one_is_left_out(source: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    shutil.copytree(source, root)
    prepare_dataset(root, out, SMALL)
    (root / "bframes.mp4").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    result = prepare_dataset(root, out, SMALL)
    assert list(result.failed) == ["bframes.mp4"]
    assert "git lfs pull" in result.failed["bframes.mp4"]
    assert result.found_done == 1


def test_folders_that_cannot_be_used_are_refused(source: Path, tmp_path: Path) -> None:
    for root, out, words in (
        (tmp_path / "absent", tmp_path / "out", "wanted a folder of videos"),
        (source, source / "out", "apart"),
        (source / "sub", source, "apart"),
        (tmp_path, source.parent / "elsewhere", "no videos"),
    ):
        with pytest.raises(ConfigError, match=words):
            prepare_dataset(root, out, SMALL)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.mkv").touch()
    with pytest.raises(ConfigError, match="rename one"):
        prepare_dataset(tmp_path, source.parent / "elsewhere", SMALL)
    with pytest.raises(ConfigError, match="quality"):
        PrepareSettings(quality=60)


def test_the_command_says_what_was_saved(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", str(source), "--out", str(tmp_path / "out"), "--max-pixels", "6144"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "2 videos, " in printed
    assert "a zoom of 16 frames: " in printed
    assert main(words) == 0
    assert "2 videos (2 of them earlier), " in capsys.readouterr().out


def test_the_command_tells_of_failures_and_exits_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"")
    assert main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 3
    assert "a.mp4: left out: " in capsys.readouterr().err


def test_probe_measures_the_file(source: Path) -> None:
    report = probe_file(source / "bframes.mp4", max_pixels=6144, overview_frames=8)

    assert (report.pictures, report.keyframes, report.largest_group_pictures) == (300, 7, 48)
    assert report.median_group_pictures == 48
    assert report.median_group_seconds == pytest.approx(1.6)
    assert report.is_reordered
    assert report.frame_size == (100, 60)
    costs = report.costs
    assert 0 < costs.keyframe_overview_seconds < 8 * costs.zoom_seconds
    assert report.to_json()["info"]["codec"] == "h264"


def test_probe_prints_a_table_or_json(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(source / "sub" / "cfr.mkv"), "--overview-frames", "4"]) == 0
    printed = capsys.readouterr().out
    assert "300 pictures" in printed
    assert "worth re-encoding" in printed
    assert main(["probe", str(source / "bframes.mp4"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 300
    assert found["costs"]["zoom_seconds"] > 0


def test_probe_says_when_a_file_is_truncated(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (source / "sub" / "cfr.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    assert main(["probe", str(tmp_path / "cut.mkv")]) == 0
    assert "TRUNCATED" in capsys.readouterr().out
    assert main(["probe", str(tmp_path / "absent.mkv")]) == 2
    assert main(["probe", str(tmp_path / "cut.mkv"), "--overview-frames", "0"]) == 2
