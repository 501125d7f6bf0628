from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vz_benchmarks import cli
from vz_benchmarks.cli import VERBS, main
from vz_benchmarks.commands import needle as needle_command
from vz_benchmarks.records import read_records

SLOW_POLICY = """
import time

class Slow:
    name, fingerprint, needs_frames = "Slow", "1", False

    def act(self, observations):
        time.sleep(0.25)
        return ["<answer>" + "AB"[len(one.episode.id) % 2] + "</answer>" for one in observations]
"""


@pytest.fixture
def eval_words(needle_root, tmp_path):
    """Words of an evaluation with the slow policy, without its --out."""
    (tmp_path / "slow.py").write_text(SLOW_POLICY)
    return ["eval", "--root", str(needle_root), "--policy", "slow:Slow", "--workers", "1", "--out"]


def start(words, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vz_benchmarks.cli", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline, "no results came"
        time.sleep(0.02)


def test_kill_9_then_the_same_command_gives_the_same_table(eval_words, tmp_path):
    whole = start([*eval_words, "whole"], tmp_path)
    killed = start([*eval_words, "killed"], tmp_path)
    results = tmp_path / "killed" / "results.jsonl"
    wait_for_lines(results, 2)
    killed.kill()
    killed.communicate()
    with results.open("ab") as stream:
        stream.write(b'{"key": "a line that the crash left brok')
    survivors = {record.key for record in read_records(results)}
    again = start([*eval_words, "killed"], tmp_path)
    expected, _ = whole.communicate(timeout=60)
    found, errors = again.communicate(timeout=60)
    assert (whole.returncode, again.returncode) == (0, 0), errors
    assert found == expected.replace("whole", "killed")
    keys = [record.key for record in read_records(results)]
    assert len(keys) == len(set(keys)) == len(read_records(tmp_path / "whole" / "results.jsonl"))
    assert 2 <= len(survivors) < len(keys)
    assert survivors <= set(keys)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_turn_writes_and_exits(eval_words, tmp_path, number, code):
    process = start([*eval_words, "out"], tmp_path)
    results = tmp_path / "out" / "results.jsonl"
    wait_for_lines(results, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "the same command continues" in errors
    assert results.read_bytes().endswith(b"\n")
    assert len(read_records(results)) >= 2


def test_importing_the_command_needs_neither_torch_nor_rich():
    code = "import sys, vz_benchmarks.cli as c; print(*(n in sys.modules for n in ('torch', 'rich', 'tyro', 'av')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"] * 4


def test_eval_needs_no_torch(needle_root, tmp_path):
    code = (
        "import sys; from vz_benchmarks.cli import main; "
        f"code = main(['eval', '--root', {str(needle_root)!r}, '--policy', 'blind', '--out', {str(tmp_path)!r}]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_eval_prints_the_table_and_report_writes_the_page(needle_root, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["eval", "--root", str(needle_root), "--out", str(out), "--policy", "blind", "uniform", "oracle"]
    assert main([*words, "--frames", "20", "--budget.max-pixels", "9216"]) == 0
    printed = capsys.readouterr()
    assert "UniformSampling-20" in printed.out
    assert "Oracle †" in printed.out
    assert printed.err == ""
    (out / "learning_curve.jsonl").write_text('{"iteration":0,"accuracy":0.1}\n{"iteration":1,"accuracy":0.5}\n')
    assert main(["report", str(out), "--baseline", "Blind"]) == 0
    page = (out / "report.html").read_text()
    assert "Learning curve" in page
    assert "<article>" in page
    assert "Blind, at 0 frames" in page
    assert str(out / "report.html") in capsys.readouterr().out.replace("\n", "")


def test_eval_takes_some_questions_of_an_annotation_file(needle, needle_root, tmp_path, capsys):
    annotations = tmp_path / "mine.jsonl"
    annotations.write_text((needle_root / "test.jsonl").read_text() + "{broken\n")
    words = ["eval", "--dataset", str(annotations), "--root", str(needle_root), "--policy", "oracle"]
    assert main([*words, "--out", str(tmp_path / "a"), "--limit", "2"]) == 0
    assert f"mine.jsonl:{len(needle) + 1}:" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "b"), "--ids", needle.ids[3], needle.ids[1]]) == 0
    played = [record.trajectory.episode_id for record in read_records(tmp_path / "b" / "results.jsonl")]
    assert played == [needle.ids[3], needle.ids[1]]


def test_too_many_broken_videos_exit_3_and_the_others_go_on(needle_root, tmp_path, capsys):
    root = tmp_path / "set"
    shutil.copytree(needle_root, root)
    video = sorted(root.glob("test/*.mp4"))[0]
    video.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    words = ["eval", "--dataset", str(root / "test.jsonl"), "--policy", "oracle", "--out", str(tmp_path / "out")]
    assert main(words) == 3
    printed = capsys.readouterr()
    assert "error:VideoDecodeError" in printed.err
    assert "git-lfs" in printed.err
    statuses = {record.trajectory.status for record in read_records(tmp_path / "out" / "results.jsonl")}
    assert statuses == {"answered", "error:VideoDecodeError"}


def test_eval_keeps_frames_on_disk_and_another_one_decodes_nothing(needle_root, tmp_path, capsys, monkeypatch):
    from vz_env.observer import forget_words
    from vz_env.video.cache import frame_cache
    from vz_env.video.source import LocalSource

    words = ["eval", "--root", str(needle_root), "--policy", "uniform", "--frames", "6"]
    words += ["--frame-cache", str(tmp_path / "frames"), "--overview-from", "keyframes", "--limit", "2"]
    frame_cache().clear()
    forget_words()
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    first = capsys.readouterr().out
    kept = list((tmp_path / "frames").rglob("*.rgb"))
    assert kept
    frame_cache().clear()
    forget_words()
    monkeypatch.setattr(LocalSource, "decode", lambda *args: pytest.fail("decoded again"))
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == first.replace(str(tmp_path / "a"), str(tmp_path / "b"))


