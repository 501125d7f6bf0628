"""What of a dataset is re-encoded already: a file that outlives the call, and a figure to show meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vz_env.errors import ConfigError

from .records import to_pretty_json, write_atomically

__all__ = ["PreparedBook", "Progress", "SourceMeter"]

Progress = Callable[[int, int], None]
"""Called with (MB of sources done, MB in all)."""


class PreparedBook:
    """Which sources are done, on disk. Thread-safe."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Read what an earlier call wrote, or begin.

        Args:
            path: of the file.
            settings: what the copies are like; a folder holds copies of one kind.

        Raises:
            ConfigError: the folder was begun with other settings, or holds something else.
        """
        self._path, self._settings = path, settings
        self._lock = threading.Lock()
        self._files: dict[str, Any] = {}
        if path.exists():
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
                self._files = dict(known["files"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path} cannot be read ({error}); remove it to begin again") from error
            if known.get("settings") != self._settings:
                raise ConfigError(
                    f"{path.parent} was begun with {known.get('settings')}, now asked for {self._settings}; "
                    "choose another --out, or the same settings"
                )

    def is_done(self, name: str, source: Path, copy: Path) -> bool:
        """Whether this very source was done, and its copy is there."""
        return self._files.get(name) == _stamp(source) and copy.is_file()

    def enter(self, name: str, source: Path) -> None:
        """Write down that a source is done."""
        with self._lock:
            self._files[name] = _stamp(source)
            write_atomically(self._path, to_pretty_json({"settings": self._settings, "files": self._files}))


class SourceMeter:
    """Adds up what is done, in MB of sources. Thread-safe."""

    def __init__(self, sources: list[Path], progress: Progress | None) -> None:
        """Begin with nothing done."""
        self._progress, self._lock = progress, threading.Lock()
        self._sizes = {source: source.stat().st_size for source in sources}
        self._done = dict.fromkeys(sources, 0)
        self._tell()

    def add(self, source: Path) -> None:
        """Count a source as done."""
        self.reach(source, 1.0)

    def reach(self, source: Path, share: float) -> None:
        """Count so much of a source as done."""
        with self._lock:
            self._done[source] = int(self._sizes[source] * min(1.0, share))
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(sum(self._done.values()) >> 20, sum(self._sizes.values()) >> 20)


def _stamp(source: Path) -> list[int]:
    status = source.stat()
    return [status.st_size, status.st_mtime_ns]
