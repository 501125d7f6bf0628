"""From episode records to the figures of a table: `EvalResult` for one policy, `GroupResult` for one kind of question.

Errors are kept apart: accuracy counts the episodes that were graded, and stands beside the same figure with every error
counted as wrong, so that a run cannot look better by failing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vz_agents.trajectory import Trajectory

from .records import EpisodeRecord
from .statistics import Interval, accuracy, paired_difference

__all__ = ["EvalResult", "GroupResult", "compare", "compare_runs", "summarise"]

MAX_ERROR_RATE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """Accuracy on the questions that share a group's value, such as task=count."""

    group: str
    value: str
    episodes: int
    accuracy: Interval


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EvalResult:
    """One policy on one split.

    `episodes` were played; `graded` of them have a score; `errors` counts `error:*` statuses by type. Rates are in
    [0, 1], frames and zooms are means over episodes that did not fail, and any of them is NaN when nothing was counted.
    `format_rate` is the share of actions that were legal.
    """

    policy: str
    run: str
    dataset: str
    split: str
    reads_key: bool
    episodes: int
    graded: int
    accuracy: Interval
    accuracy_errors_wrong: float
    frames_per_episode: float
    zooms_per_episode: float
    evidence_hit_rate: float
    format_rate: float
    errors: Mapping[str, int]
    groups: tuple[GroupResult, ...] = ()
    records: tuple[EpisodeRecord, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        """Show the headline figures."""
        return f"EvalResult({self.policy!r}, {self.episodes} episodes, accuracy {self.accuracy})"

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The trajectories behind the figures, in the dataset's order."""
        return tuple(record.trajectory for record in self.records)

    @property
    def error_rate(self) -> float:
        """Share of episodes that ended in `error:*`, 0.0 when none was played."""
        return sum(self.errors.values()) / self.episodes if self.episodes else 0.0

    @property
    def has_too_many_errors(self) -> bool:
        """Whether so many episodes failed that the figures should not be trusted."""
        return self.error_rate > MAX_ERROR_RATE


def summarise(records: Sequence[EpisodeRecord], *, seed: int = 0, resamples: int = 2000) -> EvalResult:
    """Reduce the records of one run to its figures.

    Args:
        records: all of one run, in the dataset's order; may be empty.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        The figures, with the records behind them.
    """
    played = [record.trajectory for record in records if not record.trajectory.is_error]
    graded = [record for record in records if record.trajectory.score is not None]
    errors = Counter(record.trajectory.status for record in records if record.trajectory.is_error)
    scores = [float(record.trajectory.score or 0.0) for record in graded]
    actions = [turn.info.get("action") for trajectory in played for turn in trajectory.turns]
    first = records[0].trajectory if records else Trajectory(episode_id="")
    countable = len(graded) + sum(errors.values())
    return EvalResult(
        policy=first.policy,
        run=records[0].run if records else "",
        dataset=next((one.dataset for one in played if one.dataset), ""),
        split=next((one.split for one in played if one.split), ""),
        reads_key=any(record.reads_key for record in records),
        episodes=len(records),
        graded=len(graded),
        accuracy=accuracy(scores, [record.video_group for record in graded], seed=seed, resamples=resamples),
        accuracy_errors_wrong=sum(scores) / countable if countable else math.nan,
        frames_per_episode=_mean_metric(played, "frames_used"),
        zooms_per_episode=_mean_metric(played, "zooms"),
        evidence_hit_rate=_mean_metric(played, "evidence_hit"),
        format_rate=_mean(float(action != "invalid") for action in actions),
        errors=dict(sorted(errors.items())),
        groups=_by_group(graded, seed=seed, resamples=resamples),
        records=tuple(records),
    )


def compare(result: EvalResult, baseline: EvalResult, *, seed: int = 0) -> Interval:
    """How much more accurate a policy is than another on the questions that both were graded on."""
    return compare_runs([(result, baseline)], seed=seed)


def compare_runs(runs: Iterable[tuple[EvalResult, EvalResult]], *, seed: int = 0) -> Interval:
    """`compare` over several runs on the same videos, such as seeds: a video is resampled with all its scores."""
    pairs: list[tuple[float, float, str]] = []
    for result, baseline in runs:
        others = {record.trajectory.episode_id: record.trajectory.score for record in baseline.records}
        pairs += [
            (score, other, record.video_group)
            for record in result.records
            if (score := record.trajectory.score) is not None
            and (other := others.get(record.trajectory.episode_id)) is not None
        ]
    mine, theirs, clusters = zip(*pairs, strict=True) if pairs else ((), (), ())
    return paired_difference(mine, theirs, clusters, seed=seed)


def _by_group(graded: Sequence[EpisodeRecord], *, seed: int, resamples: int) -> tuple[GroupResult, ...]:
    """One result for each value of each group, sorted by name."""
    members: dict[tuple[str, str], list[EpisodeRecord]] = {}
    for record in graded:
        for group, value in record.groups.items():
            members.setdefault((group, value), []).append(record)
    return tuple(
        GroupResult(
            group=group,
            value=value,
            episodes=len(rows),
            accuracy=accuracy(
                [float(row.trajectory.score or 0.0) for row in rows],
                [row.video_group for row in rows],
                seed=seed,
                resamples=resamples,
            ),
        )
        for (group, value), rows in sorted(members.items())
    )


def _mean_metric(trajectories: Iterable[Trajectory], name: str) -> float:
    return _mean(value for one in trajectories if (value := one.metrics.get(name)) is not None)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
