"""Results read back from folders, one sheet for each dataset: what a table may compare, and what its runs depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vz_env.errors import ConfigError, DatasetError

from .console import note
from .records import EpisodeRecord, read_json, read_records
from .results import EvalResult, summarise
from .runner import RESULTS_NAME, RUNS_NAME

__all__ = ["Sheet", "load_results", "load_sheets", "tell_apart"]


@dataclass(slots=True, kw_only=True)
class Sheet:
    """The results of one dataset, out of some folders, and what the runs depend on; a table compares no others."""

    name: str
    folders: list[Path] = field(default_factory=list)
    results: list[EvalResult] = field(default_factory=list)
    descriptions: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def has_several_codes(self) -> bool:
        """Whether its runs were made by different versions of the code."""
        return len({_field(self.descriptions, run, "code") for run in self.descriptions}) > 1

    def add(self, result: EvalResult, folder: Path, description: Any) -> None:
        """Take the results of a run in, once."""
        if result.run not in {one.run for one in self.results}:
            self.results.append(result)
            self.descriptions[result.run] = description
        if folder not in self.folders:
            self.folders.append(folder)


def load_sheets(folders: Sequence[Path]) -> list[Sheet]:
    """The results of all folders by dataset; a folder without any is told and left out, as of `vz report runs/*`.

    Raises:
        ConfigError: no folder.
        DatasetError: no folder has results, or one has broken ones.
    """
    if not folders:
        raise ConfigError("a report wants at least one folder of results")
    some = [folder for folder in folders if (folder / RESULTS_NAME).is_file()]
    for folder in folders if some else ():
        if folder not in some:
            note(f"{folder} holds no {RESULTS_NAME}: left out")
    sheets: dict[str, Sheet] = {}
    for folder in some or folders[:1]:
        found, left_out = load_results(folder, is_told_apart=False)
        runs = read_json(folder / RUNS_NAME)
        for result in found:
            name = _dataset_name(runs.get(result.run))
            sheets.setdefault(name, Sheet(name=name)).add(result, folder, runs.get(result.run, {}))
        for sheet in sheets.values():
            sheet.notes += left_out if folder in sheet.folders else []
    return list(sheets.values())


def _dataset_name(description: Any) -> str:
    named = description.get("dataset") if isinstance(description, dict) else None
    return " ".join(str(named.get(key, "")) for key in ("name", "split")).strip() if isinstance(named, dict) else ""


def load_results(folder: Path, *, is_told_apart: bool = True) -> tuple[list[EvalResult], list[str]]:
    """Read the results of a folder, one for each policy, and sentences about what was left out.

    Results of an older version of the code than the last are left out: a table must not mix them. Policies that share a
    name (another seed, another budget) are told apart by the first letters of their run.

    Args:
        folder: that `vz eval` wrote.
        is_told_apart: whether they are.

    Raises:
        DatasetError: there are no results, or they are broken.
    """
    records = read_records(folder / RESULTS_NAME)
    if not records:
        raise DatasetError(f"{folder / RESULTS_NAME} holds no result yet; run `vz eval --out {folder}` first")
    runs = read_json(folder / RUNS_NAME)
    code = {run: _field(runs, run, "code") for run in {record.run for record in records}}
    newest = code[records[-1].run]
    kept: dict[str, dict[str, EpisodeRecord]] = {}
    for record in records:
        if code[record.run] == newest:
            kept.setdefault(record.run, {})[record.key] = record
    left_out = len({run for run in code if code[run] != newest})
    notes = [f"{left_out} evaluations by other versions of the code are left out."] if left_out else []
    results = [summarise(list(group.values())) for group in kept.values()]
    return tell_apart(results) if is_told_apart else results, notes


def tell_apart(results: Sequence[EvalResult]) -> list[EvalResult]:
    """Give policies that share a name the first letters of their run as well."""
    names = Counter(result.policy for result in results)
    return [
        replace(result, policy=f"{result.policy} #{result.run[:4]}") if names[result.policy] > 1 else result
        for result in results
    ]


def _field(runs: Mapping[str, Any], run: str, name: str) -> str:
    value = runs.get(run)
    return str(value.get(name, "")) if isinstance(value, dict) else ""
