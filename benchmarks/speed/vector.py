"""How fast sixteen rollouts of one question step together, decoding included: our vector environment beside others.

    python -m vz_benchmarks.speed.vector --out runs/speed

The rollouts look at one long video as a group does: an overview, then zooms around a few places, then an answer. Every
measurement is a fresh process, so no cache is warm but the file system's, and the variants take turns. Time runs from
`reset` to the last step; what starts before (imports, worker processes) is not counted.

- `native`: `VideoZoomVectorEnv`.
- `async`: Gymnasium's `AsyncVectorEnv(shared_memory=False)`, a process, a reader and a cache for each rollout.
- `sync`: Gymnasium's `SyncVectorEnv` over readers that keep no frame.

The last line is JSON: how many times faster `native` is, and how often its peak of memory fits into the frame cache's
bound and 300 MiB.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import tyro
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from rich.table import Table

from vz_env.actions import format_answer, format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode
from vz_env.errors import ConfigError
from vz_env.vector import VideoZoomVectorEnv
from vz_env.video.access import create_video
from vz_env.video.cache import DEFAULT_MAX_BYTES, frame_cache
from vz_env.video.opening import ReaderOptions, configure_readers

from ..console import note, show, show_table
from ..records import to_pretty_json, write_atomically

__all__ = ["Measurement", "VectorSpeedArgs", "make_clip", "measure", "run_benchmark"]

Variant = Literal["native", "async", "sync"]
VARIANTS: Final[tuple[Variant, ...]] = ("native", "async", "sync")
TARGETS: Final = {"times_async": 6.0, "times_sync": 6.0, "memory_room": 1.0}
MEMORY_BESIDE_CACHE: Final = 300 << 20
FPS: Final = 25
_QUESTION: Final = "Which is it?"


@dataclass(frozen=True, kw_only=True)
class VectorSpeedArgs:
    """Measure steps a second of a group of rollouts."""

    out: Path = Path("runs/speed")
    """Folder for vector.json and the video, which is made once."""
    rollouts: int = 16
    turns: int = 4
    """Zooms, and the answer as the last."""
    places: int = 4
    """Around which the rollouts zoom."""
    seconds: int = 600
    """Length of the video."""
    width: int = 1280
    height: int = 720
    spread_seconds: float = 2.0
    """How far the rollouts of a place lie apart from it."""
    decoders: int = 0
    """Threads that decode one video, for `native`, whose rollouts share it; 0 for one each processor."""
    repeats: int = 5
    """Measurements of each variant; the median counts."""
    quick: bool = False
    """A trial on a small video; its figures mean nothing."""
    measure: Variant | None = None
    """Measure one variant in this process, and print it as JSON: what the command starts for each measurement."""
    repeat: int = 0
    """Number of the measurement: others look at other places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run: `steps` of all rollouts in `seconds`; `peak_bytes` is the most memory of the process and its workers."""

    variant: Variant
    steps: int
    seconds: float
    peak_bytes: int


def run_benchmark(args: VectorSpeedArgs) -> dict[str, Any]:
    """Measure every variant in turn, show the table, write vector.json."""
    if args.quick:
        args = replace(args, rollouts=4, seconds=20, width=320, height=180, repeats=1)
    args.out.mkdir(parents=True, exist_ok=True)
    clip = make_clip(args)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for repeat in range(args.repeats):
        for variant in VARIANTS:
            found[variant].append(_in_fresh_process(replace(args, measure=variant, repeat=repeat, quick=False)))
            last = found[variant][-1]
            note(f"{variant}: {last['steps'] / last['seconds']:.1f} steps/s, {last['peak_bytes'] / 2**20:.0f} MiB")
    rates = {v: statistics.median(run["steps"] / run["seconds"] for run in found[v]) for v in VARIANTS}
    summary = {
        "steps_per_second": rates,
        "times_async": rates["native"] / rates["async"],
        "times_sync": rates["native"] / rates["sync"],
        "native_peak_bytes": max(run["peak_bytes"] for run in found["native"]),
        "cache_bound_bytes": DEFAULT_MAX_BYTES,
        "video": clip.name,
        "runs": found,
    }
    write_atomically(args.out / "vector.json", to_pretty_json(summary))
    show_table(_table(rates, found))
    ratios = {name: round(summary[name], 3) for name in ("times_async", "times_sync")}
    ratios["memory_room"] = round((DEFAULT_MAX_BYTES + MEMORY_BESIDE_CACHE) / summary["native_peak_bytes"], 3)
    show(json.dumps({"ratios": ratios, "targets": TARGETS}))
    return summary


def _table(rates: dict[Variant, float], found: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table("variant", "steps/s (median)", "native is faster by", "peak memory, MiB")
    for variant, rate in rates.items():
        peak = max(run["peak_bytes"] for run in found[variant]) / 2**20
        table.add_row(variant, f"{rate:.1f}", f"{rates['native'] / rate:.1f}x", f"{peak:.0f}")
    return table


def _in_fresh_process(args: VectorSpeedArgs) -> dict[str, Any]:
    """One measurement in a process of its own."""
    names = [name.name for name in fields(args) if name.name not in ("quick", "repeats")]
    flags = [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(args, name)))]
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        raise ConfigError(f"measuring {args.measure} failed: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(args: VectorSpeedArgs) -> Measurement:
    """Play the group once in this process."""
    variant = args.measure or "native"
    dataset = _dataset(make_clip(args))
    envs = _make(variant, dataset, args)
    script = list(_script(args))
    started = time.perf_counter()
    envs.reset(seed=0)
    for actions in script:
        envs.step(actions)
    seconds = time.perf_counter() - started
    envs.close()
    peak = _peak_bytes()
    if variant == "async":  # of the largest worker: as many as rollouts, less what they share
        peak += args.rollouts * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Measurement(variant=variant, steps=args.rollouts * len(script), seconds=seconds, peak_bytes=peak)


def _peak_bytes() -> int:
    """The most memory this process had: of its own program, not what the one that started it had before."""
    status = Path("/proc/self/status")
    if status.is_file():  # `ru_maxrss` is handed down to whatever a process starts
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _make(variant: Variant, dataset: Dataset, args: VectorSpeedArgs) -> VectorEnv[Any, Any, Any]:
    """A variant, its workers started."""
    rollouts = args.rollouts

    def one() -> VideoZoomEnv:
        return VideoZoomEnv(dataset, describe="none")

    if variant == "native":
        configure_readers(ReaderOptions(workers=args.decoders or os.cpu_count() or 1))
        return VideoZoomVectorEnv(dataset, rollouts, describe="none", autoreset_mode=AutoresetMode.DISABLED)
    makers: list[Callable[[], VideoZoomEnv]] = [one] * rollouts
    if variant == "sync":
        frame_cache().max_bytes = 0
        return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)
    envs = AsyncVectorEnv(makers, shared_memory=False, autoreset_mode=AutoresetMode.DISABLED)
    envs.call("render_mode")  # answers when every worker is there
    return envs


def _script(args: VectorSpeedArgs) -> Iterator[list[str]]:
    """The actions of every turn: zooms of 16 frames in 8 s near the rollout's place, then the answer."""
    random = np.random.default_rng(args.repeat)
    places = random.uniform(0.05, 0.9, args.places) * args.seconds
    length = min(8.0, args.seconds / 4)
    for _ in range(args.turns - 1):
        starts = (
            places[np.arange(args.rollouts) % args.places]
            + random.uniform(-1.0, 1.0, args.rollouts) * args.spread_seconds
        )
        starts = np.clip(starts, 0.0, args.seconds - length - 0.1)
        yield [format_zoom((start, start + length), 16 / length) for start in starts.round(1).tolist()]
    yield [format_answer("A")] * args.rollouts


