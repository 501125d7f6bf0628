"""Which trajectories are fit to be imitated: the filters of a cold start, each with a name for what it rejects.

What is always asked for: no fault, no invalid action, an answer, and the right one. The rest is optional and off by
default. Filters run in the order of `REASONS` and the first that rejects a trajectory is the one that is counted, so
the counts add up to what was played.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from vz_env.datasets.dataset import Dataset

from .trajectory import Trajectory

__all__ = ["REASONS", "ExemplarConfig", "Exemplars", "answered_by_overview", "choose_exemplars", "fault_of"]

REASONS: Final = {
    "error:<type>": "the video, the server or the teacher failed",
    "invalid_action": "a reply was no legal action",
    "out_of_budget": "it ended without an answer (also: invalid_limit, stopped)",
    "wrong_answer": "the answer is not the right one",
    "no_thought": "a reply has nothing in <think> before its action (thought)",
    "clamped_zoom": "a zoom reached out of the video (sound-zooms)",
    "stale_zoom": "a zoom showed no frame that had not been shown (sound-zooms)",
    "no_look": "it answered without a zoom what the overview does not answer (look-first)",
    "evidence_missed": "no frame that it saw lies in the evidence (evidence)",
    "too_long": "it wrote more than was asked for (max-chars)",
    "duplicate": "another one of the same question does the same (distinct)",
    "unbalanced": "there are too many of as many turns (most-alike)",
}
"""What a trajectory is rejected for, in the order of the filters, and the option behind it."""

_THOUGHT: Final = re.compile(r"\s*<think>\s*[^\s<]")
_THINKING: Final = re.compile(r"<think>[^<]*</think>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarConfig:
    """How exemplars are collected, and what is asked of them besides a right answer without an invalid action."""

    attempts: int = 1
    """Times the teacher plays each episode."""
    retries: int = 1
    """Times an attempt is made again that a fault of the video, the server or the teacher ended."""
    thought: bool = False
    """Only with something in <think> before every action."""
    sound_zooms: bool = False
    """Only with zooms that lie inside the video and show frames not shown before."""
    evidence: bool = False
    """Only where a frame that was seen lies in the evidence, for questions whose evidence is known."""
    look_first: bool = False
    """Only with a zoom before the answer, but for questions that the overview answers: each of its evidence's spans
    holds a frame of the overview."""
    max_chars: int = 0
    """Most characters that the policy may write in an episode; 0: any number."""
    distinct: bool = False
    """Only one of a question's trajectories that do the same."""
    most_alike: float = 1.0
    """Largest share of the exemplars that may have the same number of turns; the surplus is drawn by lot."""


@dataclass(frozen=True, slots=True)
class Exemplars:
    """What was kept, and why the rest was not: counts by reason, in the order of the filters."""

    kept: list[Trajectory]
    rejected: dict[str, int] = field(default_factory=dict)

    @property
    def played(self) -> int:
        """How many there were."""
        return len(self.kept) + sum(self.rejected.values())


def choose_exemplars(
    played: Sequence[Trajectory], dataset: Dataset, config: ExemplarConfig, *, seed: int = 0
) -> Exemplars:
    """Keep what is fit to be imitated.

    Args:
        played: trajectories of the dataset's episodes.
        dataset: a train split: its keys say where the evidence is.
        config: what is asked for.
        seed: of the lot that thins out what there is too much of.

    Returns:
        The trajectories that were kept, in order, and counts of the others by reason.
    """
    reasons = [fault_of(trajectory, dataset, config) for trajectory in played]
    if config.distinct:
        _mark_duplicates(played, reasons)
    if config.most_alike < 1.0:
        _mark_surplus(played, reasons, config.most_alike, seed)
    counts = Counter(reason for reason in reasons if reason)
    return Exemplars(
        [trajectory for trajectory, reason in zip(played, reasons, strict=True) if not reason],
        {reason: counts[reason] for reason in sorted(counts, key=_order)},
    )


