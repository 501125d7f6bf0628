from __future__ import annotations

from contextlib import contextmanager

import pytest

pytest.importorskip("torch")

from vz_agents.exemplars import Exemplars, write_exemplars
from vz_benchmarks.rejections import telling_rejections


def test_a_training_run_shows_each_table_once_before_its_next_stage(tmp_path, capsys):
    opened = []

    @contextmanager
    def stage(title):
        opened.append(title)
        yield lambda done, total: None

    told = telling_rejections(tmp_path, stage)
    with told("Exemplars"):
        rejected = {"error:TeacherError": 2, "wrong_answer": 3, "invalid_limit": 1}
        write_exemplars(tmp_path / "exemplars.jsonl", Exemplars([], rejected))
    assert capsys.readouterr().out == ""
    with told("Student"):
        shown = capsys.readouterr().out
    with told("Reflection"):
        write_exemplars(tmp_path / "reflections.jsonl", Exemplars([], {"no_flaw\x1b[31m": 4}))
    with told("SFT"):
        later = capsys.readouterr().out
    assert opened == ["Exemplars", "Student", "Reflection", "SFT"]
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.splitlines() if "│" in line]
    rows = {row[1]: row for row in cells}
    assert rows["wrong_answer"][2:5] == ["3", "50.0%", "the answer is not the right one"]
    assert rows["error:TeacherError"][4] == "the video, the server or the teacher failed"
    assert rows["invalid_limit"][4].startswith("it ended without an answer")
    assert "exemplars (" not in later
    assert "\x1b" not in later
