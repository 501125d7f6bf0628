from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vz_agents.trajectory import Trajectory, TurnRecord
from vz_benchmarks.records import EpisodeRecord, ResultsFile, read_records, write_atomically
from vz_env.errors import ConfigError, DatasetError


def make_record(key: str, **fields) -> EpisodeRecord:
    turn = TurnRecord(observation="Question \ud800 é\u2028", timestamps=[0.0], action="<answer>A</answer>")
    trajectory = Trajectory(**{"episode_id": key, "turns": [turn], "status": "answered", "score": 1.0} | fields)
    return EpisodeRecord(key=key, run="r", trajectory=trajectory, video_group="v", groups={"task": "count"})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "run" / "results.jsonl"


def write(path: Path, *keys: str) -> None:
    with ResultsFile(path) as results:
        for key in keys:
            results.append(make_record(key))


def test_records_come_back_as_they_were_written(path):
    write(path, "a", "b")
    assert read_records(path) == [make_record("a"), make_record("b")]
    assert len(path.read_bytes().splitlines()) == 2
    with ResultsFile(path) as results:
        assert results.done_keys() == {"a", "b"}
        assert results.get("b") == make_record("b")
        assert results.get("c") is None


@pytest.mark.parametrize("cut", [1, 2, 30, -1])
def test_a_line_broken_by_a_crash_is_cut_and_written_again(path, cut):
    write(path, "a")
    whole = path.read_bytes()
    write(path, "b")
    both = path.read_bytes()
    path.write_bytes(both[: len(whole) + cut] if cut > 0 else both[:-1])
    assert [record.key for record in read_records(path)] == ["a"]
    write(path, "b")
    assert path.read_bytes() == both


def test_zeros_that_a_power_cut_left_are_cut(path):
    write(path, "a")
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100 + b"\n")
    write(path, "b")
    assert [record.key for record in read_records(path)] == ["a", "b"]


def test_a_broken_line_in_the_middle_is_an_error_with_its_place(path):
    write(path, "a", "b")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:50] + b"\n" + lines[1])
    before = path.read_bytes()
    with pytest.raises(DatasetError, match=r"results\.jsonl:1: wanted a result"):
        ResultsFile(path)
    assert path.read_bytes() == before


def test_a_foreign_object_is_named():
    with pytest.raises(DatasetError, match="wanted a result with the fields"):
        EpisodeRecord.from_json('{"key": 1}')


def test_errors_are_not_done_and_a_later_record_wins(path):
    with ResultsFile(path) as results:
        results.append(make_record("a", status="error:VideoDecodeError", score=None))
        assert results.done_keys() == frozenset()
        results.append(make_record("a"))
        assert results.done_keys() == {"a"}
    with ResultsFile(path) as results:
        assert results.get("a").trajectory.status == "answered"


def test_two_runs_in_one_folder_are_refused(path):
    with ResultsFile(path), pytest.raises(ConfigError, match="another run writes"):
        ResultsFile(path)
    ResultsFile(path).close()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another folder"):
        ResultsFile(tmp_path / "file" / "results.jsonl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match="wanted a results file"):
        read_records(tmp_path / "none.jsonl")


def test_a_full_disk_leaves_whole_records(path, monkeypatch):
    write(path, "a")
    before = path.read_bytes()
    real_write = os.write
    sizes = iter([20, None])

    def fill(descriptor, data):
        size = next(sizes)
        if size is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data[:size])

    with ResultsFile(path) as results:
        monkeypatch.setattr(os, "write", fill)
        with pytest.raises(OSError, match="No space left"):
            results.append(make_record("b"))
        monkeypatch.undo()
        assert path.read_bytes() == before
        results.append(make_record("b"))
    assert [record.key for record in read_records(path)] == ["a", "b"]


def test_write_atomically_replaces_and_leaves_no_part(tmp_path):
    target = tmp_path / "deep" / "report.html"
    write_atomically(target, "one")
    write_atomically(target, "two \ud800")
    assert target.read_text() == "two \\ud800"
    assert [one.name for one in target.parent.iterdir()] == ["report.html"]
