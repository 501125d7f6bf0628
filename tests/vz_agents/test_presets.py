from __future__ import annotations

from vz_agents.presets import PRESETS
from vz_agents.train_config import TrainConfig
from vz_env.prompts import system_message


def test_the_demo_is_the_default():
    assert PRESETS["needle-tiny"] == TrainConfig()


def test_the_published_hyper_parameters():
    config = PRESETS["videozoomer"]
    ppo = config.ppo
    assert (ppo.prompts, ppo.samples, ppo.prompts // ppo.minibatches, ppo.epochs) == (128, 16, 32, 1)
    assert (ppo.estimator, ppo.filtered_by, ppo.aggregation) == ("grpo", "total", "sequence")
    assert (ppo.clip_low, ppo.clip_high, ppo.dual_clip) == (0.2, 0.27, None)
    assert (ppo.kl_kind, ppo.kl_coef, ppo.entropy_coef) == ("k3", 0.001, 0.001)
    assert (ppo.lr, ppo.betas, ppo.weight_decay) == (1e-6, (0.9, 0.999), 0.01)
    assert {ppo.rate_scale(iteration) for iteration in range(ppo.iterations)} == {1.0}  # constant, and no warm-up
    assert (config.budget.overview_frames, config.budget.max_zooms, config.budget.max_frames) == (64, 4, 128)
    assert config.env_options["protocol"] == "videozoomer"
    assert config.rules != system_message(config.budget)


def test_no_preset_has_more_to_show_than_its_budget_allows():
    for config in PRESETS.values():
        assert config.budget.max_turns > config.budget.max_zooms
        assert config.ppo.prompts * config.ppo.samples >= config.ppo.minibatches
