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

from ..console import note, show, show_table
from ..records import EpisodeRecord, read_records
from ..report import write_report
from ..results import EvalResult, summarise
from ..runner import RESULTS_NAME, RUNS_NAME
from ..tables import comparison_table
from .eval import CONFIG_NAME, DatasetArgs, open_dataset

__all__ = ["CURVE_NAME", "ReportArgs", "find_dataset", "load_results", "read_json", "run_report"]

CURVE_NAME = "learning_curve.jsonl"


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Write report.html for a folder of results."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder that `vz eval` or `vz demo` wrote."""
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
    results, notes = load_results(args.run)
    dataset, trouble = find_dataset(args.run)
    if trouble:
        note(trouble)
        notes.append(trouble)
    curve_path = args.run / CURVE_NAME
    path = write_report(
        args.run,
        results,
        dataset=dataset,
        learning_curve=_read_curve(curve_path) if curve_path.exists() else (),
        notes=notes,
        main=args.main,
        baseline=args.baseline,
    )
    show_table(comparison_table(results))
    show(f"report: {path}")
    return 0


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
