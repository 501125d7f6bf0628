"""How long a step takes when nothing has to be decoded: what the environment itself costs.

    python -m vz_benchmarks.speed.step --out runs/speed

Episodes of the same zooms are played over and over, so after the first ones every frame and every word is in a cache.
Times are medians of wall-clock time over single calls.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tyro
from rich.table import Table

from vz_env.actions import format_answer, format_zoom, parse_action
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode
from vz_env.video.access import create_video

from ..console import show_table
from ..records import to_pretty_json, write_atomically

__all__ = ["StepSpeedArgs", "measure_steps", "run_benchmark"]

SECONDS, FPS, SIZE = 40, 10, (848, 480)  # frames are handed out at 100,352 pixels at most
ZOOMS: Final = tuple(format_zoom((start, start + 8), 2) for start in (1, 9, 17, 25))  # 16 frames each
TYPICAL: Final = f"<think>In the overview the scene begins at about 17 s, so I look there.</think>\n{ZOOMS[2]}"
TARGET_MICROSECONDS: Final = {"text only": 300.0, "16 frames of 100k pixels": 2000.0, "parse_action": 50.0}
WARM_UP_EPISODES: Final = 3


@dataclass(frozen=True, kw_only=True)
class StepSpeedArgs:
    """Measure single steps with everything cached."""

    out: Path = Path("runs/speed")
    """Folder for step.json and the video, which is made once."""
    episodes: int = 200
    """Episodes of four zooms for each row."""
    quick: bool = False
    """A trial; its figures are rough."""


def run_benchmark(args: StepSpeedArgs) -> dict[str, float]:
    """Measure every row, show the table, write step.json; returns medians in microseconds by row."""
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = _dataset(_clip(args.out))
    episodes = 10 if args.quick else args.episodes
    rows = {
        "text only": measure_steps(VideoZoomEnv(dataset, with_frames=False), episodes),
        "text only, no words": measure_steps(VideoZoomEnv(dataset, with_frames=False, describe="none"), episodes),
        "16 frames of 100k pixels": measure_steps(VideoZoomEnv(dataset), episodes),
        "parse_action": _median_microseconds(lambda: parse_action(TYPICAL), 20 * episodes),
    }
    table = Table("step without decode", "median, us", "wanted, us")
    for name, median in rows.items():
        wanted = TARGET_MICROSECONDS.get(name)
        table.add_row(name, f"{median:.0f}", "" if wanted is None else f"<= {wanted:.0f}")
    show_table(table)
    summary = {
        "ratios": {name: round(wanted / rows[name], 3) for name, wanted in TARGET_MICROSECONDS.items()},
        "targets": dict.fromkeys(TARGET_MICROSECONDS, 1.0),
    }
    write_atomically(args.out / "step.json", to_pretty_json({"microseconds": rows, **summary}))
    sys.stdout.write(json.dumps(summary) + "\n")  # not folded, as a console would
    return rows


def measure_steps(env: VideoZoomEnv, episodes: int) -> float:
    """The median time of a zoom, in microseconds, once everything it shows is in the caches."""
    taken: list[float] = []
    for number in range(WARM_UP_EPISODES + episodes):
        env.reset(seed=0)
        for zoom in ZOOMS:
            started = time.perf_counter()
            env.step(zoom)
            if number >= WARM_UP_EPISODES:
                taken.append(time.perf_counter() - started)
        env.step(format_answer("A"))
    return statistics.median(taken) * 1e6


def _median_microseconds(call: Callable[[], Any], times: int) -> float:
    """The median time of a call."""
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def _dataset(clip: Path) -> Dataset:
    """One question about the video."""
    question = "Which of these is shown?"
    episode = Episode(id="q", question=question, video_path=clip.absolute(), options=("this", "that"))
    return Dataset(name="Speed", episodes=[episode], keys={"q": AnswerKey(answer_indices=(0,))})


def _clip(folder: Path) -> Path:
    """A video of coarse noise that moves."""
    path = folder / f"steps-{SECONDS}s-{SIZE[0]}x{SIZE[1]}.mp4"
    if path.is_file():
        return path
    import av

    canvas = np.random.default_rng(7).integers(0, 256, (SIZE[1] // 16, SIZE[0] // 16 + 64, 3), dtype=np.uint8)
    canvas = canvas.repeat(16, axis=0).repeat(16, axis=1)
    with create_video(path) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "superfast", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(SECONDS * FPS):
            picture = np.ascontiguousarray(canvas[:, number : number + SIZE[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    run_benchmark(tyro.cli(StepSpeedArgs))
