from __future__ import annotations

import pytest
import torch

from vz_agents.rollout_metrics import PhaseClock


@pytest.mark.parametrize(
    ("device", "names"),
    [("cpu", {"time/model_idle_share"}), ("cuda:1", {"time/model_idle_share", "time/gpu_idle_share"})],
)
def test_idleness_is_a_share_of_the_rollout_and_a_gpus_where_there_is_one(device, names):
    clock = PhaseClock()
    clock.seconds = {"rollout": 8.0, "update": 100.0}
    clock.add_idle(1.5)
    clock.add_idle(0.5)
    assert clock.idle_metrics(torch.device(device)) == dict.fromkeys(names, 0.25)
