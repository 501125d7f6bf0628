"""`vz eval` with a policy on a server: killed in the middle, it goes on with what is missing and pays nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vz_benchmarks.records import read_records

pytest.importorskip("openai")

SECRET = "sk-very-secret"


@pytest.fixture
def asked():
    """A server that answers B after a while; yields its address and the questions it was asked."""
    questions: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(0.2)
            message = {"role": "assistant", "content": "<answer>B</answer>"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            content = json.dumps(reply).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):  # killed
                return
            questions.append(body["messages"][-1]["content"])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", questions
    server.shutdown()
    server.server_close()


def test_kill_9_loses_no_answer_that_was_written(asked, needle, needle_root, tmp_path):
    url, questions = asked
    named = {"OPENAI_BASE_URL": url, "OPENAI_MODEL": "org/m", "OPENAI_API_KEY": SECRET}
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
    assert len(questions) <= len(needle) + 8  # at most those under way when it was killed were asked again
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert SECRET.encode() not in everything + done.stdout + done.stderr
