"""`vz teach`: a search on a dataset, a server with limits, and a second start that goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chat_server import chat

from vz_agents.policy import as_policy
from vz_agents.repairs import first_own_turn
from vz_agents.rollout import run_episode
from vz_agents.trajectory_files import read_trajectories, write_trajectories
from vz_benchmarks.cli import main
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv

BUDGET = ["--budget.overview-frames", "12", "--budget.max-frames", "92"]


def test_a_search_leaves_exemplars_and_a_table_and_vz_sft_finds_them(needle_root, tmp_path, capsys):
    words = ["teach", "--root", str(needle_root), "--split", "test", "--out", str(tmp_path), *BUDGET]
    words += ["--teacher", "coarse-to-fine", "--exemplars.evidence", "--limit", "5"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    (kept,) = [line for line in shown.splitlines() if " kept " in line]
    read = read_trajectories(tmp_path / "exemplars.jsonl")
    assert len(read.trajectories) == int(kept.split()[3]) >= 3
    assert all(one.score == 1.0 for one in read.trajectories.values())
    assert "try: vz sft" in shown
    attempts = (tmp_path / "attempts.jsonl").read_bytes()
    assert main([*words, "--exemplars.distinct"]) == 0  # other filters, on what was played
    assert (tmp_path / "attempts.jsonl").read_bytes() == attempts
    assert main([*words, "--teacher", "binary"]) == 2
    assert "choose another --out" in capsys.readouterr().err


def student(seen):
    """Looks at the beginning, and knows nothing."""
    return "<answer>none</answer>" if seen.history else '<video_zoom>{"segment":[0,8],"fps":1}</video_zoom>'


def test_it_repairs_what_a_student_did_wrong(needle, needle_root, tmp_path, capsys):
    env = VideoZoomEnv(needle, budget=Budget(overview_frames=12, max_frames=92), describe="palette", with_frames=False)
    played = [run_episode(env, as_policy(student), name, 0) for name in needle.ids[:5]]
    write_trajectories(tmp_path / "student.jsonl", [*played, replace(played[0], score=1.0)])
    words = ["teach", "--root", str(needle_root), "--split", "test", *BUDGET]
    words += ["--repair", str(tmp_path / "student.jsonl"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert " right_answer " in capsys.readouterr().out
    repaired = read_trajectories(tmp_path / "out" / "reflections.jsonl").trajectories.values()
    assert repaired
    assert all(one.score == 1.0 and first_own_turn(one) > 0 for one in repaired)
    assert not (tmp_path / "out" / "exemplars.jsonl").exists()
    (tmp_path / "none.jsonl").write_text("hm\n")
    assert main([*words[:-3], str(tmp_path / "none.jsonl"), *words[-2:]]) == 2
    assert "holds no trajectory of Needle (test)" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def url(serve):
    """A server that answers A at once, for a million tokens a time."""
    return serve(lambda *_: chat("<answer>A</answer>", prompt_tokens=1_000_000, completion_tokens=0)).url


def test_a_limit_of_cost_that_is_raised_goes_on(url, needle_root, tmp_path, capsys, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    words = ["teach", "--root", str(needle_root), "--split", "test", "--out", str(tmp_path), *BUDGET, "--limit", "4"]
    words += ["--teacher", "openai", "--base-url", url, "--model", "m", "--prompt-price", "1", "--concurrency", "1"]
    assert main([*words, "--max-cost", "2"]) == 3
    assert "error:TeacherLimit" in capsys.readouterr().out
    replies = (tmp_path / "replies.jsonl").read_bytes()
    assert replies.count(b"\n") == 2
    assert main([*words, "--max-cost", "9"]) == 0
    assert (tmp_path / "replies.jsonl").read_bytes().startswith(replies)
    assert (tmp_path / "replies.jsonl").read_bytes().count(b"\n") == 4
    assert not any(b"sk-very-secret" in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
