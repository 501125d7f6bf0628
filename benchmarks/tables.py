"""The tables of an evaluation: all policies side by side, and one group's values, for a terminal or a page.

Names come from policies and datasets, so control characters are taken out and a terminal's markup is not interpreted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from .results import EvalResult, value_order
from .viewer import clean_text

__all__ = [
    "cheating_note",
    "comparison_cells",
    "comparison_table",
    "group_rows",
    "group_table",
    "policy_label",
    "shown_columns",
]

CHEATING_MARK: Final = "†"
_WIDE: Final = 3  # policies whose intervals fit side by side on a terminal


def comparison_table(results: Iterable[EvalResult]) -> Table:
    """The table of all policies, for a terminal."""
    listed = list(results)
    table = Table(title=None, caption=cheating_note(listed), caption_justify="left")
    columns = shown_columns(listed)
    for name in columns:
        is_whole = name == "policy" or name.startswith("accuracy")  # where columns get narrow, the others fold
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=is_whole)
    for result in listed:
        table.add_row(*(Text(cell) for cell in comparison_cells(result, columns)))
    return table


def group_table(results: Iterable[EvalResult], group: str = "task") -> Table:
    """Accuracy by the values of one group (a question family), a column for each policy."""
    listed = list(results)
    table = Table()
    table.add_column(Text(clean_text(group)))
    table.add_column("questions", justify="right")
    for result in listed:  # folded, not cut: names of baselines differ at their end
        table.add_column(Text(policy_label(result)), justify="right", overflow="fold")
    for value, count, cells in group_rows(listed, group, with_intervals=len(listed) <= _WIDE):
        table.add_row(Text(value), str(count), *(Text(cell) for cell in cells))
    return table


def policy_label(result: EvalResult) -> str:
    """A policy's name as tables show it, with the mark of those that cheat."""
    return clean_text(result.policy) + (f" {CHEATING_MARK}" if result.reads_key else "")


def shown_columns(results: Iterable[EvalResult]) -> tuple[str, ...]:
    """The columns that say something: some stand only where a policy has tokens, tasks, or unreadable answers."""
    listed = list(results)
    return tuple(
        name
        for name, cell in _CELLS.items()
        if name not in _OPTIONAL or any(cell(result) not in {"–", "0"} for result in listed)
    )


def comparison_cells(result: EvalResult, columns: Iterable[str]) -> tuple[str, ...]:
    """The cells of a policy's row, for some of the columns."""
    return tuple(_CELLS[name](result) for name in columns)


def _questions(result: EvalResult) -> str:
    """How many were graded, and what became of the others but the errors, which have a column."""
    ungraded = result.episodes - result.graded - sum(result.errors.values()) - result.invalid
    rest = [f"{count} {word}" for count, word in ((ungraded, "ungraded"), (result.invalid, "invalid")) if count > 0]
    return f"{result.graded} (+{', '.join(rest)})" if rest else str(result.graded)


def group_rows(
    results: Sequence[EvalResult], group: str, *, with_intervals: bool = True
) -> list[tuple[str, int, list[str]]]:
    """(value, questions, a cell for each policy) for every value of a group."""
    found = {(one.value, result.run): one for result in results for one in result.groups if one.group == group}
    rows = []
    for value in sorted({value for value, _ in found}, key=value_order):
        line = [found.get((value, result.run)) for result in results]
        shown = [None if one is None else one.accuracy for one in line]
        cells = ["–" if one is None else str(one) if with_intervals else _share(one.mean) for one in shown]
        rows.append((clean_text(value), max(one.episodes for one in line if one is not None), cells))
    return rows


def cheating_note(results: Iterable[EvalResult]) -> str | None:
    """What the mark means, or None where nobody wears it."""
    return f"{CHEATING_MARK} reads the answer key" if any(one.reads_key for one in results) else None


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}%"


_CELLS: Final[Mapping[str, Callable[[EvalResult], str]]] = {
    "policy": policy_label,
    "accuracy % (95%)": lambda result: str(result.accuracy),
    "errors as wrong %": lambda result: _share(result.accuracy_errors_wrong) if result.errors else "–",
    "s.e.": lambda result: _share(result.standard_error),
    "macro %": lambda result: _share(result.macro),
    "questions": _questions,
    "frames": lambda result: _number(result.frames_per_episode),
    "zooms": lambda result: _number(result.zooms_per_episode),
    "tokens": lambda result: _number(result.tokens_per_episode),
    "evidence found": lambda result: _percent(result.evidence_hit_rate) if result.zooms_per_episode else "–",
    "legal actions": lambda result: _percent(result.format_rate),
    "unparsed": lambda result: str(result.unparsed),
    "errors": lambda result: str(sum(result.errors.values())),
}
_OPTIONAL: Final = frozenset({"errors as wrong %", "macro %", "tokens", "unparsed"})