def fault_of(trajectory: Trajectory, dataset: Dataset, config: ExemplarConfig | None = None) -> str:
    """Why a trajectory is not fit to be imitated; empty when it is."""
    config = config or ExemplarConfig()
    if trajectory.is_error:
        return trajectory.status
    if trajectory.metrics.get("invalid_actions"):
        return "invalid_action"
    if trajectory.status != "answered":
        return trajectory.status
    if trajectory.score != 1.0:
        return "wrong_answer"
    return _style_fault(trajectory, dataset, config)


def _style_fault(trajectory: Trajectory, dataset: Dataset, config: ExemplarConfig) -> str:
    """The first of the optional filters that rejects a right trajectory."""
    zooms = [turn.info for turn in trajectory.turns if turn.info.get("action") == "zoom"]
    is_clear = (config.look_first or config.evidence) and answered_by_overview(trajectory, dataset)
    has_evidence = config.evidence and bool(dataset.key(trajectory.episode_id).evidence)
    faults = {
        "no_thought": config.thought and not all(_THOUGHT.match(turn.action) for turn in trajectory.turns),
        "clamped_zoom": config.sound_zooms and any(zoom.get("clamped") for zoom in zooms),
        "stale_zoom": config.sound_zooms and not all(zoom.get("frames_new") for zoom in zooms),
        "no_look": config.look_first and not zooms and not is_clear,
        "evidence_missed": has_evidence and not (is_clear or trajectory.metrics.get("evidence_hit")),
        "too_long": 0 < config.max_chars < sum(len(turn.action) for turn in trajectory.turns),
    }
    return next((reason for reason, is_found in faults.items() if is_found), "")


def answered_by_overview(trajectory: Trajectory, dataset: Dataset) -> bool:
    """Whether the question needs no zoom: its evidence is known, and the overview shows a frame of each of its spans.

    A question about the order of long scenes is such a one; an event that hides between the overview's frames is not.
    Where no evidence is known nothing can be said, and a zoom is wanted.
    """
    evidence = dataset.key(trajectory.episode_id).evidence
    times = trajectory.turns[0].timestamps if trajectory.turns else []
    return bool(evidence) and all(any(span.contains(time) for time in times) for span in evidence)


def _mark_duplicates(played: Sequence[Trajectory], reasons: list[str]) -> None:
    """Keep the first of those that do the same; notes may differ, what is asked and answered may not."""
    seen: set[tuple[Any, ...]] = set()
    for number, trajectory in enumerate(played):
        if reasons[number]:
            continue
        done = [_THINKING.sub("", turn.action).strip() for turn in trajectory.turns]
        what = (trajectory.episode_id, *done)
        if what in seen:
            reasons[number] = "duplicate"
        seen.add(what)


def _mark_surplus(played: Sequence[Trajectory], reasons: list[str], share: float, seed: int) -> None:
    """Thin out the numbers of turns that there are too many of."""
    by_turns: dict[int, list[int]] = defaultdict(list)
    for number, trajectory in enumerate(played):
        if not reasons[number]:
            by_turns[len(trajectory.turns)].append(number)
    most = _cap([len(numbers) for numbers in by_turns.values()], share)
    random = Random(seed)
    for _, numbers in sorted(by_turns.items()):
        for number in random.sample(numbers, max(0, len(numbers) - most)):
            reasons[number] = "unbalanced"


def _cap(counts: Sequence[int], share: float) -> int:
    """The largest cap under which no count is more than a share of all; where the share is too small, equal counts."""
    for cap in range(max(counts, default=0), 0, -1):
        if cap <= share * sum(min(count, cap) for count in counts) + 1e-9:
            return cap
    return min(counts, default=0)


def _order(reason: str) -> int:
    """Where a reason stands in the table: `invalid_limit` and `stopped` beside `out_of_budget`, faults first."""
    names = list(REASONS)
    if reason in REASONS:
        return names.index(reason)
    return 0 if reason.startswith("error:") else names.index("out_of_budget")
