"""kill -9 at twenty random moments of an evaluation: the final table is that of a run that was never interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from vz_benchmarks.exports import results_csv
from vz_benchmarks.records import read_records
from vz_benchmarks.runner import RESULTS_NAME, evaluate
from vz_benchmarks.speed.runner import AlwaysA, many_questions
from vz_env.datasets.needle import NeedleConfig, make_needle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EPISODES, KILLS = 1200, 20

PLAY = """
import sys
from pathlib import Path
from vz_benchmarks.runner import evaluate
from vz_benchmarks.speed.runner import AlwaysA, many_questions
folder = Path(sys.argv[1])
evaluate(AlwaysA(), many_questions(folder / "needle", int(sys.argv[2])), out=folder / "killed")
"""


def play(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", PLAY, str(folder), str(EPISODES)], env=environment)


def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    make_needle(tmp_path / "needle", NeedleConfig(videos={"test": 1}, overview_frames=12, spacings_seconds=(8,)))
    results = tmp_path / "killed" / RESULTS_NAME
    rng = random.Random(0)
    sizes = [0]
    for _ in range(KILLS):
        process = play(tmp_path)
        start, before = time.monotonic(), sizes[-1]
        # Wait until it writes, then a moment more: kills fall into records, not into imports.
        while process.poll() is None and time.monotonic() - start < 60:
            if results.exists() and results.stat().st_size > before:
                time.sleep(rng.uniform(0.0, 0.12))
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sizes.append(results.stat().st_size)
        whole = [record.key for record in read_records(results)]
        assert len(whole) == len(set(whole))
    assert play(tmp_path).wait() == 0

    dataset = many_questions(tmp_path / "needle", EPISODES)
    killed = evaluate(AlwaysA(), dataset, out=tmp_path / "killed")
    straight = evaluate(AlwaysA(), dataset, out=tmp_path / "straight")
    keys = Counter(record.key for record in read_records(results))
    assert set(keys.values()) == {1}
    assert len(keys) == EPISODES
    assert killed == straight
    assert killed.trajectories == straight.trajectories

    def without_seconds(text: str) -> list[list[str]]:
        return [line.split(",")[:19] + line.split(",")[20:] for line in text.splitlines()]

    assert without_seconds(results_csv([killed])) == without_seconds(results_csv([straight]))
