"""`vz report`: the page and the table of an evaluation's folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError, DatasetError, VZError

from ..adapters.catalogue import BENCHMARKS
from ..console import note, show, show_table
from ..exports import write_exports
from ..headline import find_headline
from ..records import EpisodeRecord, read_records
from ..report import FigureRows, write_report
from ..results import EvalResult, summarise
from ..runner import RESULTS_NAME, RUNS_NAME
from ..selection import choose_trajectories
from ..tables import comparison_table
from .eval import CONFIG_NAME, DatasetArgs, open_dataset
from .score import figure_rows, known_verdicts

__all__ = ["CURVE_NAME", "ReportArgs", "find_dataset", "load_results", "read_json", "run_report"]

CURVE_NAME = "learning_curve.jsonl"


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Write report.html, and the table as CSV, Markdown and LaTeX, for one or more folders of results."""

    run: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that `vz eval` or `vz demo` wrote; the page is written into the first."""
    out: Path | None = None
    """Another folder to write into."""
    episodes: int = 10
    """How many episodes can be browsed; up to 1,000 fit into a page."""
    main: str = ""
    """Name of the policy the report is about; by default the most accurate that zooms."""
    baseline: str = ""
    """Name of the policy it is measured against; by default the most accurate that looks and never zooms."""


def load_results(folder: Path) -> tuple[list[EvalResult], list[str]]:
    """Read the results of a folder, one for each policy, and sentences about what was left out.

    Results of an older version of the code than the last are left out: a table must not mix them. Policies that share a
    name (another seed, another budget) are told apart by the first letters of their run.

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
    return _tell_apart([summarise(list(group.values())) for group in kept.values()]), notes


def run_report(args: ReportArgs) -> int:
    """Run the command; returns its exit code."""
    results, descriptions, notes = _load_all(args.run)
    dataset, trouble = find_dataset(args.run[0])
    if trouble:
        note(trouble)
        notes.append(trouble)
    out = args.out or args.run[0]
    curve_path = args.run[0] / CURVE_NAME
    headline = find_headline(results, main=args.main, baseline=args.baseline)
    chosen = choose_trajectories(headline.main, headline.baseline, limit=args.episodes) if headline else []
    path = write_report(
        out,
        results,
        dataset=dataset,
        trajectories=chosen,
        learning_curve=_read_curve(curve_path) if curve_path.exists() else (),
        descriptions=descriptions,
        figures=_figures(args.run, results, dataset),
        notes=notes,
        main=args.main,
        baseline=args.baseline,
    )
    exports = write_exports(out, results)
    show_table(comparison_table(results))
    show(f"report: {path}   also {', '.join(export.name for export in exports)}")
    return 0


def _load_all(folders: Sequence[Path]) -> tuple[list[EvalResult], dict[str, Any], list[str]]:
    """The results of all folders, one for each run, what the runs depend on, and what was left out.

    Raises:
        ConfigError: no folder, or results of different datasets, which no table compares.
        DatasetError: a folder has no results.
    """
    if not folders:
        raise ConfigError("a report wants at least one folder of results")
    results: dict[str, EvalResult] = {}
    descriptions: dict[str, Any] = {}
    notes: list[str] = []
    for folder in folders:
        found, left_out = load_results(folder)
        descriptions |= read_json(folder / RUNS_NAME)
        notes += left_out
        for result in found:
            results.setdefault(result.run, result)
    datasets = {(one.dataset, one.split) for one in results.values() if one.dataset}
    if len(datasets) > 1:
        names = ", ".join(sorted(f"{name} {split}" for name, split in datasets))
        raise ConfigError(f"these results are of different datasets ({names}): write a report for each")
    codes = {_field(descriptions, run, "code") for run in results}
    if len(codes) > 1:
        notes.append("These runs were made by different versions of the code.")
    return _tell_apart(list(results.values())), descriptions, notes


def _figures(folders: Sequence[Path], results: Sequence[EvalResult], dataset: Dataset | None) -> list[FigureRows]:
    """A benchmark's own figures, under our rules and under its own, with the verdicts of a judge that lie there."""
    if dataset is None or dataset.name not in BENCHMARKS:
        return []
    verdicts = known_verdicts(folders, results, dataset)
    official = BENCHMARKS[dataset.name].parser
    return [
        ("Figures of the benchmark", *figure_rows(results, dataset, verdicts=verdicts)),
        (
            f"The same as its own scorer counts (parser {official})",
            *figure_rows(results, dataset, parser=official, denominator="official", verdicts=verdicts),
        ),
    ]


def _tell_apart(results: Sequence[EvalResult]) -> list[EvalResult]:
    names = Counter(result.policy for result in results)
    return [
        replace(result, policy=f"{result.policy} #{result.run[:4]}") if names[result.policy] > 1 else result
        for result in results
    ]


def find_dataset(folder: Path) -> tuple[Dataset | None, str]:
    """The dataset the results are of, or None and why."""
    try:
        config = read_json(folder / CONFIG_NAME).get("data")
        if not isinstance(config, dict):
            raise ConfigError(f"wanted {folder / CONFIG_NAME} to name the dataset")
        root = config.get("root")
        args = DatasetArgs(
            benchmark=config.get("benchmark", ""),
            dataset=config["dataset"],
            root=Path(root) if root else None,
            split=config["split"],
        )
        return open_dataset(args), ""
    except (VZError, KeyError) as fault:
        return None, f"No episodes are shown: {fault}"


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file beside the results.

    Raises:
        DatasetError: it cannot be read, or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DatasetError(f"cannot read {path}: {fault}") from fault
    if not isinstance(value, dict):
        raise DatasetError(f"wanted {path} to hold a JSON object")
    return value


def _field(runs: Mapping[str, Any], run: str, name: str) -> str:
    value = runs.get(run)
    return str(value.get(name, "")) if isinstance(value, dict) else ""


def _read_curve(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as fault:
        raise DatasetError(f"cannot read the learning curve {path}: {fault}") from fault
    return [row for row in rows if isinstance(row, dict)]
