"""How long jobs show what they are at: they open named stages, and whoever started them draws the bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["Stage", "silent"]

Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a named stage and yields what takes its progress: (done, all)."""


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    """A stage that shows nothing."""
    yield lambda done, total: None
