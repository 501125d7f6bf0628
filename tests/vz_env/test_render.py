"""Timelines and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from vz_env.episode import Segment
from vz_env.render import SHEET_SIZE, contact_sheet, timeline

EPISODE = {
    "duration_seconds": 64.0,
    "overview_seconds": [0.0, 32.0],
    "zooms": [Segment(16.0, 24.0), Segment(63.9, 64.0)],
}


def test_timeline_marks_overview_zooms_and_evidence():
    text = timeline(**EPISODE, evidence=[Segment(20.0, 21.5)], question="Which?")

    assert text.splitlines() == [
        "Which?",
        "video     0s" + "64s".rjust(64),
        "overview  [|" + " " * 31 + "|" + " " * 31 + "] 2 frames",
        "zoom 1    [" + " " * 16 + "=" * 8 + " " * 40 + "] 16s to 24s",
        "zoom 2    [" + " " * 63 + "=] 63.9s to 64s",
        "evidence  [" + " " * 20 + "^^" + " " * 42 + "] 20s to 21.5s",
    ]


def test_timeline_keeps_evidence_back():
    assert "evidence" not in timeline(**EPISODE, evidence=())


def test_timeline_takes_control_characters_out():
    text = timeline(**EPISODE, evidence=(), question="\x1b[31mred\x07\r\n")

    assert text.splitlines()[0] == "[31mred"


@pytest.mark.parametrize("shape", [(0, 2, 2, 3), (1, 96, 160, 3), (16, 96, 160, 3), (32, 160, 96, 3), (112, 2, 400, 3)])
def test_contact_sheet_has_one_size(shape):
    frames = np.full(shape, 200, np.uint8)
    times = list(np.linspace(0, 63, shape[0]))
    sheet = contact_sheet(frames, times, **EPISODE, evidence=())

    assert sheet.shape == (SHEET_SIZE[1], SHEET_SIZE[0], 3)
    assert sheet.dtype == np.uint8


def test_contact_sheet_shows_the_frames_and_the_evidence():
    frames = np.zeros((4, 96, 160, 3), np.uint8)
    frames[..., 0] = 255
    hidden, shown = (
        contact_sheet(frames, [0, 1, 2, 3], **EPISODE, evidence=spans) for spans in ((), [Segment(20.0, 21.5)])
    )

    assert (hidden == (255, 0, 0)).all(axis=-1).mean() > 0.2
    assert (hidden != shown).any()
