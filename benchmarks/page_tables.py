"""Tables in the pages of the docs: whatever measured the figures writes them between two marks, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vz_env.errors import ConfigError

__all__ = ["markdown_table", "write_between"]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without a line break at its end."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: begin -->` and `<!-- name: end -->` of a page.

    Raises:
        ConfigError: no such page, or no such markers in it.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    try:
        before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    except OSError as fault:
        raise ConfigError(f"wanted a page to write the table to, cannot read {page}: {fault.strerror}") from fault
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ConfigError(f"wanted the lines {begin} and {end} in {page}: add them, or pass --page none")
    unfinished = page.with_name(f".unfinished-{page.name}")
    unfinished.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    unfinished.replace(page)
