"""The tables of a report for other programs and for papers: CSV, Markdown and LaTeX, each cell safe for its format.

Beside the table of policies stand a benchmark's own figures: the averages and break-downs that its papers print. Names
come from policies and datasets: a spreadsheet must not run them as formulas, nor LaTeX as commands.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .records import write_atomically
from .results import EvalResult
from .statistics import Interval
from .tables import comparison_cells, policy_label, shown_columns
from .viewer import clean_text

__all__ = [
    "figures_csv",
    "figures_latex",
    "figures_markdown",
    "groups_csv",
    "results_csv",
    "results_latex",
    "results_markdown",
    "write_exports",
]

FigureRows = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table beside the main one: title, column names, rows of cells; its first two columns name and count."""

_FORMULA: Final = re.compile(r"^\s*[=+\-@\t\r]")
_LATEX: Final = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "–": "--", "†": r"$\dagger$"},
}
_COLUMNS: Final = (
    *("policy", "reads_key", "dataset", "split", "run", "accuracy", "low", "high", "standard_error", "macro"),
    *("questions", "episodes", "unparsed", "invalid", "errors", "accuracy_errors_wrong", "frames", "zooms", "tokens"),
    *("seconds", "evidence_hit_rate", "evidence_coverage", "legal_actions"),
)


def results_csv(results: Sequence[EvalResult]) -> str:
    """A line for each policy, shares in [0, 1], empty where nothing was counted."""
    rows = []
    for one in results:
        values = (
            *(one.policy, one.reads_key, one.dataset, one.split, one.run),
            *(one.accuracy.mean, one.accuracy.low, one.accuracy.high, one.standard_error, one.macro),
            *(one.graded, one.episodes, one.unparsed, one.invalid, sum(one.errors.values()), one.accuracy_errors_wrong),
            *(one.frames_per_episode, one.zooms_per_episode, one.tokens_per_episode, one.seconds_per_episode),
            *(one.evidence_hit_rate, one.evidence_coverage, one.format_rate),
        )
        rows.append(values)
    return _csv(_COLUMNS, rows)


def groups_csv(results: Sequence[EvalResult]) -> str:
    """A line for each policy and value of each group."""
    rows = [
        (one.policy, one.run, part.group, part.value, part.episodes, *_three(part.accuracy))
        for one in results
        for part in one.groups
    ]
    return _csv(("policy", "run", "group", "value", "questions", "accuracy", "low", "high"), rows)


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_csv_cell(value) for value in row] for row in rows])
    return stream.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if not isinstance(value, str):
        return value
    text = clean_text(value)
    return f"'{text}" if _FORMULA.match(text) else text


def results_markdown(results: Sequence[EvalResult]) -> str:
    """The terminal's table as a Markdown one."""
    columns = shown_columns(results)
    return _markdown(columns, [comparison_cells(one, columns) for one in results])


def _markdown(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    rows = [columns, ["---", *["---:"] * (len(columns) - 1)], *cells]
    lines = ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def figures_csv(figures: Sequence[FigureRows]) -> str:
    """A line for each table, figure and policy; values as the tables print them, empty where nothing was counted."""
    rows = [
        (title, row[0], row[1], policy, "" if value == "–" else value)
        for title, columns, lines in figures
        for row in lines
        for policy, value in zip(columns[2:], row[2:], strict=True)
    ]
    return _csv(("table", "figure", "questions", "policy", "value"), rows)


def figures_markdown(figures: Sequence[FigureRows]) -> str:
    """Each table under its title."""
    return "\n".join(f"{_markdown_cell(title)}\n\n{_markdown(columns, lines)}" for title, columns, lines in figures)


def figures_latex(figures: Sequence[FigureRows]) -> str:
    """Each table as a `tabular`, a figure a row, under a comment with its title."""
    parts = []
    for title, columns, lines in figures:
        head = [rf"% {_latex_cell(title)}", rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", r"\toprule"]
        rows = [" & ".join(map(_latex_cell, row)) + r" \\" for row in (columns, *lines)]
        parts += [*head, rows[0], r"\midrule", *rows[1:], r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(parts)


def _markdown_cell(text: str) -> str:
    clean = " ".join(text.split())
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", clean) if not re.fullmatch(r"-+:?", clean) else clean


def results_latex(results: Sequence[EvalResult]) -> str:
    """The same as a LaTeX `tabular` with booktabs rules: accuracy with its standard error, and what it cost."""
    lines = [r"\begin{tabular}{lrrrr}", r"\toprule", r"policy & accuracy & macro & frames & questions \\", r"\midrule"]
    for one in results:
        error = "" if math.isnan(one.standard_error) else rf" $\pm$ {100 * one.standard_error:.1f}"
        cells = [
            _latex_cell(policy_label(one)),
            f"{_percent(one.accuracy.mean)}{error}",
            _percent(one.macro),
            "--" if math.isnan(one.frames_per_episode) else f"{one.frames_per_episode:.1f}",
            str(one.graded),
        ]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _percent(value: float) -> str:
    return "--" if math.isnan(value) else f"{100 * value:.1f}"


def _latex_cell(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in clean_text(text).replace("\n", " "))


def write_exports(out: Path, results: Sequence[EvalResult], figures: Sequence[FigureRows] = ()) -> list[Path]:
    """Write `report.csv`, `groups.csv`, `report.md`, `report.tex` and, where there are figures, `figures.csv`."""
    contents = {
        "report.csv": results_csv(results),
        "groups.csv": groups_csv(results),
        **({"figures.csv": figures_csv(figures)} if figures else {}),
        "report.md": "\n".join(part for part in (results_markdown(results), figures_markdown(figures)) if part),
        "report.tex": "\n".join(part for part in (results_latex(results), figures_latex(figures)) if part),
    }
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]
