"""Decoded pictures on disk, for those who evaluate the same questions again and again.

One file a picture, under the identity of its video, its size and the tick it was asked for::

    <folder>/<video>/<width>x<height>/<tick>.rgb      28 bytes of header, then the pixels

A file appears under its name when it is whole. One that is short, or whose checksum is wrong, is dropped and decoded
anew. Above the size cap, the pictures not used for longest go. Several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .access import FileIdentity

__all__ = ["FrameStore"]

DEFAULT_MAX_BYTES: Final = 8 << 30
KEPT_SHARE: Final = 0.9
"""How full the folder is left after making room, so that room is not made at every picture."""

UNFINISHED_SECONDS: Final = 60.0

_HEADER: Final = struct.Struct("<4sIqHHQ")  # magic, checksum, presentation tick, width, height, bytes of pixels
_MAGIC: Final = b"VZF2"


class FrameStore:
    """A folder of decoded pictures, bounded by its bytes. Thread-safe.

    Args:
        folder: made when the first picture is kept.
        max_bytes: most bytes of pictures in the folder.

    Raises:
        ConfigError: a cap that is not positive, or a folder that cannot be one.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Check the arguments; nothing is read yet."""
        if max_bytes < 1:
            raise ConfigError(f"max_bytes must be at least 1, got {max_bytes}")
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"the frame cache wants a folder, and {self.folder} is something else")
        self.max_bytes = max_bytes
        self.hits = self.misses = 0
        self._bytes: int | None = None  # known once the folder was counted
        self._lock = threading.Lock()

    def get(self, identity: FileIdentity, size: tuple[int, int], tick: int) -> tuple[int, NDArray[np.uint8]] | None:
        """Return (presentation tick, read-only picture) of what is on at a tick, or None."""
        path = self._path(identity, size, tick)
        try:
            content = path.read_bytes()
        except OSError:
            self.misses += 1
            return None
        found = _unpack(content, size)
        if found is None:
            self.misses += 1
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        self.hits += 1
        with suppress(OSError):
            os.utime(path)
        return found

    def put(
        self, identity: FileIdentity, size: tuple[int, int], tick: int, shown: int, picture: NDArray[np.uint8]
    ) -> None:
        """Keep a picture. A full disk or a folder without rights costs the cache, never the caller."""
        path = self._path(identity, size, tick)
        pixels = picture.tobytes()
        header = _HEADER.pack(_MAGIC, zlib.crc32(pixels), shown, *size, len(pixels))
        unfinished = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(header + pixels)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return
        self._count(len(header) + len(pixels))

    def _path(self, identity: FileIdentity, size: tuple[int, int], tick: int) -> Path:
        """Where a picture lies; another file, or another version of the decoder, has another folder."""
        video = hashlib.sha256(json.dumps([av.__version__, *identity]).encode("ascii")).hexdigest()[:32]
        return self.folder / video / f"{size[0]}x{size[1]}" / f"{tick}.rgb"

    def _count(self, added: int) -> None:
        """Keep the folder within its cap."""
        with self._lock:
            self._bytes = self._bytes + added if self._bytes is not None else sum(size for _, size, _ in self._files())
            if self._bytes > self.max_bytes:
                self._make_room()

    def _make_room(self) -> None:
        """Drop the pictures not used for longest; other processes may have changed the folder since it was counted."""
        self._drop_unfinished()
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self.max_bytes * KEPT_SHARE:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
            total -= size
        self._bytes = total

    def _drop_unfinished(self) -> None:
        """Drop what processes that were killed left half written; a picture takes no minute to write."""
        for path in self.folder.glob("*/*/.*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > UNFINISHED_SECONDS:
                    path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Yield (time of last use, bytes, path) of every picture."""
        for path in self.folder.glob("*/*/*.rgb"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process dropped it
            yield status.st_mtime_ns, status.st_size, path

    def __repr__(self) -> str:
        """Show where it is."""
        return f"FrameStore({str(self.folder)!r}, {self.max_bytes / 2**30:.1f} GiB)"


def _unpack(content: bytes, size: tuple[int, int]) -> tuple[int, NDArray[np.uint8]] | None:
    """Read a picture's file; None when it is not whole."""
    if len(content) < _HEADER.size:
        return None
    magic, checksum, shown, width, height, count = _HEADER.unpack_from(content)
    pixels = memoryview(content)[_HEADER.size :]
    is_whole = magic == _MAGIC and (width, height) == size and count == len(pixels) == width * height * 3
    if not is_whole or zlib.crc32(pixels) != checksum:
        return None
    return shown, np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
