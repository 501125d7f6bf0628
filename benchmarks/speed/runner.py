"""How fast `evaluate` is with a trivial policy and cached frames, and how fast it takes up a run that is finished.

    python -m vz_benchmarks.speed.runner             # 10,000 episodes
    python -m vz_benchmarks.speed.runner --quick     # 500

Makes a needle video, asks many questions about it, and measures in a process of its own: episodes a second on one core
(the process is bound to one where the system can), the most memory it held, the seconds a second call takes that finds
everything done, and the size of the results.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vz_agents.policy import Observation
from vz_benchmarks.runner import RESULTS_NAME, evaluate
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle, make_needle

__all__ = ["main"]

EPISODES, QUICK_EPISODES = 10_000, 500
WANTED = {"episodes_per_second": 200.0, "peak_mb": 300.0, "resume_seconds": 3.0}


class AlwaysA:
    """Zooms once, then answers A."""

    name, fingerprint, needs_frames = "AlwaysA", "1", False

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """A zoom in the first turn, an answer in the second."""
        zoom = '<video_zoom>{"segment":[10,14],"fps":2}</video_zoom>'
        return [zoom if observation.turn == 0 else "<answer>A</answer>" for observation in observations]


def many_questions(root: Path, episodes: int) -> Dataset:
    """A needle dataset whose questions are asked again and again under new ids, five to a video."""
    plain = load_needle(split="test", root=root)
    copies = [
        replace(plain.episodes[number % len(plain)], id=f"q{number}", video_id=f"v{number // 5}")
        for number in range(episodes)
    ]
    keys = {copy.id: plain.key(plain.ids[number % len(plain)]) for number, copy in enumerate(copies)}
    return Dataset(name="Many", split="test", episodes=copies, keys=keys, root=plain.root)


def measure(folder: Path, episodes: int) -> dict[str, float]:
    """Run once, and again; the figures."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    dataset = many_questions(folder / "needle", episodes)
    evaluate(AlwaysA(), dataset.subset(limit=20), out=folder / "warm")  # the frames are described and cached
    start = time.perf_counter()
    processor = time.process_time()
    evaluate(AlwaysA(), dataset, out=folder / "run")
    played, busy = time.perf_counter() - start, time.process_time() - processor
    start = time.perf_counter()
    evaluate(AlwaysA(), dataset, out=folder / "run")
    resumed = time.perf_counter() - start
    return {
        "episodes": episodes,
        "episodes_per_second": round(episodes / played, 1),
        "episodes_per_cpu_second": round(episodes / busy, 1),
        "resume_seconds": round(resumed, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "results_mb": round((folder / "run" / RESULTS_NAME).stat().st_size / 2**20, 1),
    }


def main() -> int:
    """Make the video, measure in a fresh process, print the figures and, last, how they stand to what is wanted."""
    parser = argparse.ArgumentParser(description="Speed, memory and resumption of evaluate().")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EPISODES} episodes in place of {EPISODES}")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "EPISODES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        sys.stdout.write(json.dumps(measure(Path(args.child[0]), int(args.child[1]))) + "\n")
        return 0
    with tempfile.TemporaryDirectory() as name:
        make_needle(Path(name) / "needle", NeedleConfig(videos={"test": 1}, overview_frames=32, spacings_seconds=(8,)))
        count = QUICK_EPISODES if args.quick else EPISODES
        command = [sys.executable, "-m", "vz_benchmarks.speed.runner", "--child", name, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    figures = json.loads(done.stdout.splitlines()[-1])
    ratios = {
        "episodes_per_second": figures["episodes_per_second"] / WANTED["episodes_per_second"],
        "peak_mb": WANTED["peak_mb"] / figures["peak_mb"],
        "resume_seconds": WANTED["resume_seconds"] / max(0.01, figures["resume_seconds"]),
    }
    rounded = {name: round(ratio, 2) for name, ratio in ratios.items()}
    summary = {"ratios": rounded, "targets": dict.fromkeys(rounded, 1.0), "figures": figures}
    sys.stdout.write("".join(f"{name:24} {value}\n" for name, value in figures.items()))
    sys.stdout.write(f"wanted of 10,000: {WANTED}\n{json.dumps(summary)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
