"""Readers of this process: a bounded pool of open ones, how they are made, and the files that are not tried again."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from ..errors import ConfigError, VideoError
from .access import resolve_video
from .frame_store import FrameStore
from .limits import DecodeLimits
from .pool import ReaderPool
from .quarantine import Quarantine, QuarantinedFile
from .reader import BACKENDS, ISOLATIONS, Backend, Isolation, VideoReader

__all__ = [
    "ReaderOptions",
    "configure_readers",
    "configured_readers",
    "forget_failures",
    "open_reader",
    "quarantined_files",
]

MAX_READERS: Final = 8
_PASSING: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EIO, errno.EINTR}
"""Troubles of the machine rather than of the file: worth another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions:
    """How `open_reader` makes its readers; see `VideoReader` for what each means."""

    isolation: Isolation = "none"
    backend: Backend = "pyav"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    workers: int = 1
    store: FrameStore | None = None

    def __post_init__(self) -> None:
        """Refuse what no reader could be made with."""
        if self.isolation not in ISOLATIONS:
            raise ConfigError(f"isolation must be one of {', '.join(ISOLATIONS)}, got {self.isolation!r}")
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(BACKENDS)}, got {self.backend!r}")
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")


_options = ReaderOptions()
_options_lock = threading.Lock()
_quarantine: Final = Quarantine()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_quarantine.renew_lock)


def _make(path: str) -> VideoReader:
    """Make a reader for the pool."""
    options = _options
    return VideoReader(
        path,
        limits=options.limits,
        workers=options.workers,
        isolation=options.isolation,
        backend=options.backend,
        store=options.store,
        quarantine=_quarantine,
    )


_POOL: Final = ReaderPool(_make, max_readers=MAX_READERS)


def open_reader(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> VideoReader:
    """Return a reader from the pool of this process, opening the file when no reader of it is there.

    At most 8 files are kept open, the ones unused for longest go first. Ask again for each use rather than holding on
    to a reader, and do not close it: others may be using it. A file that changed on disk gets a new reader. A file that
    failed for good is not tried again, see `quarantined_files`.

    Raises:
        VideoError: as `VideoReader`.
    """
    identity = resolve_video(path, root, _options.limits)
    _quarantine.check(identity)
    try:
        return _POOL.get(path, root, _options.limits)
    except VideoError as error:
        _quarantine.note(identity, error, blocks=getattr(error.__cause__, "errno", None) not in _PASSING)
        raise


def configure_readers(options: ReaderOptions | None = None) -> ReaderOptions:
    """Set how `open_reader` makes readers from now on, in this process; readers made before are let go of.

    Args:
        options: the new way; None for the defaults.

    Returns:
        The options that held before, to be given back later.
    """
    global _options
    with _options_lock:
        before, _options = _options, options or ReaderOptions()
    if before != _options:
        _POOL.clear()
    return before


@contextmanager
def configured_readers(options: ReaderOptions) -> Iterator[None]:
    """`configure_readers` while the block runs."""
    before = configure_readers(options)
    try:
        yield
    finally:
        configure_readers(before)


def quarantined_files() -> tuple[QuarantinedFile, ...]:
    """The files that failed in this process, with their reasons, oldest first."""
    return _quarantine.files()


def forget_failures() -> None:
    """Give every file that failed another chance."""
    _quarantine.clear()
