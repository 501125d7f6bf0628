"""From episode records to the figures of a table: `EvalResult` for one policy, `GroupResult` for one kind of question.

Errors are kept apart: accuracy counts the episodes that were graded, and stands beside the same figure with every error
counted as wrong, so that a run cannot look better by failing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vz_agents.trajectory import Trajectory

from .records import EpisodeRecord
from .significance import PairedTest, clustered_standard_error, paired_test
from .statistics import Interval, accuracy, paired_difference

__all__ = [
    "HIDDEN_GROUPS",
    "EvalResult",
    "GroupResult",
    "compare",
    "compare_runs",
    "paired",
    "summarise",
    "value_order",
]

MAX_ERROR_RATE: Final = 0.01
HIDDEN_GROUPS: Final = frozenset({"invalid", "try", "try_group"})
"""Names that say something of a record and are no kind of question to break figures down by."""


_LEVELS: Final = {"easy": 0, "short": 0, "medium": 1, "hard": 2, "long": 2}
_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)


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
    `format_rate` is the share of actions that were legal. `standard_error` is that of accuracy, clustered by video;
    `macro` the mean over tasks; `unparsed` answers were given and could not be read, and are wrong; `invalid` records
    have no right answer, and are left out. Tokens count what a token policy sampled and was
    shown, or what a server says of it.
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
    standard_error: float = math.nan
    macro: float = math.nan
    unparsed: int = 0
    invalid: int = 0
    evidence_coverage: float = math.nan
    tokens_per_episode: float = math.nan
    seconds_per_episode: float = field(default=math.nan, compare=False)
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
    groups = _by_group(graded, seed=seed, resamples=resamples)
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
        standard_error=clustered_standard_error(scores, [record.video_group for record in graded]),
        macro=_mean(group.accuracy.mean for group in groups if group.group == "task"),
        unparsed=sum(_is_unparsed(record.trajectory) for record in graded),
        invalid=sum("invalid" in record.groups for record in records),
        evidence_coverage=_mean_metric(played, "evidence_coverage"),
        tokens_per_episode=_mean(count for one in played if (count := _tokens(one)) is not None),
        seconds_per_episode=_mean(one.seconds for one in played),
        groups=groups,
        records=tuple(records),
    )


def compare(result: EvalResult, baseline: EvalResult, *, seed: int = 0) -> Interval:
    """How much more accurate a policy is than another on the questions that both were graded on."""
    return compare_runs([(result, baseline)], seed=seed)


def compare_runs(runs: Iterable[tuple[EvalResult, EvalResult]], *, seed: int = 0) -> Interval:
    """`compare` over several runs on the same videos, such as seeds: a video is resampled with all its scores."""
    mine, theirs, clusters = (
        [value for part in parts for value in part] for parts in zip(*(_pairs(*run) for run in runs), strict=True)
    )
    return paired_difference(mine, theirs, clusters, seed=seed)


def paired(result: EvalResult, baseline: EvalResult) -> PairedTest:
    """The paired test of two runs on the questions that both were graded on, clustered by video."""
    return paired_test(*_pairs(result, baseline))


def _pairs(result: EvalResult, baseline: EvalResult) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Scores of both, and the video, for each question that both were graded on."""
    others = {record.trajectory.episode_id: record.trajectory.score for record in baseline.records}
    pairs = [
        (float(record.trajectory.score), float(theirs), record.video_group)
        for record in result.records
        if record.trajectory.score is not None and (theirs := others.get(record.trajectory.episode_id)) is not None
    ]
    mine, theirs, clusters = zip(*pairs, strict=True) if pairs else ((), (), ())
    return mine, theirs, clusters


def _is_unparsed(trajectory: Trajectory) -> bool:
    """Whether an answer was given of which nothing could be read."""
    info = trajectory.turns[-1].info if trajectory.turns else {}
    return trajectory.status == "answered" and info.get("action") == "answer" and info.get("parsed") is None


def value_order(value: str) -> tuple[int, list[tuple[int, int, str]]]:
    """What to sort the values of a group by: levels from easy to hard, short to long; numbers in a name by size."""
    level = _LEVELS.get(value.strip().casefold(), len(_LEVELS))
    parts = [part for part in _DIGITS.split(value) if part]
    return level, [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _by_group(graded: Sequence[EpisodeRecord], *, seed: int, resamples: int) -> tuple[GroupResult, ...]:
    """One result for each value of each group, groups by name, values in their order."""
    members: dict[tuple[str, str], list[EpisodeRecord]] = {}
    for record in graded:
        for group, value in record.groups.items():
            if group in HIDDEN_GROUPS:
                continue
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
        for (group, value), rows in sorted(members.items(), key=lambda item: (item[0][0], value_order(item[0][1])))
    )


def _tokens(trajectory: Trajectory) -> float | None:
    """How long the conversation was: what a token policy kept, or what a server told."""
    return trajectory.metrics.get("tokens") if trajectory.tokens is None else float(len(trajectory.tokens))


def _mean_metric(trajectories: Iterable[Trajectory], name: str) -> float:
    return _mean(value for one in trajectories if (value := one.metrics.get(name)) is not None)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
