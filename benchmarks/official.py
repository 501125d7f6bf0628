"""The figures that a benchmark's papers and leaderboards print, from results: averages, break-downs, overlaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vz_env.episode import Segment
from vz_env.scoring import segment_iou

from .grading import Denominator, Graded, counted, zoomed_segments

__all__ = ["Figure", "clue_recovery_rate", "knowledge_gain", "official_figures"]

Counted = Sequence[tuple[Graded, float]]
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: its name as the benchmark writes it, its value, over how many questions, and the rule behind it.

    `value` is in [0, 1] except where `rule` says otherwise; NaN when nothing was counted.
    """

    name: str
    value: float
    questions: int
    rule: str


def official_figures(name: str, graded: Sequence[Graded], *, denominator: Denominator = "all") -> list[Figure]:
    """All figures of a benchmark.

    Args:
        name: of the dataset; one that is no benchmark gets micro, macro and the break-downs of its groups.
        graded: the results of one run.
        denominator: see `counted`.
    """
    rows = counted(name, graded, denominator)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(rows)
    return [*_averages(rows, "task"), *_by_group(rows, _groups_of(rows))]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan


def _figure(name: str, rows: Counted, rule: str = "mean over questions") -> Figure:
    return Figure(name=name, value=_mean(value for _, value in rows), questions=len(rows), rule=rule)


def _split(rows: Counted, group: str) -> dict[str, list[tuple[Graded, float]]]:
    """Rows by the value of a group, sorted by it; those without the group are left out."""
    parts: dict[str, list[tuple[Graded, float]]] = {}
    for one, value in rows:
        if group in one.episode.groups:
            parts.setdefault(one.episode.groups[group], []).append((one, value))
    return dict(sorted(parts.items()))


def _macro(name: str, parts: Mapping[str, Counted], rule: str) -> Figure:
    value = _mean(_mean(score for _, score in part) for part in parts.values())
    return Figure(name=name, value=value, questions=sum(map(len, parts.values())), rule=rule)


def _averages(rows: Counted, group: str) -> list[Figure]:
    figures = [_figure("micro", rows)]
    parts = _split(rows, group)
    if len(parts) > 1:
        figures.append(_macro("macro", parts, f"mean over {len(parts)} values of {group}"))
    return figures


def _by_group(rows: Counted, groups: Iterable[str]) -> list[Figure]:
    return [
        _figure(f"{group} {value}", part)
        for group in groups
        for value, part in _split(rows, group).items()
        if len(_split(rows, group)) > 1
    ]


def _groups_of(rows: Counted) -> list[str]:
    names = {name for one, _ in rows for name in one.episode.groups}
    return sorted(names - {"invalid", "try", "try_group"})


def _mlvu(rows: Counted) -> list[Figure]:
    """Micro and macro over the multiple-choice tasks; answers in free words on their own scale of 2 to 10."""
    choice = [row for row in rows if row[0].episode.groups.get("kind") == "choice"]
    generation = [row for row in rows if row[0].episode.groups.get("kind") == "generation"]
    tasks = _split(choice, "task")
    figures = [
        _figure("micro", choice, "mean over multiple-choice questions: what most papers print"),
        _macro("M-Avg (macro)", tasks, f"mean over {len(tasks)} tasks: the official average"),
        *_by_group(choice, ["task"]),
    ]
    marks = [
        Figure(name=f"task {task}", value=2 + 8 * _figure("", part).value, questions=len(part), rule="two marks of 1-5")
        for task, part in _split(generation, "task").items()
    ]
    if marks:
        mean = _mean(one.value for one in marks)
        figures += [
            *marks,
            Figure(name="G-Avg", value=mean, questions=len(generation), rule="mean of SSC and VS, 2-10"),
        ]
    return figures


def _lvbench(rows: Counted) -> list[Figure]:
    """A question counts under each of its labels."""
    labels: dict[str, list[tuple[Graded, float]]] = {}
    for one, value in rows:
        for label in one.episode.groups.get("task", "").split(", "):
            labels.setdefault(label, []).append((one, value))
    return [
        _figure("overall", rows),
        *(_figure(f"label {label}", part, "counted under each label") for label, part in sorted(labels.items())),
        *_by_group(rows, ["genre"]),
    ]


def _videommmu(rows: Counted) -> list[Figure]:
    tracks = _split(rows, "track")
    return [
        _macro("overall", tracks, f"mean over {len(tracks)} tracks"),
        _figure("micro", rows),
        *(_figure(f"track {track}", part) for track, part in tracks.items()),
        *_by_group(rows, ["discipline"]),
    ]


def _nextqa(rows: Counted) -> list[Figure]:
    kinds = _split(rows, "kind")
    return [
        _figure("overall", rows),
        *(_figure(f"Acc_{kind[0].upper()}", part) for kind, part in kinds.items()),
        *_by_group(rows, ["task"]),
    ]


