"""What commands print with: results go to stdout, progress and notes to stderr, and bars only to a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .viewer import clean_text

__all__ = ["ProgressCallback", "note", "progress_bar", "show", "show_table"]

ProgressCallback = Callable[[int, int], None]
_PIPE_WIDTH = 160  # a table that is piped to a file must not be folded at 80 columns


def show(text: str) -> None:
    """Print one line of the result; the terminal wraps it, so that a command in it can be copied."""
    _console(is_error=False).print(Text(clean_text(text)), soft_wrap=True)


def show_table(table: Table) -> None:
    """Print a table of the result."""
    _console(is_error=False).print(table)


def note(text: str) -> None:
    """Print one line that is not part of the result."""
    _console(is_error=True).print(Text(clean_text(text)), soft_wrap=True)


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressCallback]:
    """Show a bar on stderr while the block runs; call what it yields with (done, all). Silent without a terminal."""
    console = _console(is_error=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(clean_text(title), total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update


def _console(*, is_error: bool) -> Console:
    console = Console(stderr=is_error, highlight=False)
    return console if console.is_terminal else Console(stderr=is_error, highlight=False, width=_PIPE_WIDTH)
