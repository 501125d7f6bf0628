from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vz_agents.checkpoint import Checkpoints
from vz_agents.frames import Frame, PlacedFrame, RowFrames
from vz_agents.guards import permuted
from vz_agents.ppo import PPO, PPOConfig, TrainingDiverged

FAST = PPOConfig(
    **{"prompts": 1, "samples": 2, "minibatches": 1, "epochs": 1, "max_new_tokens": 4, "seed": 3},
    **{"estimator": "gae", "critic_warmup": 1, "lr": 1e-3, "schedule": "linear"},
)


@pytest.fixture
def trainer(make_vlm, make_seeing_envs, needle):
    def make(config=FAST, **changes):
        model = make_vlm(end_bias=4.0)
        return PPO(model, model.reference(), make_seeing_envs(2), needle.ids, replace(config, **changes))

    return make


def run(ppo, steps):
    return [ppo.step()[1] for _ in range(steps)]


def test_a_model_that_sees_is_trained_on_its_frames_and_resumes_bit_for_bit(trainer, tmp_path):
    straight = trainer()
    told = run(straight, 4)
    first = trainer()
    before = {name: weight.clone() for name, weight in first.model.lm.named_parameters()}
    run(first, 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(first.iteration, first.model, first.optimizers, first.state())
    resumed = trainer()
    resumed.load_state(checkpoints.restore(checkpoints.latest(), resumed.model, resumed.optimizers))
    again = run(resumed, 2)

    for metrics, expected in zip(again, told[2:], strict=True):
        kept = [name for name in expected if not name.startswith(("time/", "memory/"))]
        assert {name: metrics[name] for name in kept} == {name: expected[name] for name in kept}
    weights = dict(resumed.model.named_parameters())
    assert all(torch.equal(weights[name], weight) for name, weight in straight.model.named_parameters())
    assert max(metrics["train/log_prob_gap"] for metrics in told) < 1e-5
    moved = {name for name, weight in straight.model.lm.named_parameters() if not torch.equal(weight, before[name])}
    assert moved
    assert not any("visual" in name for name in moved)  # the tower is frozen unless it is trained too


def test_a_blind_model_is_refused(trainer, monkeypatch):
    ppo = trainer()
    read = ppo.model._read

    def read_nothing(frames):
        return [tuple(level * 0 for level in levels) for levels in read(frames)]

    monkeypatch.setattr(ppo.model, "_read", read_nothing)
    with pytest.raises(TrainingDiverged, match="the model is blind"):
        ppo.step()


def test_permuted_frames_keep_their_ids():
    frames = [Frame(None, 2, 3), Frame(None, 2, 3), Frame(None, 1, 4), Frame(None, 2, 3)]
    row = RowFrames([PlacedFrame(10 * number, frame) for number, frame in enumerate(frames)])
    others = permuted(row)
    assert [frame for _, frame in others.placed] == [frames[1], frames[3], frames[2], frames[0]]
    assert [start for start, _ in others.placed] == [0, 10, 20, 30]
    assert [frame.tokens for _, frame in others.placed] == [6, 6, 4, 6]
