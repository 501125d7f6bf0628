"""The tables of an evaluation: all policies side by side, and one group's values, for a terminal or a page.

Names come from policies and datasets, so control characters are taken out and a terminal's markup is not interpreted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from .results import EvalResult
from .viewer import clean_text

__all__ = [
    "COLUMNS",
    "cheating_note",
    "comparison_cells",
    "comparison_table",
    "group_rows",
    "group_table",
    "policy_label",
]

COLUMNS: Final = (
    "policy",
    "accuracy % (95%)",
    "questions",
    "frames",
    "zooms",
    "evidence found",
    "legal actions",
    "errors",
)
CHEATING_MARK: Final = "†"


def comparison_table(results: Iterable[EvalResult]) -> Table:
    """The table of all policies, for a terminal."""
    listed = list(results)
    table = Table(title=None, caption=cheating_note(listed), caption_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=name == "policy")
    for result in listed:
        table.add_row(*(Text(cell) for cell in comparison_cells(result)))
    return table


def group_table(results: Iterable[EvalResult], group: str = "task") -> Table:
    """Accuracy by the values of one group (a question family), a column for each policy."""
    listed = list(results)
    table = Table()
    table.add_column(Text(clean_text(group)))
    table.add_column("questions", justify="right")
    for result in listed:
        table.add_column(Text(policy_label(result)), justify="right")
    for value, count, cells in group_rows(listed, group):
        table.add_row(Text(value), str(count), *(Text(cell) for cell in cells))
    return table


def policy_label(result: EvalResult) -> str:
    """A policy's name as tables show it, with the mark of those that cheat."""
    return clean_text(result.policy) + (f" {CHEATING_MARK}" if result.reads_key else "")


def comparison_cells(result: EvalResult) -> tuple[str, ...]:
    """The cells of a policy's row, in the order of `COLUMNS`."""
    errors = sum(result.errors.values())
    worst = f" (errors as wrong: {_percent(result.accuracy_errors_wrong)})" if errors else ""
    ungraded = result.episodes - result.graded - errors
    return (
        policy_label(result),
        f"{result.accuracy}{worst}",
        f"{result.graded}{f' (+{ungraded} ungraded)' if ungraded else ''}",
        _number(result.frames_per_episode),
        _number(result.zooms_per_episode),
        _percent(result.evidence_hit_rate) if result.zooms_per_episode else "–",
        _percent(result.format_rate),
        str(errors),
    )


def group_rows(results: Sequence[EvalResult], group: str) -> list[tuple[str, int, list[str]]]:
    """(value, questions, a cell for each policy) for every value of a group."""
    found = {(one.value, result.run): one for result in results for one in result.groups if one.group == group}
    rows = []
    for value in sorted({value for value, _ in found}):
        line = [found.get((value, result.run)) for result in results]
        cells = [str(one.accuracy) if one is not None else "–" for one in line]
        rows.append((clean_text(value), max(one.episodes for one in line if one is not None), cells))
    return rows


def cheating_note(results: Iterable[EvalResult]) -> str | None:
    """What the mark means, or None where nobody wears it."""
    return f"{CHEATING_MARK} reads the answer key" if any(one.reads_key for one in results) else None


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}%"
