"""SB3's PPO on the environment in numbers: imitation, training, evaluation, hiding the video."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy

from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import as_policy
from vz_agents.rollout import collect_rollouts
from vz_agents.sb3 import DiscretePolicy, DiscreteZoomConfig, HideVideo, clone_behaviour, collect_demonstrations
from vz_agents.sb3.recipe import hide_video, make_discrete_env, train_discrete_zoom
from vz_env.actions import format_answer
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.wrappers.discrete_zoom import ANSWER, ZOOM

BUDGET = {"overview_frames": 12, "max_turns": 5, "max_zooms": 4}
SMALL = {"bins": 12, "lengths": (1, 2), "shares": (1.0,), "width": 24, "budget": BUDGET, "num_envs": 2, "n_steps": 16}


def config(**changes) -> DiscreteZoomConfig:
    return DiscreteZoomConfig(**{**SMALL, "batch_size": 32, "clone_epochs": 40, "timesteps": 0, **changes})


@pytest.fixture(scope="module")
def cloned(needle):
    """A model that imitated the scripted expert on the tiny needle videos."""
    return train_discrete_zoom(needle, NeedleExpert(), config())


def accuracy(needle, model, settings) -> float:
    def make_env():
        return VideoZoomEnv(needle, budget=BUDGET, with_frames=False)

    played = collect_rollouts(make_env, DiscretePolicy(model, settings), needle.ids, seed=0)
    assert [trajectory.episode_id for trajectory in played] == list(needle.ids)
    return sum(trajectory.score or 0.0 for trajectory in played) / len(played)


def test_sb3_accepts_the_environment(needle):
    check_env(make_discrete_env(needle, config()), warn=False, skip_render_check=True)


def test_demonstrations_are_right_episodes_with_their_returns(needle):
    env = make_discrete_env(needle, config())
    steps = collect_demonstrations(env, NeedleExpert(), needle.ids)
    kinds = Counter(int(step.action[0]) for step in steps)

    assert kinds[ANSWER] <= len(needle)
    assert kinds[ZOOM] > kinds[ANSWER] / 2
    assert {step.value for step in steps} == {1.0}
    assert all(env.observation_space.contains(step.observation) for step in steps)


def test_a_teacher_that_is_never_right_teaches_nothing(needle):
    wrong = as_policy(lambda observation: format_answer("none of them"))
    with pytest.raises(ConfigError, match="take another teacher"):
        collect_demonstrations(make_discrete_env(needle, config()), wrong, needle.ids[:3])


def test_cloning_imitates_only_the_numbers_an_action_uses(needle):
    model = train_discrete_zoom(needle, NeedleExpert(), config(clone_epochs=0))
    steps = collect_demonstrations(make_discrete_env(needle, config()), NeedleExpert(), needle.ids[:4])
    answers = [step for step in steps if step.action[0] == ANSWER]
    layers = model.policy.features_extractor
    start, option = layers.start.weight.detach().clone(), layers.option.weight.detach().clone()
    clone_behaviour(model.policy, answers, epochs=1, weight_decay=0.0, value_coef=0.0)

    assert torch.equal(start, layers.start.weight)
    assert not torch.equal(option, layers.option.weight)


def test_a_clone_plays_the_videos_it_saw_and_a_blind_one_cannot(needle, cloned):
    blind = config(is_blind=True)

    assert accuracy(needle, cloned, config()) >= 0.8
    assert accuracy(needle, cloned, blind) <= 0.6  # the same model with the video hidden


def test_it_saves_loads_and_goes_on_with_ppo(needle, cloned, tmp_path):
    class Count(BaseCallback):
        def _on_step(self) -> bool:
            return True

    cloned.save(tmp_path / "model.zip")
    again = PPO.load(tmp_path / "model.zip", device="cpu")
    settings = config(timesteps=64, clone_epochs=1)
    counted = Count()
    trained = train_discrete_zoom(needle, NeedleExpert(), settings, callback=counted)
    means, _ = evaluate_policy(trained, trained.get_env(), n_eval_episodes=4, return_episode_rewards=True)

    assert accuracy(needle, again, config()) == accuracy(needle, cloned, config())
    assert counted.num_timesteps == 64
    assert all(np.isfinite(weight.detach().numpy()).all() for weight in trained.policy.parameters())
    assert len(means) == 4


def test_same_seed_same_training(needle):
    settings = config(clone_epochs=2, timesteps=32, demonstrations=4)
    left, right = (train_discrete_zoom(needle, NeedleExpert(), settings) for _ in range(2))

    pairs = zip(left.policy.state_dict().items(), right.policy.state_dict().items(), strict=True)
    assert all(torch.equal(ours, theirs) for (_, ours), (_, theirs) in pairs)


def test_hidden_video_leaves_question_and_budget(needle):
    env = HideVideo(make_discrete_env(needle, config()))
    observation, _ = env.reset(seed=0)
    shown = env.env.reset(seed=0)[0]

    assert not any(observation[name].any() for name in ("overview", "zoomed", "early", "runs", "seen"))
    assert np.array_equal(observation["question_colors"], shown["question_colors"])
    assert env.observation_space.contains(observation)
    assert set(hide_video(shown)) == set(shown)


def test_act_says_how_it_plays(cloned):
    with pytest.raises(ConfigError, match="plays whole episodes"):
        DiscretePolicy(cloned, config()).act([])
