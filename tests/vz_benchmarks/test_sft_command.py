"""`vz sft` on the shipped base: what it takes, what it leaves out, and that a stop costs nothing."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from vz_agents.checkpoint import load_policy
from vz_agents.needle_expert import NeedleExpert
from vz_agents.rollout import run_episode
from vz_agents.trajectory_files import write_trajectories
from vz_benchmarks.cli import main
from vz_benchmarks.commands.sft import CHECKPOINTS
from vz_env.budget import Budget
from vz_env.datasets.needle import load_needle
from vz_env.env import VideoZoomEnv

FAST = ["--epochs", "2", "--batch-tokens", "600", "--checkpoint-every", "1", "--weights.lora-rank", "2"]


@pytest.fixture(scope="module")
def file(needle_root, tmp_path_factory):
    """Three right trajectories, a wrong one, one that failed, one that wrote nothing, and a line that is none."""
    needle = load_needle(split="test", root=needle_root)
    env = VideoZoomEnv(needle, budget=Budget(overview_frames=6), with_frames=False)
    played = [run_episode(env, NeedleExpert(), name, 0) for name in needle.ids[:3]]
    right = [replace(one, score=1.0) for one in played]
    rest = [replace(right[0], score=0.0), replace(right[0], status="error:TeacherError", score=None)]
    path = tmp_path_factory.mktemp("sft") / "exemplars.jsonl"
    write_trajectories(path, [*right, *rest, replace(right[0], turns=[])])
    with path.open("a") as lines:
        lines.write("hm\n")
    return path


def weights(out):
    return hashlib.sha256((out / "policy" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def told(file, tmp_path_factory):
    """The folder of a run that nothing interrupted, and what it wrote to stdout and to stderr."""
    out, shown, noted = tmp_path_factory.mktemp("whole"), io.StringIO(), io.StringIO()
    with redirect_stdout(shown), redirect_stderr(noted):
        assert main(["sft", str(file), "--out", str(out), *FAST]) == 0
    return out, shown.getvalue(), noted.getvalue()


@pytest.fixture(scope="module")
def whole(told):
    return told[0]


def test_a_policy_comes_out_and_the_rest_is_counted(told):
    out, shown, noted = told
    counted = {"kept": 3, "unreadable": 1, "error:TeacherError": 1, "not_right": 1, "nothing_written": 1}
    for reason, number in counted.items():
        (line,) = [line for line in shown.splitlines() if f" {reason} " in line]
        assert f" {number} " in line
    assert "exemplars.jsonl:7: left out" in noted
    assert "3 trajectories, " in noted
    assert "% padding" in noted
    assert load_policy(out).name == "SFT"
    assert not (out / CHECKPOINTS).exists()


def test_what_was_trained_is_evaluated_where_it_is_told_to_compute(whole, needle_root, tmp_path, capsys):
    words = ["eval", "--root", str(needle_root), "--policy", str(whole), "--limit", "1", "--out", str(tmp_path)]

    assert main([*words, "--device", "cuda:97"]) == 2
    told = capsys.readouterr().err
    assert "wanted a device to compute on, got 'cuda:97'" in told
    assert "try --device cpu" in told
    assert not list(tmp_path.iterdir())

    assert main([*words, "--device", "cpu", "--budget.overview-frames", "4"]) == 0
    assert "SFT" in capsys.readouterr().out


def test_the_same_command_again_does_nothing_and_another_is_refused(file, whole, capsys):
    before = weights(whole)
    assert main(["sft", str(file), "--out", str(whole), *FAST]) == 0
    assert "it was finished" in capsys.readouterr().out
    assert weights(whole) == before
    assert main(["sft", str(file), "--out", str(whole), *FAST, "--lr", "1"]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_a_signal_stops_it_and_the_same_command_goes_on(file, whole, tmp_path, capsys):
    def stop():
        deadline = time.monotonic() + 60
        while not (tmp_path / CHECKPOINTS).exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    code = main(["sft", str(file), "--out", str(tmp_path), *FAST])
    thread.join()
    assert code == 143
    assert "the same command continues" in capsys.readouterr().out
    assert not (tmp_path / "policy").exists()
    assert main(["sft", str(file), "--out", str(tmp_path), *FAST]) == 0
    assert weights(tmp_path) == weights(whole)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """A folder with a tiny model that sees."""
    from transformers import AutoTokenizer

    from vz_agents.cold_base import BASE_FOLDER
    from vz_agents.tiny_vlm import TinyVisionConfig, build_tiny_vlm

    folder = tmp_path_factory.mktemp("seeing")
    shape = TinyVisionConfig(hidden_size=32, intermediate_size=64)
    build_tiny_vlm(AutoTokenizer.from_pretrained(BASE_FOLDER), shape).save(folder)
    return folder


def test_a_model_that_sees_learns_from_the_pictures_of_imported_conversations(seeing, file, needle_root, tmp_path):
    def run(*words):
        return main([*map(str, words)])

    there = ["--root", needle_root, "--budget.overview-frames", "6"]
    assert run("export", file, "--to", "trl", "--out", tmp_path, "--only-right", *there) == 3  # two lines are none
    assert run("import", tmp_path / "vz_sft.jsonl", "--from", "trl", "--out", tmp_path / "sub" / "back.jsonl") == 0
    words = ["sft", tmp_path / "sub" / "back.jsonl", "--model", seeing, "--epochs", "1", "--weights.device", "cpu"]
    assert run(*words, "--out", tmp_path / "lost") == 2  # the pictures are not beside the file
    assert run(*words, "--pictures", tmp_path, "--out", tmp_path / "found") == 0
    assert load_policy(tmp_path / "found").needs_frames


def test_a_model_that_sees_is_shown_the_frames(seeing, file, needle_root, tmp_path, capsys):
    words = ["sft", str(file), "--model", str(seeing), "--epochs", "1", "--budget.overview-frames", "6"]
    words += ["--describe", "none", "--weights.device", "cpu", "--out", str(tmp_path / "out")]
    assert main([*words, "--root", str(tmp_path)]) == 2  # no videos there: every one is left out
    assert "left out" in capsys.readouterr().err
    assert main([*words, "--root", str(needle_root)]) == 2
    assert "holds a run on other files or with other settings" in capsys.readouterr().err
    words[-1] = str(tmp_path / "seeing")
    assert main([*words, "--root", str(needle_root)]) == 0
    (kept,) = [line for line in capsys.readouterr().out.splitlines() if " kept " in line]
    assert " 3 " in kept
    trained = load_policy(tmp_path / "seeing")
    assert trained.needs_frames
    before = load_policy(seeing).model.lm.state_dict()
    changed = {name for name, now in trained.model.lm.state_dict().items() if not now.equal(before[name])}
    assert changed
    assert not any("visual" in name for name in changed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing|required|wanted a file of trajectories"),
        (["nothing.jsonl"], "cannot read nothing.jsonl"),
    ],
)
def test_nothing_to_train_on_is_one_message(words, said, tmp_path, capsys):
    try:
        code = main(["sft", *words, "--out", str(tmp_path / "out")])
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr()
    assert code == 2
    assert any(word in told.err + told.out for word in said.split("|"))
