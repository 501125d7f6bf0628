from __future__ import annotations

import os

import pytest
import torch

from vz_benchmarks.studies.copy_task import SOLVED, CopyEnv, copy_model, greedy_accuracy, solve


def test_each_turn_pays_for_its_letter():
    env = CopyEnv()
    seen, _ = env.reset(seed=0, options={"episode_id": "ca"})
    assert seen["text"] == "c"
    seen, reward, terminated, *_ = env.step("c")
    assert (seen["text"], reward, terminated) == ("a", 0.5, False)
    _, reward, terminated, _, info = env.step("c")
    assert (reward, terminated, info["score"]) == (0.0, True, 0.0)


def test_a_random_policy_copies_next_to_nothing():
    assert greedy_accuracy(copy_model(0), ("ab", "cd", "ef", "gh")) <= 0.25


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("VZ_LONG_TESTS"), reason="set VZ_LONG_TESTS=1 to run it")
@pytest.mark.parametrize("estimator", ["gae", "grpo", "rloo"])
def test_it_is_solved_from_random_weights(estimator):
    torch.set_num_threads(1)
    assert solve(estimator, seed=0, seconds=120)["accuracy"] >= SOLVED
