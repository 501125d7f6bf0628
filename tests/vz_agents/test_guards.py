from __future__ import annotations

import json
import math

import pytest
import torch

from vz_agents.guards import SkipCounter, TrainingDiverged, log_prob_gap, write_dump
from vz_agents.trajectory import Trajectory

SAMPLED = torch.tensor([-1.0, -2.0, -0.5])


@pytest.mark.parametrize(("dtype", "allowed", "refused"), [(torch.float32, 5e-5, 5e-4), (torch.bfloat16, 2e-2, 0.2)])
def test_a_gap_is_measured_against_the_weights_precision(dtype, allowed, refused):
    assert log_prob_gap(SAMPLED + allowed, SAMPLED, dtype) == pytest.approx(allowed, rel=1e-2)
    with pytest.raises(TrainingDiverged, match="that one of them sees and the other does not"):
        log_prob_gap(SAMPLED - refused, SAMPLED, dtype)


def test_a_gap_that_is_no_number_stops_the_run():
    with pytest.raises(TrainingDiverged, match="by nan on average"):
        log_prob_gap(SAMPLED * math.nan, SAMPLED, torch.float32)


def test_the_third_step_without_a_finite_gradient_stops_the_run():
    skipped = SkipCounter()
    assert skipped.check(0.5, "policy") == 0.5
    assert skipped.check(math.inf, "policy") == 0.0
    assert skipped.check(0.1, "critic") == 0.1
    assert skipped.check(math.nan, "policy") == 0.0
    assert skipped.count == 2
    with pytest.raises(TrainingDiverged, match="3 steps had gradients that are not finite, the last of the critic's"):
        skipped.check(math.nan, "critic")


def test_a_dump_holds_the_reason_and_the_episodes(tmp_path):
    episodes = [Trajectory(episode_id=name, reward=1.0) for name in ("a", "b")]
    for reason in ("first", "second"):
        write_dump(tmp_path / "diverged", reason, episodes, {"step": 7, "gap": math.nan})

    assert json.loads((tmp_path / "diverged" / "reason.json").read_text()) == {
        "reason": "second",
        "step": 7,
        "gap": None,
    }
    lines = (tmp_path / "diverged" / "trajectories.jsonl").read_text().splitlines()
    assert [Trajectory.from_json(line) for line in lines] == episodes
