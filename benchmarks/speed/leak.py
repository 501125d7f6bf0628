"""Whether many episodes in one process keep anything: memory, file descriptors, threads.

    python -m vz_benchmarks.speed.leak

Episodes of many videos are played one after the other, more videos than readers are kept open, so files are opened and
closed all the time. The frame cache is small, and zooms go to a few places in each video: the caches are full after the
warm-up, and what grows then is a leak. The slope is a least-squares line through the resident memory.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import tyro
from rich.table import Table

from vz_env.actions import format_answer, format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import load_dataset
from vz_env.env import VideoZoomEnv
from vz_env.video.cache import frame_cache

from ..console import ProgressCallback, progress_bar, show_table

__all__ = ["LeakArgs", "LeakReport", "measure_leaks", "run_benchmark"]

CACHE_BYTES: Final = 32 << 20
PLACES: Final = (0.1, 0.35, 0.6, 0.85)
WANTED_BYTES: Final = 10_240


@dataclass(frozen=True, kw_only=True)
class LeakArgs:
    """Play many episodes and watch the process."""

    dataset: str = "Needle"
    """Name of a dataset; its default split is played."""
    episodes: int = 500
    """Episodes after the warm-up."""
    warm_up: int = 200
    """Episodes before memory is watched."""
    quick: bool = False
    """A trial: few episodes, after too few for its slope to mean anything."""


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What grew: bytes an episode, and the numbers of descriptors and threads before and after."""

    bytes_per_episode: float
    descriptors: tuple[int, int]
    threads: tuple[int, int]

    @property
    def is_tight(self) -> bool:
        """Whether nothing is kept."""
        return self.bytes_per_episode < WANTED_BYTES and len({*self.descriptors}) == len({*self.threads}) == 1


def run_benchmark(args: LeakArgs) -> LeakReport:
    """Measure, show the table, and return the report."""
    if args.quick:
        args = replace(args, episodes=40, warm_up=20)
    dataset = load_dataset(args.dataset)
    with progress_bar("playing") as progress:
        report = measure_leaks(dataset, args.episodes, args.warm_up, progress=progress)
    table = Table("over the episodes", "measured", "wanted")
    table.add_row("memory, bytes an episode", f"{report.bytes_per_episode:.0f}", f"< {WANTED_BYTES}")
    table.add_row("file descriptors", "{} to {}".format(*report.descriptors), "constant")
    table.add_row("threads", "{} to {}".format(*report.threads), "constant")
    show_table(table)
    ratio = round(WANTED_BYTES / max(1.0, report.bytes_per_episode), 3)
    sys.stdout.write(
        json.dumps({"ratios": {"memory": ratio}, "targets": {"memory": 1.0}, "tight": report.is_tight}) + "\n"
    )
    return report


def measure_leaks(
    dataset: Dataset,
    episodes: int,
    warm_up: int,
    *,
    progress: ProgressCallback | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> LeakReport:
    """Play `warm_up + episodes` episodes of a dataset in turn, with frames, and watch the process.

    Args:
        dataset: with more videos than readers are kept open, it is the harder test.
        episodes: how many are watched.
        warm_up: how many come before.
        progress: called with (done, all).
        cache_bytes: of the frame cache while this runs.
    """
    cache = frame_cache()
    bound, cache.max_bytes = cache.max_bytes, cache_bytes
    env = VideoZoomEnv(dataset)
    memory: list[int] = []
    before = (0, 0)
    try:
        for number in range(warm_up + episodes):
            _play(env, dataset.ids[number * 7 % len(dataset)])
            if number == warm_up - 1:
                gc.collect()
                before = (_descriptors(), threading.active_count())
            if number >= warm_up:
                memory.append(_resident_bytes())
            if progress is not None:
                progress(number + 1, warm_up + episodes)
    finally:
        cache.max_bytes = bound
        env.close()
    gc.collect()
    slope = float(np.polyfit(np.arange(len(memory)), memory, 1)[0])
    return LeakReport(slope, (before[0], _descriptors()), (before[1], threading.active_count()))


def _play(env: VideoZoomEnv, episode_id: str) -> None:
    """One episode: a mistake, a zoom into each of the places, an answer."""
    _, info = env.reset(seed=0, options={"episode_id": episode_id})
    env.step("no action")
    for place in PLACES:
        start = place * info["duration_seconds"]
        env.step(format_zoom((start, start + 4), 2))
    env.step(format_answer("A"))


def _resident_bytes() -> int:
    """Resident memory of this process."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    run_benchmark(tyro.cli(LeakArgs))
