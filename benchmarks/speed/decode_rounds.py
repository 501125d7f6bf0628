"""Rounds of the decoding benchmark: in each, every library does the same looks at one file, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vz_env.video.frames import fit_size

from .barcode import read_back
from .footage import Footage
from .peers import Library, PeerProcess
from .scenes import FPS

__all__ = ["FileTimes", "TimeBox", "play_rounds"]

MAX_PIXELS: Final = 100_352
OVERVIEW_FRAMES, ZOOM_FRAMES, ZOOM_SECONDS, ZOOMS_A_ROUND = 64, 16, 8.0, 2
MOST_OF_A_TROUBLE: Final = 100
MOST_SECONDS_AN_ANSWER: Final = 150.0
_READ_BYTES: Final = 1 << 24
SECONDS_OF_A_ROUND: Final = 180.0
"""Of the longest video on a slow machine: what is supposed before a round was played."""


@dataclass(slots=True)
class FileTimes:
    """What was measured on one file: seconds by (what, library); wrong frames, troubles and MB by library; rounds."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    wrong: dict[str, tuple[int, int]] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    round_seconds: float = 0.0

    def median(self, what: str, library: str) -> float | None:
        """Median seconds, or None when it was not measured."""
        found = self.seconds.get((what, library))
        return statistics.median(found) if found else None

    def ratio(self, theirs: tuple[str, str], ours: tuple[str, str]) -> float | None:
        """How many times as long they took: the median over the looks, each of which both did, or None.

        Looks differ tenfold in what they cost, so a ratio of medians may be one of two different places.
        """
        numerators, denominators = self.seconds.get(theirs, []), self.seconds.get(ours, [])
        if not numerators or len(numerators) != len(denominators):  # somebody failed now and then
            numerator, denominator = self.median(*theirs), self.median(*ours)
            return None if numerator is None or not denominator else numerator / denominator
        return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


class TimeBox:
    """A moment to be done at.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        """Start counting."""
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    def fits(self, seconds: float) -> bool:
        """Whether a step of about so many seconds can still be done."""
        return seconds < self.left


@dataclass(slots=True)
class _Round:
    """One file, what was found on it so far, how much time there is, and the numbers of its part's frames."""

    footage: Footage
    path: Path
    found: FileTimes
    box: TimeBox
    is_quick: bool
    numbers: list[int | None]

    @property
    def timeout_seconds(self) -> float:
        """Of one answer."""
        return max(3.0, self.box.left) if self.is_quick else MOST_SECONDS_AN_ANSWER

    def ask(self, peer: PeerProcess, name: str, what: str, request: dict[str, Any]) -> None:
        """Ask once, and note the time, the wrong frames, or the trouble."""
        if self.is_quick and not self.box.left:
            return
        _read_through(self.path)
        reply = peer.ask(request, self.timeout_seconds)
        found = self.found
        if "error" in reply:
            found.troubles.setdefault(name, " ".join(str(reply["error"]).split())[:MOST_OF_A_TROUBLE])
            return
        found.seconds.setdefault((what, name), []).append(float(reply["seconds"]))
        if what != "keyframes" and "numbers" in reply:
            expected = [self.numbers[int(t * FPS + 1e-6) % len(self.numbers)] for t in request["times"]]
            told = [(a, b) for a, b in zip(expected, reply["numbers"], strict=True) if a is not None]
            before, of = found.wrong.get(name, (0, 0))
            found.wrong[name] = (before + sum(a != b for a, b in told), of + len(told))


def play_rounds(
    footage: Footage,
    path: Path,
    libraries: list[Library],
    found: FileTimes,
    *,
    rounds: int,
    seed: int,
    box: TimeBox,
    is_quick: bool = False,
) -> Iterator[None]:
    """Play the rounds that are missing, as many as fit into the time box, and yield after each.

    Args:
        footage: what the file is.
        path: the file.
        libraries: who is asked, ours first; the limit is measured beside them.
        found: what was found so far; added to.
        rounds: how many there are to be in the end.
        seed: decides the places; round k looks at the same ones whether the rounds before it were played now or not.
        box: no round is begun that may not fit.
        is_quick: few frames, and a round is cut short at the end of the box.
    """
    size = fit_size(*footage.size, MAX_PIXELS)
    now = _Round(footage, path, found, box, is_quick, _numbers(footage, path))
    with ExitStack() as stack:
        peers: dict[str, PeerProcess] = {}
        stack.callback(_close, peers)
        while found.rounds < rounds and _fits(found, box, is_quick=is_quick):
            begun = time.monotonic()
            if not peers:
                peers.update(_start(libraries, path, size, now))
            _one_round(peers, np.random.default_rng([seed, found.rounds]), now)
            found.rounds += 1
            found.round_seconds = max(found.round_seconds, time.monotonic() - begun)
            yield


