"""`vz eval` with a policy on a server: killed in the middle, it goes on with what is missing and pays nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from chat_server import chat

from vz_benchmarks.records import read_records

pytest.importorskip("openai")

SECRET = "sk-very-secret"


@pytest.fixture
def server(serve):
    """A server that answers B after a while."""

    def answer(number, body):
        time.sleep(0.2)
        return chat("<answer>B</answer>")

    return serve(answer)


def test_kill_9_loses_no_answer_that_was_written(server, needle, needle_root, tmp_path):
    named = {"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "org/m", "OPENAI_API_KEY": SECRET}
    words = ["eval", "--policy", "vz_agents.remote_teacher:RemoteTeacher", "--root", str(needle_root), "--out", "out"]
    command = [sys.executable, "-m", "vz_benchmarks.cli", *words]
    settings = {"cwd": tmp_path, "env": {**os.environ, **named}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    results = tmp_path / "out" / "results.jsonl"
    killed = subprocess.Popen(command, **settings)
    deadline = time.monotonic() + 90
    while not (results.exists() and results.read_bytes().count(b"\n") >= 1):
        assert time.monotonic() < deadline, "no results came"
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    written = len(read_records(results))
    done = subprocess.run(command, check=False, timeout=100, **settings)
    assert done.returncode == 0, done.stderr
    records = read_records(results)
    assert sorted(record.trajectory.episode_id for record in records) == sorted(needle.ids)
    assert {record.trajectory.status for record in records} == {"answered"}
    assert 1 <= written <= len(needle)
    assert server.served <= len(needle) + 8  # at most those under way when it was killed were asked again
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert SECRET.encode() not in everything + done.stdout + done.stderr
