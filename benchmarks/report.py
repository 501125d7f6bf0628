"""`report.html`: one file, readable from the disk, that shows what was measured and how.

Everything that comes from a dataset, a model or a file is untrusted: the template escapes it, a content policy forbids
scripts and every outside address, and control characters are taken out before a page sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from vz_agents.trajectory import Trajectory
from vz_env.errors import UnknownEpisode

from .charts import Point, draw_frames_chart, draw_learning_chart
from .headline import Headline, find_headline
from .records import write_atomically
from .results import EvalResult
from .selection import choose_trajectories
from .tables import COLUMNS, cheating_note, comparison_cells, group_rows, policy_label
from .viewer import EpisodeView, clean_text, view_episode

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["REPORT_NAME", "write_report"]

REPORT_NAME: Final = "report.html"


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
            rows=[(comparison_cells(result), _style(result, headline)) for result in results],
            cheating_note=cheating_note(results),
            frames_chart=draw_frames_chart(_point(result, headline) for result in results),
            learning_chart=draw_learning_chart(learning_curve),
            policies=[policy_label(result) for result in results],
            breakdowns=[
                (clean_text(group), group_rows(results, group)) for group in groups if _is_varied(results, group)
            ],
            episodes=_views(trajectories, dataset),
            errors=[
                (policy_label(result), clean_text(name), count)
                for result in results
                for name, count in result.errors.items()
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


def _style(result: EvalResult, headline: Headline | None) -> str:
    if headline and result.run == headline.main.run:
        return "main"
    if headline and headline.baseline and result.run == headline.baseline.run:
        return "baseline"
    return "cheating" if result.reads_key else "other"


def _point(result: EvalResult, headline: Headline | None) -> Point:
    return Point(
        label=policy_label(result),
        frames=result.frames_per_episode,
        accuracy=result.accuracy,
        style=_style(result, headline),
    )


def _is_varied(results: Sequence[EvalResult], group: str) -> bool:
    """Whether a group has more than one value: a column that always says the same is no breakdown."""
    return len({one.value for result in results for one in result.groups if one.group == group}) > 1


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
