"""`vz doctor` as a person runs it."""

from __future__ import annotations

import json

import pytest
from benchmark_trees import TREES, write_tree
from make_assets import asset

from vz_benchmarks.cli import main


@pytest.fixture
def lectures(tmp_path):
    asset("cfr.mp4").write(tmp_path).rename(tmp_path / "talk.mp4")
    record = {
        "id": "q1", "video": "talk.mp4", "question": "Who?", "options": ["Ada", "Grace"], "answer_kind": "choice",
        "answer_index": 1,
    }  # fmt: skip
    (tmp_path / "questions.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return tmp_path


def test_a_good_dataset_says_what_to_try_next(lectures, capsys):
    assert main(["doctor", str(lectures / "questions.jsonl")]) == 0
    printed = capsys.readouterr().out

    assert "1 question about 1 video " in printed
    assert "0 errors, 0 warnings" in printed
    assert "vz eval --dataset" in printed


def test_a_bad_dataset_is_told_line_by_line_and_ends_with_2(lectures, capsys):
    with (lectures / "questions.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "q2"}\n{"id": "\\u001b[31mq3", "video": "lost.mp4"}\n')
    assert main(["doctor", str(lectures / "questions.jsonl"), "--root", str(lectures), "--no-decode"]) == 2
    printed = capsys.readouterr().out

    assert "line 2" in printed
    assert "line 3" in printed
    assert "\x1b[31m" not in printed
    assert "vz eval" not in printed


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    assert main(["doctor", str(tmp_path / "none.jsonl")]) == 2

    assert "found no such file" in capsys.readouterr().out


def test_an_official_benchmark_is_looked_through_too(tmp_path, capsys):
    tree = write_tree(tmp_path / "mlvu", TREES["mlvu-dev"], asset("cfr.mp4").write(tmp_path))
    words = ["doctor", "--benchmark", "mlvu-dev", "--root", str(tree)]
    assert main([*words, "--no-decode"]) == 0
    printed = capsys.readouterr().out
    assert "0 errors, 2 warnings" in printed  # the two records that cannot be answered
    assert f"vz eval --benchmark mlvu-dev --root {tree} --policy uniform" in printed
    (tree / "video" / "4_count" / "count_1.mp4").unlink()
    assert main(words) == 2
    assert "no such video file" in " ".join(capsys.readouterr().out.replace("│", " ").split())  # tables break lines
    for wrong in (["doctor"], ["doctor", "a.jsonl", "--benchmark", "mlvu-dev"]):
        assert main(wrong) == 2
        assert "wants an annotation file, or --benchmark" in capsys.readouterr().err
