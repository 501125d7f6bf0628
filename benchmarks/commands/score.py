"""`vz score`: a benchmark's own figures of results that are there, under another parser, denominator or judge."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text

from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError

from ..adapters.catalogue import BENCHMARKS
from ..console import note, progress_bar, show, show_table
from ..grading import Denominator, grade_records
from ..judge import Judge, judge_answers, read_verdicts
from ..official import Figure, official_figures
from ..records import to_pretty_json, write_atomically
from ..results import EvalResult
from ..sheets import load_results
from ..submissions import only_run, read_choices, write_submission
from ..tables import policy_label
from ..viewer import clean_text

__all__ = ["ScoreArgs", "figure_rows", "figure_table", "known_verdicts", "run_score", "show_figures"]

_KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True, kw_only=True)
class ScoreArgs:
    """Score results again; nothing is played, and the results stay as they are."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder that `vz eval` wrote."""
    parser: str = "strict"
    """How replies are read: strict, or the name of an official scorer's reading; `official` is the benchmark's own."""
    denominator: Literal["all", "official"] = "all"
    """all: every question with a right answer; official: as the benchmark's script counts."""
    judge_url: str = ""
    """An OpenAI-compatible server that grades answers in free words; the key is read from OPENAI_API_KEY."""
    judge_model: str = ""
    """The judge's model."""
    workers: int = 4
    """Questions put to the judge at the same time."""
    submission: Path | None = None
    """Also write the answers to this file, as the benchmark takes them: MLVU's test set, EgoSchema, Video-MME."""
    policy: str = ""
    """Whose answers, where the folder holds those of several."""


def run_score(args: ScoreArgs) -> int:
    """Run the command; returns its exit code."""
    from .report import find_dataset

    results, notes = load_results(args.run)
    dataset, trouble = find_dataset(args.run)
    if dataset is None:
        raise ConfigError(f"scoring wants the dataset of the results: {trouble}")
    for line in notes:
        note(line)
    verdicts = _verdicts(args, results, dataset)
    parser = args.parser
    if parser == "official":
        parser = BENCHMARKS[dataset.name].parser if dataset.name in BENCHMARKS else "strict"
        note(f"official reading: {parser}")
    show_table(figure_table(results, dataset, parser=parser, denominator=args.denominator, verdicts=verdicts))
    if args.submission is not None:
        _submit(only_run(results, args.policy), dataset, parser, args.submission)
    return 0


def _submit(result: EvalResult, dataset: Dataset, parser: str, path: Path) -> None:
    """Write a submission, and say what is missing from it."""
    choices = read_choices(result, dataset, parser=parser)
    write_atomically(path, to_pretty_json(write_submission(dataset, choices)))
    missing = sum(bool(episode.options) for episode in dataset) - len(choices)
    if missing:
        note(f"{missing} questions have no answer that can be read: none was guessed for them")
    show(f"submission: {path}")


def _verdicts(args: ScoreArgs, results: Sequence[EvalResult], dataset: Dataset) -> dict[str, Mapping[str, float]]:
    """Verdicts for each run: fresh ones from a judge where one is named, else those that lie there."""
    if not args.judge_url:
        return known_verdicts([args.run], results, dataset, args.judge_model)
    if not args.judge_model:
        raise ConfigError("a judge wants --judge-model beside --judge-url")
    judge = Judge(base_url=args.judge_url, model=args.judge_model, api_key=os.environ.get(_KEY_VARIABLE, "none"))
    verdicts = {}
    for result in results:
        with progress_bar(f"judging {result.policy}") as progress:
            graded = grade_records(result.records, dataset)
            verdicts[result.run] = judge_answers(judge, graded, args.run, workers=args.workers, progress=progress)
    return verdicts


def known_verdicts(
    folders: Sequence[Path], results: Sequence[EvalResult], dataset: Dataset, judge_model: str = ""
) -> dict[str, Mapping[str, float]]:
    """The verdicts that lie in some folders, for each run."""
    verdicts: dict[str, Mapping[str, float]] = {}
    for result in results:
        graded = grade_records(result.records, dataset)
        found: dict[str, float] = {}
        for folder in folders:
            found |= read_verdicts(folder, graded, judge_model)
        verdicts[result.run] = found
    return verdicts


def show_figures(results: Sequence[EvalResult], dataset: Dataset) -> None:
    """Print a benchmark's own figures under the strict rules; nothing for a dataset that is no benchmark."""
    if dataset.name in BENCHMARKS and results:
        show_table(figure_table(results, dataset))


def figure_table(
    results: Sequence[EvalResult],
    dataset: Dataset,
    *,
    parser: str = "strict",
    denominator: Denominator = "all",
    verdicts: Mapping[str, Mapping[str, float]] | None = None,
) -> Table:
    """The rows of `figure_rows`, for a terminal."""
    names, rows = figure_rows(results, dataset, parser=parser, denominator=denominator, verdicts=verdicts)
    table = Table(caption=f"parser {parser}, denominator {denominator}", caption_justify="left")
    for number, name in enumerate(names):
        table.add_column(Text(name), justify="right" if number else "left", no_wrap=not number, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def figure_rows(
    results: Sequence[EvalResult],
    dataset: Dataset,
    *,
    parser: str = "strict",
    denominator: Denominator = "all",
    verdicts: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[list[str], list[list[str]]]:
    """A benchmark's figures as text: the column names, and a row for each figure with a cell for each policy."""
    columns = []
    for result in results:
        graded = grade_records(result.records, dataset, parser=parser, verdicts=(verdicts or {}).get(result.run))
        columns.append({one.name: one for one in official_figures(dataset.name, graded, denominator=denominator)})
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        found = [column.get(name) for column in columns]
        count = max(one.questions for one in found if one is not None)
        rows.append([clean_text(name), str(count), *(_cell(one) for one in found)])
    return ["figure", "questions", *(policy_label(result) for result in results)], rows


def _cell(figure: Figure | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "–"
    # Marks of 2 to 10 are no shares of a hundred.
    return f"{figure.value:.2f}" if "marks" in figure.rule or "2-10" in figure.rule else f"{100 * figure.value:.1f}"
