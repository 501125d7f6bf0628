"""How fast frames come out of long videos, beside the libraries people use: `python -m vz_benchmarks.speed.decode`.

Two ways of looking, both with exact frames checked by the number each frame carries. OVERVIEW: 64 frames spread over
the file, opening included. ZOOM: 16 frames within 8 s at a random place, on an open handle ("hot") or opening it for
this one zoom ("cold", as the published tool does). The libraries take turns within each repetition, so a busy machine
slows all of them; figures are medians. The limit is libavcodec decoding the needed packets alone on as many threads.
Memory is the peak above what the process took once the library was imported.

The last line is one JSON object, `{"ratios": {...}, "targets": {...}}`: how many times faster we are, and are to be.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import tyro

from vz_env.cache_folder import cache_folder
from vz_env.errors import ConfigError
from vz_env.video.frames import fit_size

from ..console import note, show_table
from .decode_table import DecodeTable
from .footage import FOOTAGE, QUICK_FOOTAGE, Footage, make_footage
from .peers import LIBRARIES, Library, PeerProcess, find_libraries, install_peers

__all__ = ["DecodeSpeedArgs", "main", "measure"]

MAX_PIXELS: Final = 100_352
OVERVIEW_FRAMES, ZOOM_FRAMES, ZOOM_SECONDS = 64, 16, 8.0
QUICK_SECONDS: Final = 40.0
QUICK_PEERS: Final = frozenset({"ours", "decord", "torchcodec"})
FPS: Final = 30


@dataclass(frozen=True, kw_only=True)
class DecodeSpeedArgs:
    """Time the decoding of long videos, beside decord, torchcodec, OpenCV and plain PyAV."""

    quick: bool = False
    """Two small files, decord and torchcodec alone, as often as 45 s allow: a look at the ratios, not a result."""
    repeats: int = 5
    """Repetitions; figures are medians."""
    workers: int = 2
    """Decoder threads of ours and of the limit; the peers take 8, as decord does by default in the published tool."""
    only: tuple[str, ...] = ()
    """Only these files: long, 1080p, hevc, medium, vp9, av1."""
    videos: Path | None = None
    """Folder of the test videos, made there when they are missing (20 minutes); in the cache folder by default."""
    film: Path | None = None
    """A real film to make the test videos of; moving patterns with grain without it."""
    peers: Path | None = None
    """Interpreter of an environment that has the peers; `peers/bin/python` beside the videos by default."""
    install_peers: bool = False
    """Make that environment first."""
    docs: Path | None = None
    """Write the table into this page, between its two marks."""
    seed: int = 0
    """Decides the places that are looked at."""


@dataclass(slots=True)
class FileTimes:
    """What was measured on one file: seconds by (what, library); wrong frames, troubles and MB by library."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    wrong: dict[str, tuple[int, int]] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)

    def median(self, what: str, library: str) -> float | None:
        """Median seconds, or None when it was not measured."""
        found = self.seconds.get((what, library))
        return statistics.median(found) if found else None


@dataclass(slots=True)
class _Run:
    """The file that is measured, what was found so far, and how much time there is."""

    footage: Footage
    found: FileTimes
    end: float
    is_quick: bool

    def is_late(self) -> bool:
        return time.monotonic() > self.end

    @property
    def timeout_seconds(self) -> float:
        """Of one answer."""
        return max(3.0, self.end - time.monotonic()) if self.is_quick else 300.0

    def ask(self, peer: PeerProcess, name: str, what: str, request: dict[str, Any]) -> None:
        """Ask once, and note the time, the wrong frames, or the trouble."""
        if self.is_quick and self.is_late():
            return
        reply = peer.ask(request, self.timeout_seconds)
        found = self.found
        if "error" in reply:
            found.troubles.setdefault(name, str(reply["error"]))
            return
        found.seconds.setdefault((what, name), []).append(float(reply["seconds"]))
        if what != "keyframes" and "numbers" in reply:
            part = self.footage.part_seconds * FPS
            expected = [int(t * FPS + 1e-6) % part for t in request["times"]]
            wrong = sum(a != b for a, b in zip(expected, reply["numbers"], strict=True))
            before, of = found.wrong.get(name, (0, 0))
            found.wrong[name] = (before + wrong, of + len(expected))


