"""The table of a study: arms with their intervals over seeds, and what the differences between them say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..results import EvalResult, compare_runs
from ..statistics import Interval, accuracy

__all__ = ["StudyResults", "markdown", "pooled", "verdict"]

StudyResults = Mapping[str, Sequence[Mapping[str, EvalResult]]]
"""By the arm's name, for each seed: the results of the cold start (`sft`) and of the finished policy (`policy`)."""


def pooled(results: Sequence[EvalResult]) -> Interval:
    """Accuracy over several runs on the same videos: a video is resampled with what every seed said about it."""
    graded = [record for result in results for record in result.records if record.trajectory.score is not None]
    return accuracy([float(record.trajectory.score or 0.0) for record in graded], [one.video_group for one in graded])


def _difference(mine: Sequence[EvalResult], theirs: Sequence[EvalResult]) -> str:
    """A paired difference over seeds in points, with its 95% interval."""
    return _points(compare_runs(zip(mine, theirs, strict=True)))


def _points(found: Interval) -> str:
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def markdown(results: StudyResults, *, baseline: str, labels: Mapping[str, str]) -> str:
    """The table of a study.

    Args:
        results: what `run_arms` returned.
        baseline: the arm that the others are compared with.
        labels: what the table calls an arm.

    Returns:
        Markdown: a row an arm, with accuracy after both stages, and the difference from the baseline.
    """
    head = ["arm", "after the cold start %", "after PPO % (95%)", "zooms", "frames", "PPO - cold start", "against"]
    rows = [[*head[:-1], f"against {labels[baseline]}"], ["---"] * len(head)]
    theirs = [found["policy"] for found in results[baseline]]
    for name, runs in results.items():
        first, last = ([found[which] for found in runs] for which in ("sft", "policy"))
        rows.append(
            [
                labels[name],
                str(pooled(first)),
                str(pooled(last)),
                f"{_mean(run.zooms_per_episode for run in last):.2f}",
                f"{_mean(run.frames_per_episode for run in last):.1f}",
                _difference(last, first),
                "" if name == baseline else _difference(last, theirs),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def verdict(results: StudyResults, *, baseline: str, labels: Mapping[str, str]) -> str:
    """Which arms differ from the baseline by more than chance explains, and which cannot be told apart from it."""
    theirs = [found["policy"] for found in results[baseline]]
    clear, unclear = [], []
    for name, runs in results.items():
        if name == baseline:
            continue
        found = compare_runs(zip([run["policy"] for run in runs], theirs, strict=True))
        (unclear if found.holds(0.0) else clear).append(f"{labels[name]}, {_points(found)}")
    told = f"Told apart from {labels[baseline]}: {'; '.join(clear) or 'none'}."
    return f"{told} Not told apart: {'; '.join(unclear)}." if unclear else told
