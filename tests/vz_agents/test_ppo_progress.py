"""PPO tells its environments how far the training is, so that rewards can be annealed; a resumed run tells the same."""

from __future__ import annotations

import copy

from vz_agents.ppo import PPO, PPOConfig
from vz_env.rewards import TrainingProgress


def test_environments_are_told_the_iteration_and_how_many_zoomed(make_model, make_envs, needle):
    config = PPOConfig(
        prompts=2, samples=1, epochs=1, minibatches=1, critic_warmup=0, max_new_tokens=4, estimator="gae"
    )
    model = make_model(end_bias=3.0)
    envs = make_envs(2)
    ppo = PPO(model, copy.deepcopy(model), envs, needle.ids, config)
    ppo.step()
    told = [env.unwrapped.progress for env in envs]
    ppo.zoom_rate = 0.5
    again = PPO(model, copy.deepcopy(model), envs, needle.ids, config)
    again.load_state(ppo.state())
    again.step()

    assert told == [TrainingProgress()] * 2
    assert [env.unwrapped.progress for env in envs] == [TrainingProgress(step=1, zoom_rate=0.5)] * 2
    assert again.zoom_rate == 0.0  # this model says nothing that is a zoom
