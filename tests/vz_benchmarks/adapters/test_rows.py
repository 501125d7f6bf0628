"""Annotation files from anywhere: what is wrong is our error, with file and line, and nothing outside is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_trees import TREES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_benchmarks.adapters import rows
from vz_benchmarks.adapters.builder import VideoFolder, split_options
from vz_benchmarks.adapters.rows import Row, csv_rows, json_object, json_rows, jsonl_rows
from vz_env.datasets.registry import load_dataset
from vz_env.errors import DatasetError, VideoError, VZError
from vz_env.video.access import resolve_video

_GOOD = json.loads(json.dumps(TREES["cgbench-mini"]["cgbench_mini.json"]))


def write_cg(folder: Path, text: str | bytes) -> Path:
    path = folder / "cgbench_mini.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load_cg(folder: Path) -> Any:
    return load_dataset("CGBench", root=folder, need_videos=False)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "wanted a JSON list"),
        ("{}", 1, "wanted a JSON list"),
        ('[\n{"qid": 1},\n{"qid": nope}]', 3, "not JSON"),
        ('[\n{"qid": 1}\n{"qid": 2}]', 3, "wanted ',' or ']'"),
        ("[\n1]", 2, "wanted a record as an object"),
        ('[\n\n{"qid": NaN}]', 3, "NaN is no JSON number"),
        ("[" * 200_000, 1, "not JSON we read"),
        ('[{"a": ' + "9" * 6000 + "}]", 1, "not JSON we read"),
        (b'[\n"\xff"]', 2, "not UTF-8"),
        (b"\x80\x04\x95pickle", 1, "not UTF-8"),
        ('[{"qid": 1', 1, "not JSON"),
    ],
)
def test_broken_files_name_the_line(tmp_path: Path, text: str | bytes, line: int, message: str) -> None:
    path = write_cg(tmp_path, text)
    with pytest.raises(DatasetError, match=message) as caught:
        list(json_rows(path))
    assert str(caught.value).startswith(f"{path}:{line}:")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("question", None, "question: wanted, got none"),
        ("question", ["a"], "question: wanted text"),
        ("question", "a\x00b", "question: holds a character"),
        ("choices", "abc", "choices: wanted a list of texts"),
        ("choices", [["a"], "b"], "choices: wanted a list of texts"),
        ("duration", "long", "duration: wanted a finite number"),
        ("duration", True, "duration: wanted a finite number"),
        ("duration", 10**400, "duration: wanted a finite number"),
        ("clue_intervals", [[1, 2, 3]], r"clue_intervals: wanted a list of \[start, end\]"),
        ("clue_intervals", [["a", 1]], r"clue_intervals: wanted a list of \[start, end\]"),
        ("qid", "a\nb", "id: wanted 1 to 512 printable"),
        ("video_uid", "../../../../etc/passwd", "leaves the root"),
    ],
)
def test_wrong_fields_are_named_with_their_place(tmp_path: Path, field: str, value: Any, message: str) -> None:
    bad = {**_GOOD[1], field: value}
    text = "[\n" + json.dumps(_GOOD[0]) + ",\n" + json.dumps(bad) + "]"
    if field == "duration" and value == 10**400:
        text = text.replace(str(value), "1" + "0" * 400)
    path = write_cg(tmp_path, text)
    with pytest.raises(DatasetError, match=message) as caught:
        load_cg(tmp_path)
    assert str(caught.value).startswith(f"{path}:3:")


@pytest.mark.parametrize("name", ["/etc/passwd", "x" * 5000, "~", "a\\b", "file:///etc/passwd", "c:d"])
def test_odd_names_mean_files_inside_the_root(tmp_path: Path, name: str) -> None:
    write_cg(tmp_path, json.dumps([{**_GOOD[0], "video_uid": name}]))
    try:
        dataset = load_cg(tmp_path)
    except DatasetError as error:
        assert "wants a path relative to the root, got a URL" in str(error)  # noqa: PT017 - or it is read
        return
    assert dataset.episodes[0].video_path.is_relative_to(tmp_path.resolve())
    assert "1 of 1 videos are not on the disk" in dataset.notes[-1]


def test_a_lone_surrogate_is_refused_and_not_met_when_results_are_written(tmp_path: Path) -> None:
    write_cg(tmp_path, json.dumps([{**_GOOD[0], "question": "x\ud800"}]))
    with pytest.raises(DatasetError, match="lone surrogate"):
        load_cg(tmp_path)


def test_links_out_of_the_root_are_refused_when_a_video_is_opened(tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"canary")
    root = tmp_path / "root"
    (root / "cg_videos_720p").mkdir(parents=True)
    (root / "cg_videos_720p" / "shop1.mp4").symlink_to(outside)
    write_cg(root, json.dumps(_GOOD))
    with pytest.raises(DatasetError, match="leaves the root"):
        load_dataset("CGBench", root=root)
    with pytest.raises(VideoError):
        resolve_video(root / "cg_videos_720p" / "shop1.mp4", root)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cg(tmp_path, "[" + " " * 100 + "]")
    monkeypatch.setattr(rows, "MAX_FILE_BYTES", 50)
    with pytest.raises(DatasetError, match="102 bytes, the limit is 50"):
        list(json_rows(path))


def test_ids_used_twice_are_told_apart(tmp_path: Path) -> None:
    write_cg(tmp_path, json.dumps([_GOOD[0], _GOOD[0], _GOOD[0]]))
    dataset = load_cg(tmp_path)
    assert dataset.ids == ("1", "1#2", "1#3")
    assert sum("was used before" in note for note in dataset.notes) == 2


def test_lines_and_tables_name_their_places(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [(row.value["a"], row.place) for row in jsonl_rows(lines)] == [(1, f"{lines}:1"), (2, f"{lines}:3")]
    lines.write_text('{"a": 1} {"a": 2}')
    with pytest.raises(DatasetError, match=r"a\.jsonl:1: wanted one JSON object a line"):
        list(jsonl_rows(lines))
    table = tmp_path / "a.csv"
    table.write_text('x,y\n1,"two\nlines"\n3,4\n')
    assert [row.place for row in csv_rows(table)] == [f"{table}:3", f"{table}:4"]
    table.write_text('x,y\n1,"open\n')
    with pytest.raises(DatasetError, match=r"a\.csv:\d+: not CSV"):
        list(csv_rows(table))
    table.write_text("[1]")
    with pytest.raises(DatasetError, match="wanted a JSON object"):
        json_object(table)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused_as_ours(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(json.dumps(_GOOD, indent=1).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    write_cg(tmp_path, bytes(text))
    try:
        dataset = load_cg(tmp_path)
    except VZError:
        return
    assert all(episode.video_path.is_relative_to(tmp_path.resolve()) for episode in dataset)


@given(st.text(alphabet="AB().: \nxyz", max_size=60))
def test_taking_options_out_never_fails_and_keeps_letters_in_order(text: str) -> None:
    _, letters, options = split_options(text)
    assert letters == sorted(set(letters))
    assert len(letters) == len(options)


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("Why?\n(A) x\n(B) y", "Why?", ["x", "y"]),
        ("Why?  \nA. x  \nB. y  \n", "Why?", ["x", "y"]),
        ("Why?\nB. y\nA. x", "Why?", ["x", "y"]),
        ("Why?\nA. x\nmore of x\nB. y", "Why?", ["x more of x", "y"]),
        ("A. is no option", "A. is no option", []),
    ],
)
def test_options_are_taken_out_of_a_question(text: str, stem: str, options: list[str]) -> None:
    found_stem, _, found = split_options(text)
    assert (found_stem, found) == (stem, options)


def test_a_video_is_found_whatever_its_extension(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    for name in ("a.mkv", "b_clean.mp4", "c.MP4", "d"):
        (tmp_path / "v" / name).write_text("")
    videos = VideoFolder(tmp_path, tmp_path / "v")
    found = [videos.find(name, suffixes=("", "_clean")) for name in ("a", "b", "c", "d", "gone", "gone.mp4")]
    assert found == ["v/a.mkv", "v/b_clean.mp4", "v/c.MP4", "v/d", "v/gone.mp4", "v/gone.mp4"]


def test_whole_numbers_are_whole() -> None:
    assert Row({"n": "7"}, "p").whole("n") == 7
    with pytest.raises(DatasetError, match="p: n: wanted a whole number"):
        Row({"n": 1.5}, "p").whole("n")
