"""kill -9 while a teacher on a failing server plays: no episode is lost, none is double, no reply is paid twice.

The small run is part of the suite; `VZ_TEACHER_EPISODES=1000 pytest tests/crash/test_kill_teacher.py -s` is the large.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vz_env.datasets.needle import NeedleConfig, make_needle

pytest.importorskip("openai")

EPISODES = int(os.environ.get("VZ_TEACHER_EPISODES", "40"))
KILLS = max(1, EPISODES // 100)
CONCURRENCY = 8

pytestmark = pytest.mark.timeout(60 + 2 * EPISODES)

COLLECT = """
import sys
from dataclasses import replace
from pathlib import Path
from vz_agents.exemplars import ExemplarConfig, collect_exemplars
from vz_agents.remote_teacher import RemoteConfig, RemoteTeacher
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import load_needle

folder, url, episodes, concurrency = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
plain = load_needle(split="test", root=folder / "needle")
copies = [plain.episodes[number % len(plain)] for number in range(episodes)]
keys = {f"q{number}": plain.key(one.id) for number, one in enumerate(copies)}
copies = [replace(one, id=f"q{number}", question=f"{one.question} (No. {number})") for number, one in enumerate(copies)]
many = Dataset(name="Many", split="train", episodes=copies, keys=keys, root=plain.root)
config = RemoteConfig(base_url=url, model="m", concurrency=concurrency, retries=8)
teacher = RemoteTeacher(config, journal=folder / "replies.jsonl")
collect_exemplars(
    many, teacher, env_options={}, budget=Budget(overview_frames=12), seed=0,
    config=ExemplarConfig(retries=2), journal=folder / "attempts.jsonl",
)
"""


class FailingServer:
    """Zooms in an episode's first turn, answers in its second, and fails every tenth request in one of five ways."""

    def __init__(self) -> None:
        self.served: Counter[tuple[str, int]] = Counter()
        self.asked = self.failed = 0
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                turn = len(body["messages"]) // 2
                number = re.findall(r"\(No\. (\d+)\)", body["messages"][1]["content"])[0]
                with lock:
                    outer.asked += 1
                    is_failing = outer.asked % 10 == 0
                    outer.failed += is_failing
                    way = outer.asked // 10 % 5
                time.sleep(0.005)
                try:
                    if is_failing:
                        self.fail(way)
                        return
                    with lock:
                        outer.served[number, turn] += 1
                    zoom = '<think>look</think><video_zoom>{"segment":[0,8],"fps":1}</video_zoom>'
                    self.reply(200, zoom if turn == 1 else "<answer>A</answer>")
                except (BrokenPipeError, ConnectionResetError):  # killed
                    self.close_connection = True

            def fail(self, way: int) -> None:
                if way < 3:
                    self.reply((429, 500, 503)[way], "busy")
                elif way == 3:  # the connection is reset
                    self.close_connection = True
                    self.connection.shutdown(2)
                else:  # a body that is cut off
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"choices": [')
                    self.close_connection = True

            def reply(self, status: int, text: str) -> None:
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                content = json.dumps(
                    {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                ).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("retry-after-ms", "10")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()


def lines(path: Path) -> list[bytes]:
    """The whole lines of a file."""
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_kills_lose_no_episode_and_pay_no_reply_twice(tmp_path: Path) -> None:
    make_needle(tmp_path / "needle", NeedleConfig(videos={"test": 1}, overview_frames=12, spacings_seconds=(8,)))
    server = FailingServer()
    words = [sys.executable, "-c", COLLECT, str(tmp_path), server.url, str(EPISODES), str(CONCURRENCY)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none"}
    replies, rng, lost = tmp_path / "replies.jsonl", random.Random(0), 0
    try:
        for kill in range(1, KILLS + 1):
            process = subprocess.Popen(words, env=environment)
            wanted = 2 * EPISODES * kill // (KILLS + 1)
            while process.poll() is None and not (replies.exists() and len(lines(replies)) >= wanted):
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.05))
            process.kill()
            process.wait()
            time.sleep(0.3)  # what the server was about to send is sent
            lost = sum(server.served.values()) - len(lines(replies))  # sent, and never received
            assert 0 <= lost <= kill * CONCURRENCY
        assert subprocess.run(words, env=environment, check=False).returncode == 0
    finally:
        server.http.shutdown()
        server.http.server_close()
    played = [json.loads(line) for line in lines(tmp_path / "attempts.jsonl")]
    assert sorted(one["episode_id"] for one in played) == sorted(f"q{number}" for number in range(EPISODES))
    assert {(one["status"], len(one["turns"])) for one in played} == {("answered", 2)}
    assert len(server.served) == len(lines(replies)) == 2 * EPISODES
    needless = sum(server.served.values()) - 2 * EPISODES - lost  # asked again, though their reply was on the disk
    assert needless == 0
    sys.stdout.write(
        f"{EPISODES} episodes, {KILLS} kills, {server.asked} requests, {server.failed} failed by the server; "
        f"lost 0, double 0, replies that died with a process {lost}, requests repeated without need {needless}\n"
    )
