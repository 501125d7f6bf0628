"""How fast frames come out of long videos, beside the libraries people use: `python -m vz_benchmarks.speed.decode`.

Two ways of looking, both with exact frames checked by the number each frame carries. OVERVIEW: 64 frames spread over
the file, opening included. ZOOM: 16 frames within 8 s at a random place, on an open handle ("hot") or opening it for
this one zoom ("cold", as the published tool does). The libraries take turns within each round, so a busy machine slows
all of them; figures are medians. The limit is libavcodec decoding the needed packets alone on as many threads. Memory
is the peak above what the process took once the library was imported.

Everything is kept as it comes, encoded pieces and played rounds alike: a run that is killed, or that `--minutes` ends,
goes on with the same command. The last line is one JSON object, `{"ratios": {...}, "targets": {...}, "missing":
{...}}`: how many times faster we are, and are to be, and how many rounds are still to be played on which files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import tyro

from vz_env.cache_folder import cache_folder
from vz_env.errors import ConfigError

from ..console import note, show_table
from .decode_book import ResultsBook
from .decode_rounds import FileTimes, TimeBox, play_rounds
from .decode_table import DecodeTable
from .footage import FOOTAGE, QUICK_FOOTAGE, Footage, make_footage
from .peers import LIBRARIES, Library, find_clips, find_libraries, install_peers
from .scenes import film_of_clips

__all__ = ["DecodeSpeedArgs", "main"]

QUICK_SECONDS: Final = 40.0
QUICK_PEERS: Final = frozenset({"ours", "decord", "torchcodec"})
FOREVER: Final = 1e9

Found = list[tuple[Footage, FileTimes]]


@dataclass(frozen=True, kw_only=True)
class DecodeSpeedArgs:
    """Time the decoding of long videos, beside decord, torchcodec, OpenCV and plain PyAV."""

    quick: bool = False
    """Two small files, decord and torchcodec alone, as often as 45 s allow: a look at the ratios, not a result."""
    repeats: int = 5
    """Rounds on each file; figures are medians."""
    minutes: float | None = None
    """Stop in time to be done after so long; the same command goes on where this one ended."""
    fresh: bool = False
    """Measure all of it again, whatever was measured before."""
    workers: int = 2
    """Decoder threads of ours and of the limit; the peers take 8, as decord does by default in the published tool."""
    only: tuple[str, ...] = ()
    """Only these files: long, 1080p, hevc, medium, vp9, av1."""
    videos: Path | None = None
    """Folder of the test videos, made there when they are missing (25 minutes), and of what was measured; in the cache
    folder by default. Each source of pictures has a folder of its own in it."""
    film: Path | None = None
    """A film to make the test videos of, instead of the clips that `--install-peers` fetches; without either they are
    made of moving patterns."""
    peers: Path | None = None
    """Interpreter of an environment that has the peers; `peers/bin/python` beside the videos by default."""
    install_peers: bool = False
    """Make that environment first."""
    docs: Path | None = None
    """Write the table into this page, between its two marks, once no round is missing on any file."""
    seed: int = 0
    """Decides the places that are looked at."""


@contextmanager
def _folders(args: DecodeSpeedArgs) -> Iterator[tuple[Path, Path]]:
    """The folder of the videos, and one that is gone afterwards."""
    with TemporaryDirectory(prefix="vz-speed-") as scratch:
        yield args.videos or cache_folder() / "speed-videos", Path(scratch)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    args = tyro.cli(DecodeSpeedArgs, args=argv, prog="python -m vz_benchmarks.speed.decode")
    if args.repeats < 1 or args.workers < 1 or (args.minutes is not None and not args.minutes > 0):
        raise ConfigError("repeats and workers must be at least 1, and minutes more than 0")
    known = QUICK_FOOTAGE if args.quick else FOOTAGE
    if unknown := set(args.only) - {footage.name for footage in known}:
        raise ConfigError(f"no test video is called {', '.join(sorted(unknown))}")
    chosen = [footage for footage in known if not args.only or footage.name in args.only]
    with _folders(args) as (videos, scratch):
        peers = args.peers or videos / "peers" / "bin" / "python"
        if args.install_peers:
            peers = install_peers(videos / "peers", note)
        source, libraries = _source(args, videos, peers), _find(args, peers, scratch)
        found = _look(args, chosen, source, libraries) if args.quick else _measure(args, chosen, source, libraries)
    missing = {footage.name: left for footage, times in found if (left := args.repeats - times.rounds) > 0}
    table = DecodeTable(LIBRARIES, is_quick=args.quick, workers=args.workers, pictures=source.pictures)
    for footage, times in found:
        if times.rounds:
            table.add(footage, times)
    show_table(table.as_rich())
    for line in table.notes():
        note(line)
    if args.docs is not None and (args.quick or not missing):
        table.write_into(args.docs)
    if missing and not args.quick:
        to_play = ", ".join(f"{name} {count}" for name, count in missing.items())
        note(f"rounds still to be played: {to_play}; the same command goes on, without --fresh")
    sys.stdout.write(json.dumps({"ratios": table.ratios(), "targets": table.targets(), "missing": missing}) + "\n")
    return 0


@dataclass(frozen=True, slots=True)
class _Source:
    """What the test videos are made of.

    Attributes:
        pictures: in words.
        film: that they are made of; None: patterns.
        folder: of the videos, and of what was measured on them.
    """

    pictures: str
    film: Path | None
    folder: Path


def _source(args: DecodeSpeedArgs, videos: Path, peers: Path) -> _Source:
    """The given film, else the clips where they are there, else patterns; for a mere look always patterns."""
    clips = find_clips(peers)
    if args.film is not None:
        return _Source(args.film.name, args.film, videos / args.film.stem)
    if args.quick or clips is None:
        return _Source("moving patterns", None, videos / "patterns")
    return _Source("clips", film_of_clips(clips, videos / "clips" / "film.mkv", note), videos / "clips")


def _find(args: DecodeSpeedArgs, peers: Path, scratch: Path) -> list[Library]:
    """The libraries that can be asked here."""
    asked = QUICK_PEERS if args.quick else frozenset(LIBRARIES)
    libraries, absent = find_libraries(peers, asked, args.workers, scratch)
    for name, why in absent.items():
        note(f"{name} is left out: {why}")
    return libraries


def _measure(args: DecodeSpeedArgs, chosen: list[Footage], source: _Source, libraries: list[Library]) -> Found:
    """Play the rounds that are missing on the chosen files, as far as the time goes; what is known of the others."""
    box = TimeBox(FOREVER if args.minutes is None else args.minutes * 60)
    book = ResultsBook(source.folder, libraries, args.seed)
    found: Found = []
    for footage in FOOTAGE:
        is_chosen = footage in chosen
        path = make_footage(footage, source.folder, film=source.film, say=note, box=box if is_chosen else TimeBox(0.0))
        times = FileTimes() if path is None or (args.fresh and is_chosen) else book.load(footage)
        found.append((footage, times))
        if path is None or not is_chosen:
            continue
        for _ in play_rounds(footage, path, libraries, times, rounds=args.repeats, seed=args.seed, box=box):
            book.save(footage, times)
            note(f"{footage.title}: round {times.rounds} of {args.repeats}, {times.round_seconds:.0f} s at most")
    return found


def _look(args: DecodeSpeedArgs, chosen: list[Footage], source: _Source, libraries: list[Library]) -> Found:
    """Play as much as the seconds of `--quick` allow, encoding included; nothing is kept."""
    box = TimeBox(QUICK_SECONDS)
    found: Found = []
    paths = [make_footage(footage, source.folder, film=source.film, say=note) for footage in chosen]
    for number, (footage, path) in enumerate(zip(chosen, paths, strict=True)):
        times, share = FileTimes(), TimeBox(box.left / (len(chosen) - number))
        found.append((footage, times))
        if path is not None:
            rounds = play_rounds(
                footage, path, libraries, times, rounds=args.repeats, seed=args.seed, box=share, is_quick=True
            )
            for _ in rounds:
                pass
    return found


if __name__ == "__main__":
    raise SystemExit(main())
