"""Evaluation, statistics, reports and the `vz` command for VideoZoomer-Gym; imported as `vz_benchmarks`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .grading import grade_records
    from .headline import find_headline
    from .official import official_figures
    from .report import write_report
    from .results import EvalResult, compare, paired, summarise
    from .runner import evaluate
    from .statistics import Interval, accuracy, binomial_interval, paired_difference
    from .tables import comparison_table, group_table

__all__ = [
    "EvalResult",
    "Interval",
    "accuracy",
    "binomial_interval",
    "compare",
    "comparison_table",
    "evaluate",
    "find_headline",
    "grade_records",
    "group_table",
    "official_figures",
    "paired",
    "paired_difference",
    "summarise",
    "write_report",
]

_HOMES: Final = {
    "grading": ("grade_records",),
    "headline": ("find_headline",),
    "official": ("official_figures",),
    "report": ("write_report",),
    "results": ("EvalResult", "compare", "paired", "summarise"),
    "runner": ("evaluate",),
    "statistics": ("Interval", "accuracy", "binomial_interval", "paired_difference"),
    "tables": ("comparison_table", "group_table"),
}
_LAZY: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a module when something of it is first asked for: the `vz` command starts with none of them."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public surface, lazy names included."""
    return sorted(__all__)
