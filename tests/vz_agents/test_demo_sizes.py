from __future__ import annotations

from vz_agents.demo_sizes import demo_sizes
from vz_agents.train_config import TrainConfig
from vz_env.budget import Budget
from vz_env.datasets.needle import NeedleConfig


def test_the_tiny_models_demo_is_left_alone():
    config = TrainConfig(seed=3)
    sizes = demo_sizes(config)
    assert sizes.config is config
    assert (sizes.videos_train, sizes.videos_test, dict(sizes.needle)) == (None, None, {})


def test_a_slow_model_gets_a_small_demo_and_keeps_what_was_asked_for():
    sizes = demo_sizes(TrainConfig(model="smollm2", seed=3, budget=Budget(overview_frames=6)))

    assert sizes.config.weights.lora_rank > 0
    assert sizes.config.budget == Budget(overview_frames=6)
    assert sizes.config.seed == 3
    assert sizes.videos_train < 96
    videos = {"train": sizes.videos_train, "validation": 6, "test": sizes.videos_test}
    assert NeedleConfig(videos=videos, **sizes.needle).overview_frames == 12
