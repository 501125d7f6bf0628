"""Tables for the terminal and `report.html`: one file, readable from the disk, that shows what was measured and how.

Everything that comes from a dataset, a model or a file is untrusted: the template escapes it, a content policy forbids
scripts and every outside address, and control characters are taken out before a terminal or a page sees them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table
from rich.text import Text

from vz_agents.trajectory import Trajectory
from vz_env.errors import ConfigError, UnknownEpisode

from .charts import Point, draw_frames_chart, draw_learning_chart
from .records import write_atomically
from .results import EvalResult, compare
from .statistics import Interval
from .viewer import EpisodeView, choose_trajectories, clean_text, view_episode

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["Headline", "comparison_table", "find_headline", "group_table", "write_report"]

REPORT_NAME: Final = "report.html"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What the report is about: one policy, what it is measured against, and the sentence that says the result."""

    main: EvalResult
    baseline: EvalResult | None
    difference: Interval | None
    sentence: str


def find_headline(results: Sequence[EvalResult], *, main: str = "", baseline: str = "") -> Headline | None:
    """Choose what to compare, by name or by the figures.

    Args:
        results: one for each policy.
        main: name of the policy the report is about; by default the most accurate that zooms and does not cheat.
        baseline: name of the policy it is measured against; by default the most accurate that looks and never zooms.

    Returns:
        The headline, or None when no policy that does not cheat was graded.

    Raises:
        ConfigError: no policy has the name given.
    """
    honest = [one for one in results if not one.reads_key and one.graded]
    if not honest:
        return None
    chosen = _named(results, main) or max(
        honest, key=lambda one: (one.zooms_per_episode > 0, one.frames_per_episode > 0, one.accuracy.mean)
    )
    lookers = [one for one in honest if one.zooms_per_episode == 0 and one.frames_per_episode > 0]
    others = [one for one in lookers if one.run != chosen.run]
    rival = _named(results, baseline) or max(others, key=lambda one: one.accuracy.mean, default=None)
    difference = compare(chosen, rival) if rival is not None else None
    return Headline(main=chosen, baseline=rival, difference=difference, sentence=_sentence(chosen, rival, difference))


def _named(results: Sequence[EvalResult], name: str) -> EvalResult | None:
    found = next((one for one in results if one.policy == name), None)
    if name and found is None:
        raise ConfigError(f"no policy is called {name!r} here; there are {', '.join(one.policy for one in results)}")
    return found


def comparison_table(results: Iterable[EvalResult]) -> Table:
    """The table of all policies, for a terminal."""
    listed = list(results)
    table = Table(title=None, caption=_cheating_note(listed), caption_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=name == "policy")
    for result in listed:
        table.add_row(*(Text(cell) for cell in _cells(result)))
    return table


def group_table(results: Iterable[EvalResult], group: str = "task") -> Table:
    """Accuracy by the values of one group (a question family), a column for each policy."""
    listed = list(results)
    table = Table()
    table.add_column(Text(clean_text(group)))
    table.add_column("questions", justify="right")
    for result in listed:
        table.add_column(Text(_label(result)), justify="right")
    for value, count, cells in _group_rows(listed, group):
        table.add_row(Text(value), str(count), *(Text(cell) for cell in cells))
    return table


