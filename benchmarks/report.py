"""`report.html`: one file, readable from the disk, that shows what was measured and how.

Everything that comes from a dataset, a model or a file is untrusted: the template escapes it, a content policy forbids
scripts and every outside address, and control characters are taken out before a page sees them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vz_agents.trajectory import Trajectory
from vz_env.errors import UnknownEpisode

from .charts import Point, draw_frames_chart, draw_learning_chart
from .exports import FigureRows
from .headline import Headline, find_headline
from .records import write_atomically
from .reproducibility import shared_settings
from .results import EvalResult, paired
from .selection import choose_trajectories
from .tables import cheating_note, comparison_cells, group_rows, policy_label, shown_columns
from .thumbnails import FIRST_EPISODES, plan_thumbnails
from .viewer import EpisodeView, clean_text, view_episode
from .yardsticks import chance_of

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["REPORT_NAME", "write_report"]

REPORT_NAME: Final = "report.html"

_COSTS: Final = (
    ("frames_per_episode", "frames looked at per episode", "frames"),
    ("tokens_per_episode", "tokens per episode", "tokens"),
    ("seconds_per_episode", "seconds per episode", "seconds"),
)


def write_report(
    out: Path,
    results: Sequence[EvalResult],
    *,
    dataset: Dataset | None = None,
    trajectories: Sequence[Sequence[Trajectory]] | None = None,
    learning_curve: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    descriptions: Mapping[str, Mapping[str, Any]] | None = None,
    figures: Sequence[FigureRows] = (),
    title: str = "VideoZoomer-Gym",
    main: str = "",
    baseline: str = "",
    most_seconds: float = math.inf,
) -> Path:
    """Write `report.html`.

    Args:
        out: the folder to write into.
        results: one for each policy, in the order of the table.
        dataset: where questions, keys and videos of the shown episodes are; without it no episode is shown.
        trajectories: episodes to show, in groups that stand side by side; chosen by a rule when left out.
        learning_curve: rows of numbers by name: `iteration` or `episodes`, and `accuracy`, `reward`, ...
        notes: sentences about how the run was made.
        descriptions: what each run depends on, by run, as `runs.json` holds it.
        figures: further tables: a title, column names, and rows of cells.
        title: of the page.
        main: see `find_headline`.
        baseline: see `find_headline`.
        most_seconds: after which episodes are shown without their frames, which are decoded anew.

    Returns:
        Path of the file.
    """
    headline = find_headline(results, main=main, baseline=baseline)
    if trajectories is None:
        trajectories = choose_trajectories(headline.main, headline.baseline) if headline else ()
    columns = shown_columns(results)
    groups = sorted({one.group for result in results for one in result.groups}, key=lambda name: (name != "task", name))
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=clean_text(title),
            headline=headline.sentence if headline else "No policy was graded.",
            columns=columns,
            rows=[(comparison_cells(result, columns), _style(result, headline)) for result in results],
            cheating_note=cheating_note(results),
            cost_charts=_cost_charts(results, headline),
            significance=_significance(headline),
            figures=[(clean_text(title), columns, rows) for title, columns, rows in figures],
            settings=_settings(results, descriptions),
            learning_chart=draw_learning_chart(learning_curve),
            policies=[policy_label(result) for result in results],
            breakdowns=[
                (clean_text(group), group_rows(results, group)) for group in groups if _is_varied(results, group)
            ],
            episodes=_views(trajectories, dataset, most_seconds),
            shown=_shown_policies(trajectories),
            counts=(sum(map(len, trajectories)), sum(result.episodes for result in results)),
            chance=_chance(dataset),
            errors=_errors(results),
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


def _style(result: EvalResult, headline: Headline | None) -> str:
    if headline and result.run == headline.main.run:
        return "main"
    if headline and headline.baseline and result.run == headline.baseline.run:
        return "baseline"
    return "cheating" if result.reads_key else "other"


def _cost_charts(results: Sequence[EvalResult], headline: Headline | None) -> list[tuple[str, Markup]]:
    """Accuracy against frames, tokens and seconds; a cost that no policy has is left out."""
    charts = []
    for field, axis, unit in _COSTS:
        points = [
            Point(
                label=policy_label(result),
                frames=getattr(result, field),
                accuracy=result.accuracy,
                style=_style(result, headline),
            )
            for result in results
        ]
        charts.append((f"Accuracy against {axis}", draw_frames_chart(points, axis=axis, unit=unit)))
    return [(title, chart) for title, chart in charts if chart]


def _significance(headline: Headline | None) -> str:
    """The paired test behind the headline, as a sentence."""
    if headline is None or headline.baseline is None:
        return ""
    pair = f"{clean_text(headline.main.policy)} minus {clean_text(headline.baseline.policy)}"
    return f"{pair}, question by question: {paired(headline.main, headline.baseline)}."


def _settings(
    results: Sequence[EvalResult], descriptions: Mapping[str, Mapping[str, Any]] | None
) -> list[tuple[str, list[tuple[str, str]]]]:
    """What all runs share, then what each has of its own: (whose, [(setting, value)])."""
    found = [(result, (descriptions or {}).get(result.run)) for result in results]
    known = [(result, one) for result, one in found if one is not None]
    if not known:
        return []
    common, own = shared_settings([one for _, one in known])
    parts = [("all runs", common), *((policy_label(result), one) for (result, _), one in zip(known, own, strict=True))]
    return [
        (whose, [(clean_text(name), clean_text(str(value))) for name, value in settings.items()])
        for whose, settings in parts
        if settings
    ]


def _is_varied(results: Sequence[EvalResult], group: str) -> bool:
    """Whether a group has more than one value: a column that always says the same is no breakdown."""
    return len({one.value for result in results for one in result.groups if one.group == group}) > 1


def _errors(results: Sequence[EvalResult]) -> list[str]:
    """A line for each type of failure: how many episodes of whom ended in it."""
    found: dict[str, list[str]] = {}
    for result in results:
        for name, count in result.errors.items():
            found.setdefault(clean_text(name), []).append(f"{policy_label(result)} {count}")
    return [f"{name}: {', '.join(counts)}" for name, counts in sorted(found.items())]


def _chance(dataset: Dataset | None) -> str:
    """What guessing gives, in percent; empty where nothing has options."""
    chance = math.nan if dataset is None else chance_of(dataset)
    return "" if math.isnan(chance) else f"{100 * chance:.1f}%"


def _shown_policies(trajectories: Sequence[Sequence[Trajectory]]) -> dict[str, str]:
    """Names of the policies whose episodes are shown, each with the word that the page's filters know it by."""
    names = dict.fromkeys(clean_text(one.policy) for group in trajectories for one in group)
    return {name: f"policy-{number}" for number, name in enumerate(names)}


def _views(
    trajectories: Sequence[Sequence[Trajectory]], dataset: Dataset | None, most_seconds: float
) -> list[list[EpisodeView]]:
    """Views of the chosen episodes; one that the dataset does not hold (any more) is left out."""
    if dataset is None:
        return []
    groups: list[list[EpisodeView]] = []
    large, small = plan_thumbnails(sum(map(len, trajectories)), most_seconds=most_seconds)
    for group in trajectories:
        plan = large if sum(map(len, groups)) < FIRST_EPISODES and not large.is_spent else small
        try:
            groups.append([view_episode(trajectory, dataset, plan) for trajectory in group])
        except UnknownEpisode:
            continue
    return groups