def _overlaps(predicted: Segment, truths: Sequence[Segment]) -> tuple[float, float]:
    """The best intersection over prediction, and the best intersection over union, over the true segments."""
    shared = [(part.duration_seconds if (part := predicted.intersection(one)) else 0.0, one) for one in truths]
    length = predicted.duration_seconds
    over_prediction = max((seconds / length for seconds, _ in shared), default=0.0)
    over_union = max((seconds / (length + one.duration_seconds - seconds) for seconds, one in shared), default=0.0)
    return over_prediction, over_union


def _nextgqa(rows: Counted) -> list[Figure]:
    """Grounding by the last zoom; a policy that never zoomed has grounded nothing."""
    overlaps = []
    for one, _ in rows:
        zooms = zoomed_segments(one.trajectory)
        overlaps.append(_overlaps(zooms[-1], one.key.evidence) if zooms else (0.0, 0.0))
    figures = [_figure("Acc@QA", rows)]
    both = [float(value >= 0.5 and iop >= 0.5) for (_, value), (iop, _) in zip(rows, overlaps, strict=True)]
    named = {
        "Acc@GQA": both,
        **{name: [pair[index] for pair in overlaps] for index, name in enumerate(("mIoP", "mIoU"))},
        **{f"IoP@{level}": [float(iop >= level) for iop, _ in overlaps] for level in (0.3, 0.5)},
        **{f"IoU@{level}": [float(iou >= level) for _, iou in overlaps] for level in (0.3, 0.5)},
    }
    rule = "the last zoom against the best true segment"
    figures += [
        Figure(name=name, value=_mean(values), questions=len(rows), rule=rule) for name, values in named.items()
    ]
    return [*figures, *_by_group(rows, ["kind", "task"])]


def _cgbench(rows: Counted) -> list[Figure]:
    """Clues by the union of all zooms."""
    ious = [segment_iou(zoomed_segments(one.trajectory), one.key.evidence) for one, _ in rows]
    recalls = [_mean(float(iou >= level) for level in THRESHOLDS) for iou in ious]
    rights = [
        _mean(float(value >= 0.5 and iou >= level) for level in THRESHOLDS)
        for (_, value), iou in zip(rows, ious, strict=True)
    ]
    rule = "zooms against clue intervals, as unions"
    return [
        _figure("long-acc", rows),
        Figure(name="mIoU", value=_mean(ious), questions=len(rows), rule=rule),
        Figure(name="rec@IoU", value=_mean(recalls), questions=len(rows), rule=f"{rule}, mean over 0.1 to 0.5"),
        Figure(name="acc@IoU", value=_mean(rights), questions=len(rows), rule="right and overlapping, over 0.1 to 0.5"),
        *_by_group(rows, ["task", "domain"]),
    ]


def _vnbench(rows: Counted) -> list[Figure]:
    """A question counts when all its tries are right; the overall figure is the mean over types."""
    types: dict[str, list[float]] = {}
    groups: dict[tuple[str, str], list[float]] = {}
    for one, value in rows:
        groups.setdefault((one.episode.groups["task"], one.episode.groups["try_group"]), []).append(value)
    for (kind, _), values in sorted(groups.items()):
        types.setdefault(kind, []).append(float(all(value >= 0.5 for value in values)))
    overall = _mean(_mean(values) for values in types.values())
    rule = "all tries of a question right"
    return [
        Figure(name="overall", value=overall, questions=len(groups), rule=f"{rule}; mean over types"),
        *(Figure(name=f"type {kind}", value=_mean(v), questions=len(v), rule=rule) for kind, v in types.items()),
        _figure("single tries", rows, "each try for itself"),
    ]


def _charades(rows: Counted) -> list[Figure]:
    levels = [_figure("mIoU", rows, "overlap of the answer with the true span")]
    for level in (0.3, 0.5, 0.7):
        share = [(one, float(value >= level)) for one, value in rows]
        levels.append(_figure(f"R1@{level}", share, f"share with an overlap of at least {level}"))
    return levels


_SPECIAL: Final[Mapping[str, Callable[[Counted], list[Figure]]]] = {
    "MLVU": _mlvu,
    "LVBench": _lvbench,
    "VideoMMMU": _videommmu,
    "NExTQA": _nextqa,
    "NExTGQA": _nextgqa,
    "CGBench": _cgbench,
    "VNBench": _vnbench,
    "CharadesSTA": _charades,
}


def knowledge_gain(before: float, after: float) -> float:
    """VideoMMMU's delta-knowledge in percent: what watching the lecture added of what was missing.

    Args:
        before: accuracy on the adaptation track with the question's image and without the video, in [0, 1].
        after: accuracy with the video.

    Returns:
        100 * (after - before) / (1 - before); NaN when nothing was missing.
    """
    return 100.0 * (after - before) / (1.0 - before) if before < 1.0 else math.nan


def clue_recovery_rate(long_accuracy: float, clue_accuracy: float) -> float:
    """CG-Bench's CRR: how much of the accuracy on the clues alone is left on the whole video; NaN for no accuracy."""
    return min(long_accuracy, clue_accuracy) / clue_accuracy if clue_accuracy > 0 else math.nan
