"""How a command reads its videos: the frame cache on disk and the process they are decoded in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vz_env.errors import ConfigError
from vz_env.video.frame_store import FrameStore
from vz_env.video.opening import ReaderOptions, configured_readers

__all__ = ["DecodingArgs"]


@dataclass(frozen=True, kw_only=True)
class DecodingArgs:
    """How videos are read. None of it changes what is seen."""

    frame_cache: Path | None = None
    """Folder to keep decoded frames in, for those who evaluate the same questions again; nothing is kept without it."""
    frame_cache_gib: float = 8.0
    """Most GiB of that folder; the frames not used for longest go first."""
    isolation: Literal["none", "process"] = "none"
    """process: decode files in a child with bounded memory that is killed at its deadline, for files of strangers."""

    def configured(self) -> AbstractContextManager[None]:
        """Read videos this way while the block runs.

        Raises:
            ConfigError: a folder that is none, or a size that is not positive.
        """
        if not self.frame_cache_gib > 0:
            raise ConfigError(f"frame-cache-gib must be more than 0, got {self.frame_cache_gib}")
        most_bytes = max(1, int(self.frame_cache_gib * 2**30))
        store = None if self.frame_cache is None else FrameStore(self.frame_cache, most_bytes)
        return configured_readers(ReaderOptions(isolation=self.isolation, store=store))