def _dataset(clip: Path) -> Dataset:
    """One question about the video."""
    episode = Episode(id="q", question=_QUESTION, video_path=clip.absolute(), options=("this", "that"))
    return Dataset(name="Speed", episodes=[episode], keys={"q": AnswerKey(answer_indices=(0,))})


def make_clip(args: VectorSpeedArgs) -> Path:
    """The video: a textured picture that pans, another every ten seconds; keyframes as far apart as x264 sets them."""
    path = args.out / f"clip-{args.seconds}s-{args.width}x{args.height}.mp4"
    if path.is_file():
        return path
    import av

    random = np.random.default_rng(7)
    with create_video(path) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "superfast", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = args.width, args.height, "yuv420p"
        canvas = np.zeros((0, 0, 3), dtype=np.uint8)
        for number in range(args.seconds * FPS):
            step = number % (10 * FPS)
            if step == 0:
                coarse = random.integers(0, 256, (args.height // 16 + 2, args.width // 16 + 40, 3), dtype=np.uint8)
                canvas = coarse.repeat(16, axis=0).repeat(16, axis=1)
            left = step * 2
            picture = np.ascontiguousarray(canvas[8 : 8 + args.height, left : left + args.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def main() -> None:
    """Run the command."""
    args = tyro.cli(VectorSpeedArgs)
    if args.measure is None:
        run_benchmark(args)
        return
    found = measure(args)
    show(json.dumps({name: getattr(found, name) for name in Measurement.__slots__}))


if __name__ == "__main__":
    main()
