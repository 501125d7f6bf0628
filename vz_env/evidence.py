"""How well the zooms of an episode found the evidence. For the end of an episode only: it reads the key.

Of every metric None means that it cannot be said: no evidence is known, or nothing was shown. Counts that may be None
are floats, because the arrays in which vector environments gather infos have no None for integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .episode import Segment
from .scoring import segment_iou, total_seconds, union_segments

__all__ = [
    "evidence_coverage",
    "evidence_frames",
    "evidence_iou",
    "evidence_metrics",
    "first_hit_turn",
    "is_evidence_hit",
    "redundancy",
]

Look = tuple[int, Segment, Sequence[float]]
"""A zoom as metrics see it: the turn (from 1) that asked for it, its effective segment, the moments it showed."""


def evidence_metrics(looks: Sequence[Look], *, new_frames: int, evidence: Sequence[Segment]) -> dict[str, Any]:
    """Every metric of an episode, by the name it has in `info`.

    Args:
        looks: the zooms, in order.
        new_frames: how many frames of the zooms showed a moment that had not been shown before.
        evidence: where the answer can be seen.

    Returns:
        `evidence_hit`, `evidence_coverage`, `evidence_iou`, `evidence_frames`, `first_hit_turn`, `redundancy`.
    """
    shown = [(turn, segment, times) for turn, segment, times in looks if len(times)]
    segments = [segment for _, segment, _ in shown]
    times = [time for _, _, moments in shown for time in moments]
    return {
        "evidence_hit": is_evidence_hit(times, evidence) if evidence else None,
        "evidence_coverage": evidence_coverage(segments, evidence),
        "evidence_iou": evidence_iou(segments, evidence),
        "evidence_frames": evidence_frames(times, evidence),
        "first_hit_turn": first_hit_turn(shown, evidence),
        "redundancy": redundancy(len(times), new_frames),
    }


def is_evidence_hit(timestamps_seconds: Iterable[float], evidence: Sequence[Segment]) -> bool:
    """Whether any of the moments looked at lies inside the evidence."""
    spans = union_segments(evidence)
    return any(span.contains(time) for time in timestamps_seconds for span in spans)


def evidence_coverage(zooms: Iterable[Segment], evidence: Sequence[Segment]) -> float | None:
    """Share of the evidence, in seconds, that lies inside zoomed segments; None when no evidence is known."""
    truth = union_segments(evidence)
    if not truth:
        return None
    shared = [zoom.intersection(span) for zoom in union_segments(zooms) for span in truth]
    return min(1.0, total_seconds(part for part in shared if part is not None) / total_seconds(truth))


def evidence_iou(zooms: Iterable[Segment], evidence: Sequence[Segment]) -> float | None:
    """Intersection over union of all zoomed time and the evidence, in seconds; None when no evidence is known."""
    return segment_iou(zooms, evidence) if evidence else None


def evidence_frames(timestamps_seconds: Iterable[float], evidence: Sequence[Segment]) -> float | None:
    """How many of the frames that zooms showed lie inside the evidence; None when no evidence is known."""
    spans = union_segments(evidence)
    return float(sum(any(s.contains(time) for s in spans) for time in timestamps_seconds)) if spans else None


def first_hit_turn(looks: Iterable[Look], evidence: Sequence[Segment]) -> float | None:
    """The first turn, from 1, whose zoom showed a moment of the evidence; None when none did."""
    return next((float(turn) for turn, _, times in looks if is_evidence_hit(times, evidence)), None)


def redundancy(frames: int, new_frames: int) -> float | None:
    """Share of the frames of zooms whose moment had been shown before; None when no zoom showed a frame."""
    return 1.0 - new_frames / frames if frames else None
