"""Where a file is decoded, and with what: in this process or in a child, by PyAV or by torchcodec."""

from __future__ import annotations

import os
from typing import Final, Literal, get_args

from ..errors import ConfigError
from .limits import DecodeLimits
from .source import LocalSource, PictureSource

__all__ = ["BACKENDS", "ISOLATIONS", "Backend", "Isolation", "open_source"]

Isolation = Literal["none", "process"]
"""Where a file is decoded: in this process, or in a child with bounded memory that is killed at the deadline."""

ISOLATIONS: Final = get_args(Isolation)

Backend = Literal["pyav", "torchcodec"]
"""What decodes: PyAV, or torchcodec where it is right; which frame is on when is settled here for both."""

BACKENDS: Final = get_args(Backend)


def open_source(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None,
    limits: DecodeLimits,
    workers: int,
    *,
    isolation: Isolation,
    backend: Backend,
) -> PictureSource:
    """Open a file where, and with what, it is to be decoded.

    Args:
        path: video file.
        root: folder that it must lie inside.
        limits: sizes and times that may not be exceeded.
        workers: decoder threads.
        isolation: where.
        backend: with what.

    Raises:
        ConfigError: a place or a decoder that is not known, or both together.
        VideoError: the file cannot be opened.
    """
    if isolation not in ISOLATIONS:
        raise ConfigError(f"isolation must be one of {', '.join(ISOLATIONS)}, got {isolation!r}")
    if backend not in BACKENDS:
        raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "torchcodec":
        if isolation == "process":
            raise ConfigError("isolation='process' is for files one does not trust, backend='torchcodec' for others")
        from .torchcodec_source import TorchcodecSource

        return TorchcodecSource(path, root=root, limits=limits, workers=workers)
    if isolation == "process":
        from .isolation import ProcessSource

        return ProcessSource(path, root=root, limits=limits, workers=workers)
    return LocalSource(path, root=root, limits=limits, workers=workers)
