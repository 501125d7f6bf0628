"""Evidence metrics."""

from __future__ import annotations

import pytest

from vz_env.episode import Segment
from vz_env.evidence import (
    evidence_coverage,
    evidence_frames,
    evidence_iou,
    evidence_metrics,
    first_hit_turn,
    is_evidence_hit,
    redundancy,
)

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


LOOKS = [
    (1, Segment(0.0, 4.0), [0.0, 2.0]),
    (3, Segment(9.0, 11.0), [9.0, 10.0]),
    (3, Segment(20.5, 21.5), [20.5, 21.0]),
    (4, Segment(20.0, 22.0), []),  # a zoom that showed nothing counts for nothing
]


def test_evidence_metrics_of_an_episode():
    assert evidence_metrics(LOOKS, new_frames=3, evidence=EVIDENCE) == {
        "evidence_hit": True,
        "evidence_coverage": pytest.approx(2 / 4),
        "evidence_iou": pytest.approx(2 / (4 + 2 + 1 + 4 - 2)),
        "evidence_frames": 3.0,
        "first_hit_turn": 3.0,
        "redundancy": pytest.approx(0.5),
    }


def test_evidence_metrics_that_cannot_be_said():
    unknown = evidence_metrics(LOOKS, new_frames=6, evidence=())

    assert unknown.pop("redundancy") == 0.0
    assert set(unknown.values()) == {None}
    assert evidence_metrics([], new_frames=0, evidence=EVIDENCE) == {
        "evidence_hit": False,
        "evidence_coverage": 0.0,
        "evidence_iou": 0.0,
        "evidence_frames": 0.0,
        "first_hit_turn": None,
        "redundancy": None,
    }


def test_single_metrics():
    assert evidence_iou([Segment(10.0, 12.0), Segment(20.0, 22.0)], EVIDENCE) == 1.0
    assert evidence_frames([10.0, 10.5, 12.0, 21.0], EVIDENCE) == 3.0
    assert first_hit_turn(LOOKS[:1], EVIDENCE) is None
    assert redundancy(4, 1) == 0.75
