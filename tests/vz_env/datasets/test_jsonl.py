from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vz_env.datasets import jsonl
from vz_env.datasets.jsonl import load_jsonl, write_jsonl
from vz_env.episode import Segment
from vz_env.errors import ConfigError, DatasetError

CHOICE: dict[str, Any] = {
    "id": "q1",
    "video": "a.mp4",
    "question": "Which?",
    "options": ["red", "blue"],
    "answer_kind": "choice",
    "answer_index": 1,
}


def write(folder: Path, *records: dict[str, Any] | bytes) -> Path:
    path = folder / "notes.jsonl"
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_choice_record_becomes_episode_and_key(tmp_path: Path) -> None:
    made = load_jsonl(write(tmp_path, CHOICE), tmp_path)
    episode = made.episode("q1")
    assert (made.name, episode.options, episode.answer_kind) == ("notes", ("red", "blue"), "choice")
    assert episode.video_path == (tmp_path / "a.mp4").resolve()
    assert made.key("q1").answer_indices == (1,)


def test_every_field_of_the_format_is_read(tmp_path: Path) -> None:
    record = CHOICE | {
        "dataset": "d", "split": "test", "video_id": "v", "clip_start_s": 1.0, "clip_end_s": 2, "duration_s": 10,
        "option_labels": ["B", "A"], "answer_index": [0, 1], "evidence_spans_s": [[1, 2]], "evidence_frames": [3],
        "evidence_fps": 2, "evidence_kind": "clue", "subtitles": {"path": "a.srt", "format": "srt", "offset_s": 1},
        "context_text": "Before.", "question_images": ["i.png"], "question_images_placement": "after_video",
        "option_images": ["o.png"], "task_types": ["t1", "t2"], "groups": {"domain": "art"}, "try_group": "g",
        "reference_points": ["p"], "scoring": {"metric": "acc"}, "prompt": "{question}", "invalid": None,
        "hidden": {"why": "because"}, "source": "s", "licence": "l", "meta": {"k": [1, None]},
    }  # fmt: skip
    made = load_jsonl(write(tmp_path, record), tmp_path, name="mine")
    episode, key = made.episodes[0], made.key("q1")
    assert (made.name, made.split, episode.dataset, episode.video_id) == ("mine", "test", "mine", "v")
    assert (episode.duration_seconds, episode.context_text) == (10, "Before.")
    assert episode.groups == {"domain": "art", "task": "t1,t2", "try_group": "g"}
    assert episode.subtitles is not None
    assert episode.subtitles.path == (tmp_path / "a.srt").resolve()
    assert key.answer_indices == (0, 1)
    assert key.evidence == (Segment(1.0, 2.0), Segment(1.5, 2.0))
    assert [note.split(":")[1].strip() for note in made.notes] == [
        "clip_start_s", "clip_end_s", "question_images", "option_images", "prompt", "scoring",
    ]  # fmt: skip
    assert "because" not in repr(episode)


@pytest.mark.parametrize(
    ("kind", "fields", "texts"),
    [
        ("text", {"answer_text": "a dog"}, ("a dog",)),
        ("text", {"answer_text": ["dog", "puppy"]}, ("dog", "puppy")),
        ("number", {"answer_text": "3.5"}, ("3.5",)),
        ("number", {"answer_text": 3}, ("3",)),
    ],
)
def test_open_answers_are_read(tmp_path: Path, kind: str, fields: dict[str, Any], texts: tuple[str, ...]) -> None:
    record = {"id": "q1", "video": "a.mp4", "question": "What?", "answer_kind": kind, **fields}
    assert load_jsonl(write(tmp_path, record), tmp_path).key("q1").answer_texts == texts


def test_spans_are_clamped_and_empty_ones_dropped_with_notes(tmp_path: Path) -> None:
    record = {"id": "q1", "video": "a.mp4", "question": "When?", "answer_kind": "spans", "duration_s": 10.0}
    made = load_jsonl(write(tmp_path, record | {"answer_spans_s": [[8, 12], [5, 5], [-1, 2]]}), tmp_path)
    assert made.key("q1").answer_segments == (Segment(8, 10), Segment(0, 2))
    assert made.notes == (
        "line 1: answer_spans_s: clamped [8, 12] to [8, 10]",
        "line 1: answer_spans_s: dropped the empty span [5, 5]",
        "line 1: answer_spans_s: clamped [-1, 2] to [0, 2]",
    )


