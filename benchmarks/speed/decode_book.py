"""What the decoding benchmark has found so far, on disk after every round, so that a run that is stopped goes on.

One JSON file a video, beside it. It counts for the very file, threads, libraries and code that it was measured with;
when one of them changed, measuring begins again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import av

import vz_env.video

from ..records import to_pretty_json, write_atomically
from .decode_rounds import FileTimes
from .footage import Footage
from .peers import PEER_PACKAGES, Library

__all__ = ["ResultsBook"]

_OF_THE_BENCHMARK: Final = ("decode_peer.py", "decode_rounds.py")


class ResultsBook:
    """The figures kept in one folder.

    Args:
        folder: of the videos.
        libraries: who is asked, with their threads.
        seed: of the places.
    """

    def __init__(self, folder: Path, libraries: list[Library], seed: int) -> None:
        """Settle what figures must have been measured with; nothing is read yet."""
        self._folder = folder
        self._made_with = {
            "code": _digest_of_code(),
            "libraries": {library.name: library.workers for library in libraries},
            "packages": [f"av=={av.__version__}", *PEER_PACKAGES],
            "seed": seed,
        }

    def load(self, footage: Footage) -> FileTimes:
        """What was found on a file, or nothing where that was measured otherwise, or cannot be read."""
        try:
            kept = json.loads(self._path(footage).read_bytes())
            if kept["made_with"] != self._made_with or kept["video"] != self._stamp(footage):
                return FileTimes()
            return FileTimes(
                seconds={(what, name): seconds for what, name, seconds in kept["seconds"]},
                wrong={name: (wrong, of) for name, (wrong, of) in kept["wrong"].items()},
                troubles=kept["troubles"],
                megabytes=kept["megabytes"],
                rounds=int(kept["rounds"]),
                round_seconds=float(kept["round_seconds"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return FileTimes()

    def save(self, footage: Footage, found: FileTimes) -> None:
        """Keep what was found on a file, whole or not at all."""
        content = {
            "made_with": self._made_with,
            "video": self._stamp(footage),
            "rounds": found.rounds,
            "round_seconds": found.round_seconds,
            "seconds": [[what, name, seconds] for (what, name), seconds in found.seconds.items()],
            "wrong": found.wrong,
            "troubles": found.troubles,
            "megabytes": found.megabytes,
        }
        write_atomically(self._path(footage), to_pretty_json(content))

    def _path(self, footage: Footage) -> Path:
        return self._folder / f"{footage.file}.results.json"

    def _stamp(self, footage: Footage) -> list[Any]:
        """What makes the video the same one."""
        status = (self._folder / footage.file).stat()
        return [footage.seconds, footage.part_seconds, status.st_size, status.st_mtime_ns]


def _digest_of_code() -> str:
    """A hash over the reader and the benchmark: figures of different code are not mixed."""
    digest = hashlib.sha256()
    reader = Path(vz_env.video.__file__).parent
    own = Path(__file__).parent
    for path in (*sorted(reader.rglob("*.py")), *(own / name for name in _OF_THE_BENCHMARK)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
