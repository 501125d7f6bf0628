from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from benchmark_trees import TREES, write_tree

from vz_agents.baselines import RandomZoom
from vz_agents.rollout import run_episode
from vz_agents.trajectory_files import read_trajectories, write_trajectories
from vz_benchmarks.adapters.videozoomer import load
from vz_benchmarks.cli import main
from vz_env.datasets.jsonl import load_jsonl
from vz_env.env import VideoZoomEnv


@pytest.mark.parametrize("to", ["videozoomer", "llama-factory", "trl"])
def test_export_writes_what_replays_and_says_what_does_not(to, needle, needle_root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    played = run_episode(VideoZoomEnv(needle), RandomZoom(), needle.ids[0], 3)
    lost = dataclasses.replace(played, episode_id="lost")
    write_trajectories(Path("t.jsonl"), [lost, played])
    words = ["export", "t.jsonl", "--to", to, "--root", str(needle_root), "--out", "out"]
    assert main(words) == 3
    said = capsys.readouterr()
    assert "t.jsonl:1: left out: lost" in " ".join(said.err.split())
    assert "1 trajectories, 1 left out" in said.out
    (path,) = [path for path in Path("out").glob("vz_sft.*")]
    records = [json.loads(path.read_text())] if to == "trl" else json.loads(path.read_text())
    (record,) = records
    assert record["messages"][0]["role"] == "system"
    assert all((Path("out") / image).is_file() for image in record["images"])
    assert len(record["images"]) == sum(len(turn.timestamps) for turn in played.turns)


def test_what_was_exported_is_imported_and_replays(needle, needle_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_trajectories(Path("t.jsonl"), [run_episode(VideoZoomEnv(needle), RandomZoom(), needle.ids[0], 3)])
    root = ["--root", str(needle_root)]
    assert main(["export", "t.jsonl", "--to", "videozoomer", "--out", "out", *root]) == 0
    assert main(["import", "out/vz_sft.json", "--from", "videozoomer-sft", "--out", "back.jsonl"]) == 0
    assert main(["replay", "back.jsonl", *root]) == 0


def test_import_of_conversations_tells_what_it_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<answer>A</answer>"}]
    Path("theirs.json").write_text(json.dumps([{"messages": messages}, {"messages": messages[:1]}]))
    words = ["import", "theirs.json", "--from", "videozoomer-sft", "--out", "ours.jsonl"]
    assert main(words) == 3
    assert "left out: theirs.json: record 1" in " ".join(capsys.readouterr().err.split())
    assert len(read_trajectories(Path("ours.jsonl")).trajectories) == 1
    Path("theirs.json").write_text("[5]")
    assert main(words) == 2


def test_import_of_questions_gives_the_dataset_that_the_adapter_reads(tmp_path):
    from make_assets import asset

    root = write_tree(tmp_path / "set", TREES["videozoomer"], asset("cfr.mp4").write(tmp_path))
    out = root / "ours.jsonl"
    assert main(["import", str(root / "val.json"), "--from", "videozoomer-train", "--out", str(out)]) == 0
    theirs, ours = load(root=root), load_jsonl(out, root, name="VideoZoomer", split="val.json")
    assert [one.question for one in ours] == [one.question for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.options, one.video_path, one.groups) == (other.options, other.video_path, other.groups)
        assert ours.key(one.id) == theirs.key(other.id)


def test_questions_outside_the_root_are_refused(tmp_path, capsys):
    (tmp_path / "root").mkdir()
    (tmp_path / "val.json").write_text("[]")
    words = ["import", str(tmp_path / "val.json"), "--from", "videozoomer-train", "--out", str(tmp_path / "o.jsonl")]
    assert main([*words, "--root", str(tmp_path / "root")]) == 2
    assert "below the folder of its videos" in capsys.readouterr().err