BAD_LINES: list[tuple[dict[str, Any] | bytes, str]] = [
    (b"{not json", "Invalid JSON"),
    (b"[1, 2]", "valid dictionary|object"),
    (b"null", "object|dictionary"),
    (b"\x80\x04\x95pickle", "Invalid JSON"),
    (b'{"id": "\xff\xfe"}', "Invalid JSON"),
    (b"- id: yaml", "Invalid JSON"),
    (b"[" * 5000, "Invalid JSON"),
    ({k: v for k, v in CHOICE.items() if k != "id"}, "id: field required"),
    ({k: v for k, v in CHOICE.items() if k != "video"}, "video: field required"),
    ({k: v for k, v in CHOICE.items() if k != "answer_index"}, "answer_index: wanted"),
    (CHOICE | {"id": 7}, "id: input should be a valid string, got 7"),
    (CHOICE | {"id": ""}, "id: .*at least 1 character"),
    (CHOICE | {"id": "a\nb"}, "id: .*pattern"),
    (CHOICE | {"question": "  "}, "question: wants text"),
    (CHOICE | {"options": ["red"]}, "options: wants 2 to 14"),
    (CHOICE | {"options": ["o"] * 15}, "options: wants 2 to 14"),
    (CHOICE | {"options": ["red", " "]}, "options: wants 2 to 14 non-empty"),
    (CHOICE | {"option_labels": ["A"]}, "option_labels: wants one for each of 2"),
    (CHOICE | {"answer_index": 2}, r"answer_index: must lie in \[0, 1\], got 2"),
    (CHOICE | {"answer_index": -1}, "answer_index: must lie in"),
    (CHOICE | {"answer_index": True}, "answer_index"),
    (CHOICE | {"answer_index": "1"}, "answer_index"),
    (CHOICE | {"answer_kind": "essay"}, "answer_kind: input should be 'choice'"),
    (CHOICE | {"answer_kind": "text", "answer_text": "x"}, "options: are for answer_kind 'choice'"),
    (CHOICE | {"duration_s": float("nan")}, "duration_s"),
    (CHOICE | {"duration_s": float("inf")}, "duration_s"),
    (CHOICE | {"duration_s": 0}, "duration_s: .*greater than 0"),
    (CHOICE | {"duration_s": "10"}, "duration_s: .*valid number"),
    (CHOICE | {"evidence_spans_s": [[1]]}, "evidence_spans_s"),
    (CHOICE | {"evidence_frames": [1]}, "evidence_frames: want evidence_fps"),
    (CHOICE | {"clip_start_s": 5, "clip_end_s": 4}, "clip_end_s: must lie after"),
    (CHOICE | {"colour": "red"}, "colour: extra inputs are not permitted"),
    ({"id": "x", "video": "a", "question": "q", "answer_kind": "number", "answer_text": "nan"}, "finite numbers"),
    ({"id": "x", "video": "a", "question": "q", "answer_kind": "text"}, "answer_text: wanted"),
    ({"id": "x", "video": "a", "question": "q", "answer_kind": "spans"}, "answer_spans_s: wanted"),
    ({"id": "x", "video": "a", "question": "q", "answer_kind": "spans", "answer_spans_s": [[2, 1]]}, "no usable span"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_bad_line_is_named_with_file_and_line(tmp_path: Path, line: dict[str, Any] | bytes, message: str) -> None:
    path = write(tmp_path, CHOICE | {"id": "fine"}, b"", line)
    with pytest.raises(DatasetError, match=rf"notes\.jsonl:3: .*({message})"):
        load_jsonl(path, tmp_path)


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_bad_line_is_skipped_and_the_others_go_on(tmp_path: Path, line: dict[str, Any] | bytes, message: str) -> None:
    made = load_jsonl(write(tmp_path, CHOICE, line, CHOICE | {"id": "q2"}), tmp_path, on_error="skip")
    assert made.ids == ("q1", "q2")
    assert [rejected.line for rejected in made.rejected] == [2]


def test_id_used_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r":2: id: 'q1' was used before, on line 1"):
        load_jsonl(write(tmp_path, CHOICE, CHOICE), tmp_path)


@pytest.mark.parametrize(
    "video",
    ["../a.mp4", "sub/../../a.mp4", "/etc/hostname", "outward.mp4", "outward/a.mp4", "a\x00.mp4",
     "file:a.mp4", "file:///etc/hostname", "http://host/a.mp4", "..", ".", "", "sub/" * 2000 + "a.mp4"],
)  # fmt: skip
def test_video_outside_the_root_is_refused(tmp_path: Path, video: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "outward.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "outward").symlink_to(tmp_path)
    with pytest.raises(DatasetError, match=r"notes\.jsonl:1: video: "):
        load_jsonl(write(tmp_path, CHOICE | {"video": video}), root)


@pytest.mark.parametrize(
    "video", ["~/a.mp4", "sub/./a.mp4", "a b.mp4", "12:30.mp4", "é.mp4", "back\\slash.mp4", "...mp4", "x" * 300]
)
def test_odd_names_inside_the_root_are_taken_literally(tmp_path: Path, video: str) -> None:
    path = load_jsonl(write(tmp_path, CHOICE | {"video": video}), tmp_path).episodes[0].video_path
    assert path == tmp_path.resolve() / video
    assert path.is_relative_to(tmp_path.resolve())


def test_subtitles_outside_the_root_are_refused(tmp_path: Path) -> None:
    record = CHOICE | {"subtitles": {"path": "../a.srt", "format": "srt"}}
    with pytest.raises(DatasetError, match=r"subtitles\.path: .* leaves the root"):
        load_jsonl(write(tmp_path, record), tmp_path)


def test_line_too_long_is_skipped_without_losing_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 400)
    path = write(tmp_path, CHOICE, CHOICE | {"id": "long", "context_text": "x" * 5000}, CHOICE | {"id": "q3"})
    made = load_jsonl(path, tmp_path, on_error="skip")
    assert made.ids == ("q1", "q3")
    assert made.rejected[0] == (2, "line is longer than 400 bytes; is this a JSONL file?")


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + json.dumps(CHOICE).encode() + b"\r")
    assert load_jsonl(path, tmp_path).ids == ("q1",)