def _numbers(footage: Footage, path: Path) -> list[int | None]:
    """What the frames of the part are numbered."""
    return read_back(path) if footage.smears else list(range(footage.part_seconds * FPS))


def _read_through(path: Path) -> None:
    """Have the file in the page cache for whoever is asked next: a library that takes gigabytes drives it out."""
    with path.open("rb", buffering=0) as file:
        while file.read(_READ_BYTES):
            pass


def _inside_frames(times: NDArray[np.float64]) -> list[float]:
    """Times moved away from where one frame ends and the next begins: webm keeps whole milliseconds of those."""
    frames = np.floor(times * FPS)
    return ((frames + np.clip(times * FPS - frames, 0.1, 0.9)) / FPS).tolist()


def _close(peers: dict[str, PeerProcess]) -> None:
    """End the processes."""
    for peer in peers.values():
        peer.close()


def _fits(found: FileTimes, box: TimeBox, *, is_quick: bool) -> bool:
    """Whether another round can be played; a quick one may be cut short."""
    return box.fits(0.0) if is_quick else box.fits(found.round_seconds or SECONDS_OF_A_ROUND)


def _start(libraries: list[Library], path: Path, size: tuple[int, int], now: _Round) -> dict[str, PeerProcess]:
    """A process for each library, and one for the limit."""
    peers = {library.name: PeerProcess(library, path, size) for library in libraries}
    peers["limit"] = PeerProcess(libraries[0], path, size)
    if "decord" in peers:
        peers["decord"] = _tried(peers["decord"], path, size, now)
    return peers


def _tried(peer: PeerProcess, path: Path, size: tuple[int, int], now: _Round) -> PeerProcess:
    """The same library on one thread, when it dies on many: some builds of decord do at some codecs."""
    peer.ask({"do": "cold", "times": [1.0]}, now.timeout_seconds)
    if not peer.trouble:
        return peer
    now.found.troubles["decord"] = f"{peer.trouble} on {peer.workers} threads; one thread was measured"
    peer.close()
    return PeerProcess(peer.of, path, size, workers=1)


def _one_round(peers: dict[str, PeerProcess], rng: np.random.Generator, now: _Round) -> None:
    """Ask every library for the same overview and the same zooms once.

    A zoom on an open handle and one that opens the file are into the same place: places differ tenfold in what they
    cost, and our open handle is held against a file that is opened for each zoom.
    """
    seconds = now.footage.seconds
    count = OVERVIEW_FRAMES if not now.is_quick else OVERVIEW_FRAMES // 4
    overview = _inside_frames((np.arange(count) + rng.uniform(0.05, 0.95, count)) * seconds / count)
    warm = [seconds / 3]
    jobs: list[tuple[str, dict[str, Any]]] = [("overview", {"do": "cold", "times": overview})]
    for start in rng.uniform(0, seconds - ZOOM_SECONDS, ZOOMS_A_ROUND if not now.is_quick else 1):
        zoom = _inside_frames(start + np.arange(ZOOM_FRAMES) * ZOOM_SECONDS / ZOOM_FRAMES)
        jobs.append(("zoom hot", {"do": "hot", "times": zoom, "warm": warm}))
        jobs.append(("zoom cold", {"do": "cold", "times": zoom}))
    names = [name for name in peers if name != "limit"]
    for what, request in jobs:
        for name in rng.permutation(names).tolist():
            now.ask(peers[name], name, what, request)
        if what != "zoom cold":
            now.ask(peers["limit"], "limit", what, {**request, "do": "floor", "warm": warm})
    now.ask(peers["ours"], "ours", "keyframes", {"do": "keyframes", "times": overview})
    for name in names:
        memory = peers[name].ask({"do": "memory"}, now.timeout_seconds).get("megabytes")
        if memory is not None:
            now.found.megabytes[name] = max(memory, now.found.megabytes.get(name, 0.0))
