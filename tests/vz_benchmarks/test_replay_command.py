from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from vz_agents.baselines import RandomZoom
from vz_agents.rollout import run_episode
from vz_agents.trajectory_files import write_trajectories
from vz_benchmarks.cli import main
from vz_env.env import VideoZoomEnv


def test_replay_tells_differences_and_faults_and_goes_on(needle, needle_root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    played = [run_episode(VideoZoomEnv(needle), RandomZoom(), name, 3) for name in needle.ids[:2]]
    path = Path("t.jsonl")
    words = ["replay", str(path), "--root", str(needle_root)]
    write_trajectories(path, played)
    assert main(words) == 0
    assert "2 of 2" in capsys.readouterr().out

    other = dataclasses.replace(played[0], score=0.5)
    gone = dataclasses.replace(played[0], dataset="NoSuchDataset")
    lost = dataclasses.replace(played[0], episode_id="lost")
    write_trajectories(path, [gone, lost, other, played[1]])
    with path.open("a") as file:
        file.write("{\n")
    assert main(words) == 1
    said = capsys.readouterr()
    assert "score: recorded 0.5" in said.out
    assert "1 of 4" in said.out
    complaints = " ".join(said.err.split())  # a pipe folds long lines
    assert re.findall(r"t\.jsonl:(\d)", complaints) == ["5", "1", "2"]
    assert "NoSuchDataset" in complaints
    assert "'lost'" in complaints


def test_replay_with_another_budget_says_what_differs(needle, needle_root, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    write_trajectories(path, [run_episode(VideoZoomEnv(needle), RandomZoom(), needle.ids[0], 3)])
    assert main(["replay", str(path), "--root", str(needle_root), "--budget.overview-frames", "6"]) == 1
    assert "turn 0: timestamps" in capsys.readouterr().out
