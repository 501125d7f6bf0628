"""`vz report`: the page and the table of an evaluation's folder."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError, DatasetError, VZError

from ..adapters.catalogue import BENCHMARKS
from ..console import note, show, show_table
from ..exports import FigureRows, write_exports
from ..headline import find_headline
from ..records import read_json
from ..report import write_report
from ..results import EvalResult
from ..selection import choose_trajectories
from ..sheets import Sheet, load_sheets, tell_apart
from ..tables import comparison_table
from ..yardsticks import missing_baselines
from .eval import CONFIG_NAME, DatasetArgs, open_dataset
from .score import figure_rows, known_verdicts

__all__ = ["CURVE_NAME", "ReportArgs", "find_dataset", "run_report"]

CURVE_NAME = "learning_curve.jsonl"
_SLUG: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Write report.html, and the table as CSV, Markdown and LaTeX, for one or more folders of results."""

    run: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that `vz eval` or `vz demo` wrote; the page is written into the first, one for each dataset."""
    out: Path | None = None
    """Another folder to write into."""
    episodes: int = 1000
    """Most episodes that can be browsed: those of the main policy first."""
    frames_seconds: float = 120.0
    """Longest that frames are decoded for the page; episodes after that are shown without."""
    main: str = ""
    """Name of the policy the report is about; by default the most accurate that zooms."""
    baseline: str = ""
    """Name of the policy it is measured against; by default the most accurate that looks and never zooms."""


def run_report(args: ReportArgs) -> int:
    """Run the command; returns its exit code."""
    sheets = load_sheets(args.run)
    for sheet in sheets:
        out = sheet.folders[0] if args.out is None else args.out
        if args.out is not None and len(sheets) > 1:
            out = args.out / _SLUG.sub("-", sheet.name).strip("-")
        _write(sheet, out, args)
    return 0


def _write(sheet: Sheet, out: Path, args: ReportArgs) -> None:
    """The page of one dataset, the tables beside it, and the table on the terminal."""
    results, notes = tell_apart(sheet.results), sheet.notes
    dataset, trouble = _find_dataset_of(sheet)
    if dataset is not None:
        missing = missing_baselines([one.policy for one in results], dataset)
        trouble = f"Baselines that are not here: {', '.join(missing)}. {_command(sheet.folders[0])}" if missing else ""
    if trouble:
        note(trouble)
        notes.append(trouble)
    if sheet.has_several_codes:
        notes.append("These runs were made by different versions of the code.")
    curve_path = sheet.folders[0] / CURVE_NAME
    headline = find_headline(results, main=args.main, baseline=args.baseline)
    first, rival = (headline.main, headline.baseline) if headline else (results[0], None)
    figures = _figures(sheet.folders, results, dataset)
    path = write_report(
        out,
        results,
        dataset=dataset,
        trajectories=choose_trajectories(first, rival, limit=args.episodes, others=results),
        learning_curve=_read_curve(curve_path) if curve_path.exists() else (),
        descriptions=sheet.descriptions,
        figures=figures,
        notes=notes,
        main=args.main,
        baseline=args.baseline,
        most_seconds=args.frames_seconds,
    )
    exports = write_exports(out, results, figures)
    show_table(comparison_table(results))
    show(f"report: {path}   also {', '.join(export.name for export in exports)}")


def _command(folder: Path) -> str:
    """The command that adds the baselines to a folder."""
    config = read_json(folder / CONFIG_NAME).get("data") or {}
    names = ("benchmark",) if config.get("benchmark") else ("dataset", "split")
    words = [f"--{name} {shlex.quote(str(config[name]))}" for name in (*names, "root") if config.get(name)]
    return f"Add them: vz eval {' '.join(words)} --policy baselines --out {shlex.quote(str(folder))}"


def _find_dataset_of(sheet: Sheet) -> tuple[Dataset | None, str]:
    """The dataset of a sheet, as one of its folders names it, or None and why."""
    trouble = ""
    for folder in sheet.folders:
        dataset, why = find_dataset(folder)
        if dataset is not None and sheet.name in ("", f"{dataset.name} {dataset.split}".strip()):
            return dataset, ""
        trouble = trouble or why
    return None, trouble or f"No episodes are shown: {sheet.folders[0]} was last used for another dataset."


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


def _read_curve(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as fault:
        raise DatasetError(f"cannot read the learning curve {path}: {fault}") from fault
    return [row for row in rows if isinstance(row, dict)]