def write_report(
    out: Path,
    results: Sequence[EvalResult],
    *,
    dataset: Dataset | None = None,
    trajectories: Sequence[Sequence[Trajectory]] | None = None,
    learning_curve: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    title: str = "VideoZoomer-Gym",
    main: str = "",
    baseline: str = "",
) -> Path:
    """Write `report.html`.

    Args:
        out: the folder to write into.
        results: one for each policy, in the order of the table.
        dataset: where questions, keys and videos of the shown episodes are; without it no episode is shown.
        trajectories: episodes to show, in groups that stand side by side; chosen by a rule when left out.
        learning_curve: rows of numbers by name: `iteration` or `episodes`, and `accuracy`, `reward`, ...
        notes: sentences about how the run was made.
        title: of the page.
        main: see `find_headline`.
        baseline: see `find_headline`.

    Returns:
        Path of the file.
    """
    headline = find_headline(results, main=main, baseline=baseline)
    if trajectories is None:
        trajectories = choose_trajectories(headline.main, headline.baseline) if headline else ()
    groups = sorted({one.group for result in results for one in result.groups}, key=lambda name: (name != "task", name))
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=clean_text(title),
            headline=headline.sentence if headline else "No policy was graded.",
            columns=COLUMNS,
            rows=[(_cells(result), _style(result, headline)) for result in results],
            cheating_note=_cheating_note(results),
            frames_chart=draw_frames_chart(_point(result, headline) for result in results),
            learning_chart=draw_learning_chart(learning_curve),
            policies=[_label(result) for result in results],
            breakdowns=[
                (clean_text(group), _group_rows(results, group)) for group in groups if _is_varied(results, group)
            ],
            episodes=_views(trajectories, dataset),
            errors=[
                (_label(result), clean_text(name), count) for result in results for name, count in result.errors.items()
            ],
            notes=[clean_text(note) for note in notes],
        )
    )
    path = out / REPORT_NAME
    write_atomically(path, page)
    return path


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vz_benchmarks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _sentence(main: EvalResult, baseline: EvalResult | None, difference: Interval | None) -> str:
    videos = len({record.video_group for record in main.records})
    split = f" of the {clean_text(main.split)} split" if main.split else ""
    text = (
        f"{clean_text(main.policy)} answers {100 * main.accuracy.mean:.1f}% of {main.graded} questions about {videos} "
        f"videos{split}, looking at {main.frames_per_episode:.0f} frames each"
    )
    if baseline is None or difference is None or math.isnan(difference.mean):
        return f"{text}."
    points = f"{100 * difference.mean:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    return (
        f"{text}; {clean_text(baseline.policy)}, at {baseline.frames_per_episode:.0f} frames, "
        f"{100 * baseline.accuracy.mean:.1f}%: {points}."
    )


def _label(result: EvalResult) -> str:
    return clean_text(result.policy) + (f" {CHEATING_MARK}" if result.reads_key else "")


def _cells(result: EvalResult) -> tuple[str, ...]:
    """The cells of a policy's row, in the order of `COLUMNS`."""
    errors = sum(result.errors.values())
    worst = f" (errors as wrong: {_percent(result.accuracy_errors_wrong)})" if errors else ""
    ungraded = result.episodes - result.graded - errors
    return (
        _label(result),
        f"{result.accuracy}{worst}",
        f"{result.graded}{f' (+{ungraded} ungraded)' if ungraded else ''}",
        _number(result.frames_per_episode),
        _number(result.zooms_per_episode),
        _percent(result.evidence_hit_rate) if result.zooms_per_episode else "–",
        _percent(result.format_rate),
        str(errors),
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}%"


def _cheating_note(results: Iterable[EvalResult]) -> str | None:
    return f"{CHEATING_MARK} reads the answer key" if any(one.reads_key for one in results) else None


def _style(result: EvalResult, headline: Headline | None) -> str:
    if headline and result.run == headline.main.run:
        return "main"
    if headline and headline.baseline and result.run == headline.baseline.run:
        return "baseline"
    return "cheating" if result.reads_key else "other"


def _point(result: EvalResult, headline: Headline | None) -> Point:
    return Point(
        label=_label(result),
        frames=result.frames_per_episode,
        accuracy=result.accuracy,
        style=_style(result, headline),
    )


def _is_varied(results: Sequence[EvalResult], group: str) -> bool:
    """Whether a group has more than one value: a column that always says the same is no breakdown."""
    return len({one.value for result in results for one in result.groups if one.group == group}) > 1


def _group_rows(results: Sequence[EvalResult], group: str) -> list[tuple[str, int, list[str]]]:
    """(value, questions, a cell for each policy) for every value of a group."""
    found = {(one.value, result.run): one for result in results for one in result.groups if one.group == group}
    rows = []
    for value in sorted({value for value, _ in found}):
        line = [found.get((value, result.run)) for result in results]
        cells = [str(one.accuracy) if one is not None else "–" for one in line]
        rows.append((clean_text(value), max(one.episodes for one in line if one is not None), cells))
    return rows


def _views(trajectories: Sequence[Sequence[Trajectory]], dataset: Dataset | None) -> list[list[EpisodeView]]:
    """Views of the chosen episodes; one that the dataset does not hold (any more) is left out."""
    if dataset is None:
        return []
    groups = []
    for group in trajectories:
        try:
            groups.append([view_episode(trajectory, dataset) for trajectory in group])
        except UnknownEpisode:
            continue
    return groups
