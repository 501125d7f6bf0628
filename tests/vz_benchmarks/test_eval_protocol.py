"""`vz eval` in the published protocol, and with more eyes."""

from __future__ import annotations

import json

import pytest
from make_assets import asset

from vz_benchmarks.cli import main
from vz_benchmarks.commands.eval import EvalArgs, _env_options
from vz_env.budget import PUBLISHED_BUDGET, Budget


@pytest.fixture
def questions(tmp_path):
    asset("cfr.mp4").write(tmp_path).rename(tmp_path / "talk.mp4")
    record = {"id": "q1", "video": "talk.mp4", "question": "Which?", "answer_kind": "choice", "answer_index": 1}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({**record, "options": ["a", "b"]}) + "\n", encoding="utf-8")
    return path


def test_the_published_protocol_brings_its_budget():
    assert _env_options(EvalArgs(protocol="videozoomer")) == {
        "budget": PUBLISHED_BUDGET, "describe": "palette", "protocol": "videozoomer",
    }  # fmt: skip
    own = Budget(max_turns=3)
    assert _env_options(EvalArgs(protocol="videozoomer", budget=own))["budget"] == own
    assert _env_options(EvalArgs(eyes=("crop",)))["eyes"] == ("crop",)
    assert set(_env_options(EvalArgs())) == {"budget", "describe"}  # so that earlier results still count


def test_eval_plays_the_published_protocol(questions, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["eval", "--dataset", str(questions), "--policy", "random", "--protocol", "videozoomer", "--out", str(out)]
    assert main(words) == 0
    record = json.loads((out / "results.jsonl").read_text().splitlines()[0])
    turns = record["trajectory"]["turns"]

    assert turns[0]["observation"].startswith("<frame0_time0.00s>")
    assert "1.00" in capsys.readouterr().out or record["trajectory"]["score"] == 0.0