def measure(run: _Run, path: Path, libraries: list[Library], args: DecodeSpeedArgs) -> FileTimes:
    """Time every library on one file, in turns."""
    rng = np.random.default_rng(args.seed)
    size = fit_size(*run.footage.size, MAX_PIXELS)
    with ExitStack() as stack:
        peers = {library.name: PeerProcess(library, path, size) for library in libraries}
        peers["limit"] = PeerProcess(libraries[0], path, size)
        if "decord" in peers:
            peers["decord"] = _tried(peers["decord"], path, size, run)
        for peer in peers.values():
            stack.callback(peer.close)
        for repeat in range(args.repeats):
            if repeat and run.is_late():
                break
            _one_round(peers, rng, run)
    return run.found


def _tried(peer: PeerProcess, path: Path, size: tuple[int, int], run: _Run) -> PeerProcess:
    """The same library on one thread, when it dies on many: some builds of decord do at some codecs."""
    peer.ask({"do": "cold", "times": [1.0]}, run.timeout_seconds)
    if not peer.trouble:
        return peer
    run.found.troubles["decord"] = f"{peer.trouble} on {peer.workers} threads; one thread was measured"
    peer.close()
    return PeerProcess(peer.of, path, size, workers=1)


def _one_round(peers: dict[str, PeerProcess], rng: np.random.Generator, run: _Run) -> None:
    """Ask every library for the same overview and the same zooms once."""
    seconds = run.footage.seconds
    count = OVERVIEW_FRAMES if not run.is_quick else OVERVIEW_FRAMES // 4
    overview = ((np.arange(count) + rng.uniform(0.05, 0.95, count)) * seconds / count).tolist()
    zooms = [
        (start + np.arange(ZOOM_FRAMES) * ZOOM_SECONDS / ZOOM_FRAMES).tolist()
        for start in rng.uniform(0, seconds - ZOOM_SECONDS, 2)
    ]
    warm = [seconds / 3]
    jobs: list[tuple[str, dict[str, Any]]] = [
        ("overview", {"do": "cold", "times": overview}),
        ("zoom hot", {"do": "hot", "times": zooms[1], "warm": warm}),
        ("zoom cold", {"do": "cold", "times": zooms[0]}),
    ]
    names = [name for name in peers if name != "limit"]
    for what, request in jobs:
        for name in rng.permutation(names).tolist():
            run.ask(peers[name], name, what, request)
        if what != "zoom cold":
            run.ask(peers["limit"], "limit", what, {**request, "do": "floor", "warm": warm})
    run.ask(peers["ours"], "ours", "keyframes", {"do": "keyframes", "times": overview})
    for name in names:
        memory = peers[name].ask({"do": "memory"}, run.timeout_seconds).get("megabytes")
        if memory is not None:
            run.found.megabytes[name] = memory


@contextmanager
def _folders(args: DecodeSpeedArgs) -> Iterator[tuple[Path, Path]]:
    """The folder of the videos, and one that is gone afterwards."""
    with TemporaryDirectory(prefix="vz-speed-") as scratch:
        yield args.videos or cache_folder() / "speed-videos", Path(scratch)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    args = tyro.cli(DecodeSpeedArgs, args=argv, prog="python -m vz_benchmarks.speed.decode")
    if args.repeats < 1 or args.workers < 1:
        raise ConfigError("repeats and workers must be at least 1")
    end = time.monotonic() + (QUICK_SECONDS if args.quick else 1e9)
    chosen = QUICK_FOOTAGE if args.quick else FOOTAGE
    if unknown := set(args.only) - {footage.name for footage in chosen}:
        raise ConfigError(f"no test video is called {', '.join(sorted(unknown))}")
    table = DecodeTable(LIBRARIES, is_quick=args.quick, workers=args.workers, repeats=args.repeats)
    with _folders(args) as (videos, scratch):
        peers = args.peers or videos / "peers" / "bin" / "python"
        if args.install_peers:
            peers = install_peers(videos / "peers", note)
        asked = QUICK_PEERS if args.quick else frozenset(LIBRARIES)
        libraries, absent = find_libraries(peers, asked, args.workers, scratch)
        for name, why in absent.items():
            note(f"{name} is left out: {why}")
        wanted = [footage for footage in chosen if not args.only or footage.name in args.only]
        paths = [make_footage(footage, videos, film=args.film, say=note) for footage in wanted]
        for number, (footage, path) in enumerate(zip(wanted, paths, strict=True)):
            now = time.monotonic()
            run = _Run(footage, FileTimes(), now + (end - now) / (len(wanted) - number), args.quick)
            table.add(footage, measure(run, path, libraries, args))
    show_table(table.as_rich())
    for line in table.notes():
        note(line)
    if args.docs is not None:
        table.write_into(args.docs)
    sys.stdout.write(json.dumps({"ratios": table.ratios(), "targets": table.targets()}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
