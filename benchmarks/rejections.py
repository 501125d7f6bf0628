"""The table of what was rejected from a collection of trajectories, and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from vz_agents.exemplar_filters import REASONS
from vz_agents.exemplars import EXEMPLARS, read_counts
from vz_agents.reflection import REFLECTION_REASONS, REFLECTIONS

from .console import ProgressCallback, show_table
from .viewer import clean_text

__all__ = ["rejection_table", "telling_rejections"]

_FILES: Final = {EXEMPLARS: ("exemplars", REASONS), REFLECTIONS: ("reflections", REFLECTION_REASONS)}


def rejection_table(title: str, kept: int, rejected: Mapping[str, int], meanings: Mapping[str, str]) -> Table:
    """One line for what was kept and one for each reason, with its count, its share and what it means."""
    total = max(1, kept + sum(rejected.values()))
    table = Table(title=title, title_justify="left")
    for name in ("", "number", "share", "what it means"):
        table.add_column(name, justify="right" if name in {"number", "share"} else "left")
    table.add_row("kept", str(kept), f"{kept / total:.1%}", "")
    for reason, count in rejected.items():
        meaning = meanings.get(reason) or meanings.get(_kind(reason), "")
        table.add_row(Text(clean_text(reason)), str(count), f"{count / total:.1%}", Text(meaning))
    return table


def _kind(reason: str) -> str:
    return "error:<type>" if reason.startswith("error:") else "out_of_budget"


def telling_rejections(
    out: Path, stage: Callable[[str], AbstractContextManager[ProgressCallback]]
) -> Callable[[str], AbstractContextManager[ProgressCallback]]:
    """A stage that shows, before it begins, the tables of collections that a training run has made since.

    Args:
        out: the run folder.
        stage: what opens a stage.
    """
    told: set[str] = set()

    @contextmanager
    def opened(title: str) -> Iterator[ProgressCallback]:
        for name, (what, meanings) in _FILES.items():
            path = out / name
            if name not in told and path.is_file():
                told.add(name)
                kept, rejected = read_counts(path)
                show_table(rejection_table(f"{what} ({name})", kept, rejected, meanings))
        with stage(title) as progress:
            yield progress

    return opened
