"""How large a page of many trajectories is, how long it takes to write, and how soon a browser has it open.

    python -m vz_benchmarks.speed.report_page             # 1,000 trajectories
    python -m vz_benchmarks.speed.report_page --quick     # 100

Random zooms over needle videos, every trajectory with its frames. The browser is Chromium without a window, where one
is installed: the time is that of the process from its start until the page is drawn, less that of an empty page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vz_agents.baselines import RandomZoom, UniformSampling
from vz_benchmarks.report import write_report
from vz_benchmarks.runner import evaluate
from vz_benchmarks.selection import choose_trajectories
from vz_benchmarks.speed.runner import many_questions
from vz_env.datasets.needle import NeedleConfig, make_needle

__all__ = ["main"]

EPISODES, QUICK_EPISODES = 1000, 100
WANTED = {"page_mb": 40.0, "open_seconds": 3.0}


def measure(folder: Path, episodes: int) -> dict[str, float | None]:
    """Play, write the page, open it; the figures."""
    make_needle(folder / "needle", NeedleConfig(videos={"test": 4}, overview_frames=32, spacings_seconds=(10,)))
    dataset = many_questions(folder / "needle", episodes)
    results = [
        evaluate(policy, dataset, out=folder / "run") for policy in (RandomZoom(zooms=3), UniformSampling(frames=32))
    ]
    start = time.perf_counter()
    chosen = choose_trajectories(results[0], limit=episodes)
    page = write_report(folder / "run", results, dataset=dataset, trajectories=chosen)
    written = time.perf_counter() - start
    empty = folder / "empty.html"
    empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
    opened, nothing = _open_seconds(page, folder), _open_seconds(empty, folder)
    return {
        "trajectories": sum(map(len, chosen)),
        "page_mb": round(page.stat().st_size / 2**20, 1),
        "write_seconds": round(written, 1),
        "open_seconds": None if opened is None or nothing is None else round(max(0.0, opened - nothing), 2),
        "open_seconds_with_browser_start": None if opened is None else round(opened, 2),
    }


def _open_seconds(page: Path, folder: Path) -> float | None:
    """Median of three starts of a browser on the page; None where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        return None
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--screenshot={folder / 'shot.png'}", page.as_uri()]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, timeout=120)  # noqa: S603 - a browser on our own page
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    """Measure, and print the figures and, last, how they stand to what is wanted."""
    parser = argparse.ArgumentParser(description="Size and opening time of a report of many trajectories.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EPISODES} trajectories in place of {EPISODES}")
    count = QUICK_EPISODES if parser.parse_args().quick else EPISODES
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), count)
    ratios = {
        key: round(wanted / value, 2)
        for key, wanted in WANTED.items()
        if isinstance(value := figures[key], float) and value > 0
    }
    summary = {"ratios": ratios, "targets": dict.fromkeys(ratios, 1.0), "figures": figures}
    sys.stdout.write("".join(f"{key:32} {value}\n" for key, value in figures.items()))
    sys.stdout.write(f"wanted of 1,000: {WANTED}\n{json.dumps(summary)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
