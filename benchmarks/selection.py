"""Which episodes a report shows: picked by a rule and not by hand, the same ones every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vz_agents.trajectory import Trajectory

from .results import EvalResult
from .viewer import verdict_of

__all__ = ["choose_trajectories"]


def choose_trajectories(
    main: EvalResult, baseline: EvalResult | None = None, *, limit: int = 10, others: Sequence[EvalResult] = ()
) -> list[tuple[Trajectory, ...]]:
    """Pick episodes worth reading, by a rule and not by hand.

    Up to three questions that `main` got right and `baseline` wrong, both shown; one the other way round; then two that
    `main` got wrong, one that failed or ran out, and all the rest of it until `limit` is reached: right ones, wrong
    ones, those that failed, those that nobody graded. Where there is room, those of `others` follow. Within each kind
    the order is by a hash of the episode's id; in pairs, questions whose evidence `main` saw come first.

    Returns:
        Groups of one or two trajectories, together at most `limit`; none twice.
    """
    theirs = {} if baseline is None else {one.episode_id: one for one in baseline.trajectories}
    mine = _in_order(main)
    pairs = [(one, theirs[one.episode_id]) for one in mine if one.episode_id in theirs]
    pairs.sort(key=lambda pair: not pair[0].metrics.get("evidence_hit"))  # first those it won by looking, not by luck
    won = [pair for pair in pairs if verdict_of(pair[0]) == "right" and verdict_of(pair[1]) == "wrong"]
    lost = [pair for pair in pairs if verdict_of(pair[0]) == "wrong" and verdict_of(pair[1]) == "right"]
    shown = {pair[0].episode_id for pair in lost[:1]}
    wrong = [(one,) for one in mine if one.status == "answered" and verdict_of(one) == "wrong"]
    wrong = [group for group in wrong if group[0].episode_id not in shown]
    ended = [(one,) for one in mine if one.status != "answered"]
    right = [(one,) for one in mine if verdict_of(one) == "right"]
    ordered = [*won[:3], *lost[:1], *wrong[:2], *ended[:1], *right, *wrong[2:], *ended[1:], *((one,) for one in mine)]
    ordered += [(one,) for other in others if other.run != main.run for one in _in_order(other)]
    chosen: list[tuple[Trajectory, ...]] = []
    seen: set[int] = set()
    count = 0
    for group in ordered:
        if not any(id(one) in seen for one in group) and count + len(group) <= limit:
            seen |= {id(one) for one in group}
            count += len(group)
            chosen.append(group)
    return chosen


def _in_order(result: EvalResult) -> list[Trajectory]:
    return sorted(result.trajectories, key=lambda one: hashlib.sha256(one.episode_id.encode()).digest())
