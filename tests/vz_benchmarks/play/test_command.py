"""`vz play` from its command line."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from vz_benchmarks.cli import main


def test_a_piped_game_is_recorded(needle_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("z 8 16\nB\n"))
    record = tmp_path / "played.jsonl"
    words = ["play", "--root", str(needle_root), "--seed", "3", "--record", str(record)]

    assert main([*words, "--budget.overview-frames", "12"]) == 0
    (line,) = record.read_text(encoding="ascii").splitlines()
    assert json.loads(line)["policy"] == "human"
    assert [turn["info"]["action"] for turn in json.loads(line)["turns"]] == ["zoom", "answer"]
    assert "the answer is" in capsys.readouterr().out


def test_an_unknown_episode_is_a_usage_error(needle_root, capsys):
    assert main(["play", "--root", str(needle_root), "--episode", "none"]) == 2
    assert "holds no episode 'none'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_is_served_until_it_is_interrupted(needle_root):
    # Whoever started the tests in the background had it ignore Ctrl-C, which programs pass on to theirs.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}; from vz_benchmarks.cli import main; raise SystemExit(main())"
    words = ["play", "--root", str(needle_root), "--web", "--no-browser"]
    command = [sys.executable, "-u", "-c", program, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}api/state", timeout=20) as reply:
                assert json.load(reply)["number"] == 1
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=20)
        finally:
            server.kill()

    assert server.returncode == 0