def test_split_keeps_its_records_and_those_without_one(tmp_path: Path) -> None:
    records = [CHOICE | {"id": name, "split": split} for name, split in (("a", "test"), ("b", "train"), ("c", None))]
    made = load_jsonl(write(tmp_path, *records), tmp_path, split="test")
    assert made.ids == ("a", "c")
    assert [episode.split for episode in made] == ["test", "test"]


def test_split_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, CHOICE | {"split": "train"})
    with pytest.raises(DatasetError, match="no record of split 'test'; it holds train"):
        load_jsonl(path, tmp_path, split="test")


def test_invalid_records_are_left_out_with_a_note(tmp_path: Path) -> None:
    made = load_jsonl(write(tmp_path, CHOICE, CHOICE | {"id": "q2", "invalid": "blurred"}), tmp_path)
    assert made.ids == ("q1",)
    assert made.notes == ("line 2: left out, marked invalid: blurred",)


def test_options_that_are_the_same_leave_a_note(tmp_path: Path) -> None:
    made = load_jsonl(write(tmp_path, CHOICE | {"options": ["red", "Red "]}), tmp_path)
    assert made.notes == ("line 1: options: some are the same text",)


def test_files_are_checked_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, CHOICE)
    with pytest.raises(DatasetError, match=r":1: video: no file 'a\.mp4'"):
        load_jsonl(path, tmp_path, check_files=True)
    (tmp_path / "a.mp4").touch()
    assert len(load_jsonl(path, tmp_path, check_files=True)) == 1


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty.jsonl").write_bytes(content)
    with pytest.raises(DatasetError, match="got no usable one"):
        load_jsonl(tmp_path / "empty.jsonl", tmp_path)


def test_file_without_a_good_line_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no usable one; line 1: Invalid JSON"):
        load_jsonl(write(tmp_path, b"x"), tmp_path, on_error="skip")


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "a\x00b"])
def test_annotations_that_are_no_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"annotation file|cannot be read"):
        load_jsonl(tmp_path / name, tmp_path)


@pytest.mark.parametrize("root", ["missing", "notes.jsonl"])
def test_root_that_is_no_folder_is_refused(tmp_path: Path, root: str) -> None:
    path = write(tmp_path, CHOICE)
    with pytest.raises(DatasetError, match="wanted the folder that holds the videos"):
        load_jsonl(path, tmp_path / root)


def test_unknown_on_error_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'raise' or 'skip', got 'ignore'"):
        load_jsonl(write(tmp_path, CHOICE), tmp_path, on_error="ignore")  # type: ignore[arg-type]


def test_revision_is_the_content(tmp_path: Path) -> None:
    first = load_jsonl(write(tmp_path, CHOICE), tmp_path).revision
    assert load_jsonl(write(tmp_path, CHOICE), tmp_path).revision == first
    assert load_jsonl(write(tmp_path, CHOICE | {"question": "What?"}), tmp_path).revision != first


def test_written_records_are_read_back(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", [CHOICE, CHOICE | {"id": "é"}])
    assert load_jsonl(tmp_path / "out.jsonl", tmp_path).ids == ("q1", "é")


@pytest.mark.parametrize(
    ("record", "message"),
    [(CHOICE | {"answer_index": 9}, "answer_index"), (CHOICE | {"meta": {"x": {1}}}, "plain JSON values"),
     (CHOICE | {"duration_s": float("nan")}, "plain JSON values")],
)  # fmt: skip
def test_writing_a_bad_record_writes_nothing(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"out\.jsonl:2: .*{message}"):
        write_jsonl(tmp_path / "out.jsonl", [CHOICE, record])
    assert list(tmp_path.iterdir()) == []