def test_eval_decodes_in_a_child_where_asked(needle_root, tmp_path, capsys):
    words = ["eval", "--root", str(needle_root), "--policy", "uniform", "--frames", "6", "--limit", "1"]
    assert main([*words, "--isolation", "process", "--out", str(tmp_path / "a")]) == 0
    isolated = capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == isolated.replace(str(tmp_path / "a"), str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "no verb 'fly'"),
        (["needle"], "no verb 'needle'"),
        (["eval", "--policy", "nobody"], "wanted a policy out of uniform, first-frames, blind"),
        (["eval", "--policy", "no_such_module:Name"], "cannot be imported"),
        (["eval", "--dataset", "Nowhere"], "no dataset is called 'Nowhere'"),
        (["eval", "--dataset", "missing.jsonl"], "missing.jsonl"),
        (["eval", "--describe", "smell"], "describe"),
        (["eval", "--frames", "0"], "at least 1 frame"),
        (["eval", "--limit", "0"], "limit must be 1 or more"),
        (["eval", "--frame-cache", "x", "--frame-cache-gib", "0"], "more than 0"),
        (["report", "nowhere"], "wanted a results file"),
        (["needle", "make", "--out", "x", "--haystack", "missing.mp4"], "no such file"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_2(words, message, needle_root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if words[0] == "eval" and "--dataset" not in words:
        words = [*words, "--root", str(needle_root)]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("vz: ")
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("words", [["eval", "--wings", "2"], ["eval", "--seed", "x"], ["needle", "make"]])
def test_bad_usage_exits_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


@pytest.mark.parametrize("verb", [verb for verb, where in VERBS.items() if "commands" in where.module])
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), "--help"])
    assert stop.value.code == 0
    assert f"usage: vz {verb}" in capsys.readouterr().out


def test_vz_alone_lists_its_verbs(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(printed.count(f"  vz {verb} ") == 2 for verb in VERBS)


def test_list_names_the_needle_dataset_and_the_policies(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "VZ/Needle-v0" in printed
    assert "package.module:Name" in printed


def test_needle_make_makes_a_dataset_that_eval_takes(tmp_path, capsys):
    words = ["needle", "make", "--out", str(tmp_path / "set"), "--videos-train", "0", "--videos-validation", "0"]
    words += ["--videos-test", "1", "--overview-frames", "6", "--spacings-seconds", "8"]
    assert main(words) == 0
    assert (tmp_path / "set" / "manifest.json").exists()
    assert main(["eval", "--root", str(tmp_path / "set"), "--policy", "oracle", "--out", str(tmp_path / "out")]) == 0


def test_report_leaves_out_older_code_and_tells_same_names_apart(needle_root, tmp_path, capsys):
    out = str(tmp_path)
    words = ["eval", "--root", str(needle_root), "--out", out, "--policy", "blind"]
    for seed in ("1", "2", "3"):
        assert main([*words, "--seed", seed]) == 0
    runs = json.loads((tmp_path / "runs.json").read_text())
    old = next(run for run, description in runs.items() if description["seed"] == 1)
    runs[old]["code"] = "older"
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    capsys.readouterr()
    assert main(["report", out]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Blind #") == 2
    assert "1 evaluations by other versions of the code" in (tmp_path / "report.html").read_text()


def test_report_without_its_dataset_shows_no_episodes(needle_root, tmp_path, capsys):
    assert main(["eval", "--root", str(needle_root), "--out", str(tmp_path), "--policy", "blind"]) == 0
    (tmp_path / "config.json").unlink()
    assert main(["report", str(tmp_path)]) == 0
    assert "No episodes are shown" in capsys.readouterr().err
    assert "<article>" not in (tmp_path / "report.html").read_text()


def test_a_full_disk_exits_74(tmp_path, monkeypatch, capsys):
    def fill(args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(needle_command, "run_needle_make", fill)
    assert main(["needle", "make", "--out", str(tmp_path)]) == 74
    assert "disk is full" in capsys.readouterr().err


def test_a_verb_that_is_not_installed_says_so(monkeypatch, capsys):
    absent = cli.Verb(module="vz_benchmarks.nowhere", args="A", run="r", summary="")
    needy = cli.Verb(module="no_such_library", args="A", run="r", summary="")
    monkeypatch.setattr(cli, "VERBS", {"absent": absent, "needy": needy})
    assert (main(["absent"]), main(["needy"])) == (2, 2)
    printed = capsys.readouterr().err
    assert "no vz_benchmarks.nowhere" in printed
    assert "pip install" in printed


def test_messages_hold_no_escape_sequences(capsys):
    assert main(["eval", "--dataset", "\x1b[2Jx.jsonl"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_preset_is_where_the_flags_begin(monkeypatch):
    from vz_benchmarks.commands import train as command

    seen = []
    monkeypatch.setattr(command, "run_training", lambda args: seen.append(args.config.ppo))
    assert main(["train", "--preset", "videozoomer", "--ppo.samples", "8"]) == 0
    assert main(["train", "--ppo.samples", "8"]) == 0
    (published, ours) = seen
    assert (published.lr, published.samples, published.prompts, published.dual_clip) == (1e-6, 8, 128, None)
    assert (ours.lr, ours.samples, ours.prompts, ours.dual_clip) == (5e-5, 8, 16, 3.0)


def test_help_shows_a_presets_values(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--preset=videozoomer", "--help"])
    shown = capsys.readouterr().out
    assert "1e-06" in shown
    assert "sequence" in shown
