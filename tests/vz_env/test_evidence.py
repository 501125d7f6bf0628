"""Evidence metrics."""

from __future__ import annotations

import pytest

from vz_env.episode import Segment
from vz_env.evidence import evidence_coverage, is_evidence_hit

EVIDENCE = (Segment(10.0, 12.0), Segment(20.0, 22.0))


@pytest.mark.parametrize(
    ("times", "expected"), [([], False), ([9.99, 12.0, 22.0], False), ([10.0], True), ([1.0, 21.9], True)]
)
def test_is_evidence_hit(times, expected):
    assert is_evidence_hit(times, EVIDENCE) is expected


@pytest.mark.parametrize(
    ("zooms", "expected"),
    [
        ([], 0.0),
        ([Segment(0.0, 10.0)], 0.0),
        ([Segment(9.0, 11.0)], 0.25),
        ([Segment(9.0, 11.0), Segment(10.0, 11.0)], 0.25),
        ([Segment(0.0, 100.0)], 1.0),
        ([Segment(10.0, 12.0), Segment(21.0, 30.0)], 0.75),
    ],
)
def test_evidence_coverage(zooms, expected):
    assert evidence_coverage(zooms, EVIDENCE) == pytest.approx(expected)


def test_evidence_coverage_of_the_unknown():
    assert evidence_coverage([Segment(0.0, 1.0)], ()) is None
