"""Results read again under the rules of a benchmark: another parser, a judge's verdicts, another denominator.

What an environment graded stays as it is in the results; this derives figures from them, so that one run can be shown
under the strict rules and under those of the official scorer side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from vz_agents.trajectory import Trajectory
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError

from .parsers import find_parser, mmmu_open_is_right
from .records import EpisodeRecord

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["DENOMINATORS", "Denominator", "Graded", "counted", "grade_records", "zoomed_segments"]

Denominator = Literal["all", "official"]
DENOMINATORS: Final = ("all", "official")
Status = Literal["graded", "unparsed", "ungraded", "invalid", "error"]

OFFICIALLY_DROPPED: Final[Mapping[str, frozenset[str]]] = {
    "LVBench": frozenset({"error"}),
    "CGBench": frozenset({"error", "unparsed"}),
    "LongVideoReason": frozenset({"error"}),
    "NExTGQA": frozenset({"error"}),
    "VNBench": frozenset({"error"}),
}
"""What official scripts leave out of the denominator, by dataset: missing predictions, or unreadable ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One result under some rules.

    `score` in [0, 1]; None when it is ungraded (no judge, hidden answer), invalid (the record has no right answer) or
    an error. `status` says which. An unparsed answer is a wrong one: its score is 0.
    """

    episode: Episode
    key: AnswerKey
    trajectory: Trajectory
    score: float | None
    status: Status


def grade_records(
    records: Iterable[EpisodeRecord],
    dataset: Dataset,
    *,
    parser: str = "strict",
    verdicts: Mapping[str, float] | None = None,
) -> list[Graded]:
    """Grade results anew.

    Args:
        records: of one run.
        dataset: they were played on.
        parser: a key of `PARSERS`; `strict` keeps what the environment graded.
        verdicts: a judge's scores in [0, 1] by episode id.

    Raises:
        ConfigError: no such parser.
        UnknownEpisode: the dataset does not hold an episode of the results.
    """
    find_parser(parser)
    return [
        _grade(record.trajectory, dataset, parser, (verdicts or {}).get(record.trajectory.episode_id))
        for record in records
    ]


def _grade(trajectory: Trajectory, dataset: Dataset, parser: str, verdict: float | None) -> Graded:
    episode, key = dataset.episode(trajectory.episode_id), dataset.key(trajectory.episode_id)
    score, status = _score(trajectory, episode, key, parser, verdict)
    return Graded(episode=episode, key=key, trajectory=trajectory, score=score, status=status)


def _score(
    trajectory: Trajectory, episode: Episode, key: AnswerKey, parser: str, verdict: float | None
) -> tuple[float | None, Status]:
    if trajectory.is_error or "invalid" in episode.groups:
        return None, "error" if trajectory.is_error else "invalid"
    if key.needs_judge:
        return verdict, "ungraded" if verdict is None else "graded"
    info = trajectory.turns[-1].info if trajectory.turns else {}
    as_played = trajectory.score, _status(trajectory.score, is_parsed=info.get("parsed") is not None)
    if parser == "strict":
        return as_played
    reply = "\n".join(turn.action for turn in trajectory.turns[-1:])
    if parser == "videozoomer_openr1":  # its text is that of all rounds together
        reply = "\n".join(turn.action for turn in trajectory.turns)
    if episode.answer_kind == "choice":
        found = find_parser(parser)(reply, episode.options)
        return float(bool(set(found) & set(key.answer_indices))), "graded" if found else "unparsed"
    if parser == "mmmu" and episode.answer_kind == "text":
        return float(mmmu_open_is_right(reply, key.answer_texts)), "graded"
    return as_played


def _status(score: float | None, *, is_parsed: bool) -> Status:
    if score is None:
        return "ungraded"
    return "graded" if is_parsed else "unparsed"


def counted(name: str, graded: Sequence[Graded], denominator: Denominator = "all") -> list[tuple[Graded, float]]:
    """The questions that count, each with its score.

    Args:
        name: of the dataset.
        graded: results.
        denominator: `all` counts every question that has a right answer, failed ones as wrong, and leaves invalid
            records out; `official` counts invalid records as wrong and drops what the official script drops.

    Raises:
        ConfigError: an unknown denominator.
    """
    if denominator not in DENOMINATORS:
        raise ConfigError(f"denominator wants 'all' or 'official', got {denominator!r}")
    dropped = {"ungraded", "invalid"}
    if denominator == "official":
        dropped = {"ungraded", *OFFICIALLY_DROPPED.get(name, ())}
    return [(one, one.score or 0.0) for one in graded if one.status not in dropped]


def zoomed_segments(trajectory: Trajectory) -> list[Segment]:
    """The segments of the zooms that were granted, in order: a policy's claim of where the answer shows."""
    return [Segment(*turn.info["segment"]) for turn in trajectory.turns if turn.info.get("segment")]
