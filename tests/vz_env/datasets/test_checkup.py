"""What a checkup finds in annotations and videos, and that it never stops at the first trouble."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_assets import asset

from vz_env.datasets.checkup import Checkup, check_files

RECORD = {"question": "Which?", "options": ["a", "b"], "answer_kind": "choice", "answer_index": 0, "video": "talk.mp4"}
Examine = Callable[..., Checkup]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Write records beside one good video, and check them."""
    asset("cfr.mp4").write(tmp_path).rename(tmp_path / "talk.mp4")

    def run(*records: Any, **options: Any) -> Checkup:
        lines = [
            record if isinstance(record, str) else json.dumps({"id": f"q{n}", **RECORD, **record})
            for n, record in enumerate(records)
        ]
        (tmp_path / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return check_files(tmp_path / "questions.jsonl", tmp_path, **options)

    return run


def texts(checkup: Checkup) -> list[str]:
    return [f"{finding.severity} {finding.where}: {finding.message}" for finding in checkup.findings]


def test_a_good_dataset_has_no_findings(examine):
    checkup = examine({"evidence_spans_s": [[0.5, 1]]}, {"question": "And which else?"})

    assert checkup.is_healthy
    assert checkup.findings == ()
    assert (checkup.questions, checkup.videos, checkup.with_evidence) == (2, 1, 1)
    assert checkup.hours > 0


def test_every_trouble_is_found_and_errors_come_first(examine, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "bad.srt").write_text("no subtitles", encoding="utf-8")
    checkup = examine(
        {},
        "{broken",
        {"answer_index": 7},
        {"video": "../outside.mp4"},
        {"video": "lost.mp4"},
        {"video": "lost.mp4", "question": "Again?"},
        {"video": "empty.mp4"},
        {"question": "Said?", "subtitles": {"path": "bad.srt", "format": "srt"}},
        {"question": "Long?", "duration_s": 900},
        {"question": "Late?", "evidence_spans_s": [[800, 801]]},
        {},
    )
    found = texts(checkup)

    assert not checkup.is_healthy
    assert [line.partition(" ")[0] for line in found] == ["error"] * 6 + ["warning"] * 3
    for part in (
        "error line 2: Invalid JSON",
        "error line 3: answer_index: must lie in [0, 1], got 7",
        "error line 4: video: '../outside.mp4' leaves the root",
        "(2 questions)",
        "empty.mp4: ",
        "bad.srt: not a srt subtitle file",
        "duration_s says 900",
        "warning question q9: evidence_spans_s: 1 of 1 begin after the end of the video",
        "warning question q10: the same as question q0",
    ):
        assert any(part in line for line in found), part
    assert (checkup.questions, checkup.videos) == (8, 3)


def test_a_file_of_which_nothing_can_be_used_is_one_error(examine):
    checkup = examine("{broken")

    assert [finding.severity for finding in checkup.findings] == ["error"]
    assert "got no usable one" in checkup.findings[0].message
    assert not checkup.is_healthy


@pytest.mark.parametrize(("folder", "match"), [("questions.jsonl", "got a file"), ("nowhere", "wanted the folder")])
def test_a_root_that_is_no_folder_is_an_error(examine, tmp_path, folder, match):
    examine({})
    checkup = check_files(tmp_path / "questions.jsonl", tmp_path / folder)

    assert match in checkup.findings[0].message


def test_damage_within_a_video_is_found_by_decoding_alone(examine, tmp_path):
    examine({})
    whole = (tmp_path / "talk.mp4").read_bytes()
    low, high = int(len(whole) * 0.45), int(len(whole) * 0.55)
    (tmp_path / "talk.mp4").write_bytes(whole[:low] + bytes(high - low) + whole[high:])

    assert examine({}, decode=False).is_healthy
    assert "the file is damaged there" in examine({}).findings[0].message


@pytest.mark.parametrize(("right", "is_skewed"), [([0] * 30, True), ([0, 1] * 15, False), ([0] * 19, False)])
def test_answers_that_their_position_gives_away(examine, right, is_skewed):
    checkup = examine(*({"question": f"Q{n}?", "answer_index": index} for n, index in enumerate(right)))

    assert any("Shuffle the options" in text for text in texts(checkup)) is is_skewed
    assert checkup.is_healthy


def test_progress_is_told_of_every_video(examine, tmp_path):
    (tmp_path / "other.mp4").write_bytes((tmp_path / "talk.mp4").read_bytes())
    told = []
    examine({}, {"video": "other.mp4"}, progress=lambda done, total: told.append((done, total)))

    assert told == [(1, 2), (2, 2)]
