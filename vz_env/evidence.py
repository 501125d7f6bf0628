"""How well the zooms of an episode found the evidence. For the end of an episode only: it reads the key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .episode import Segment
from .scoring import total_seconds, union_segments

__all__ = ["evidence_coverage", "is_evidence_hit"]


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
