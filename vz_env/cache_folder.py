"""Where everything lies that can be made again: needle datasets, what was measured of videos."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """The folder: `VZ_CACHE_DIR`, else `vz_env` in the user's cache folder. It may not exist yet."""
    if chosen := os.environ.get("VZ_CACHE_DIR"):
        return Path(chosen).expanduser()
    if platform := os.environ.get("XDG_CACHE_HOME"):
        return Path(platform) / "vz_env"
    return Path.home() / ".cache" / "vz_env"
