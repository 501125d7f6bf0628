"""The study of a model that sees and reads nothing about frames: what it promises, on a processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from vz_benchmarks.studies.vlm_needle import WANTED_POINTS, VLMNeedleArgs, run_study


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("VZ_LONG_TESTS"), reason="set VZ_LONG_TESTS=1 to run it")
@pytest.mark.timeout(1200)
def test_a_model_that_only_sees_beats_blind_guessing(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        accuracy = run_study(VLMNeedleArgs(out=tmp_path))
    finally:
        torch.set_num_threads(threads)
    assert 100 * (accuracy["PPO"] - accuracy["blind"]) >= WANTED_POINTS
    assert accuracy["PPO, frames gray"] <= accuracy["blind"]  # it answers from what it sees
