"""SB3's evaluation, callbacks and logger around policies of text."""

from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure

from vz_agents.language_policy import LanguagePolicy
from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import FunctionPolicy
from vz_agents.ppo import PPO, PPOConfig
from vz_agents.rollout import collect_rollouts
from vz_agents.sb3 import AgentModel, EpisodeVecEnv
from vz_env.actions import format_answer
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.vector import VideoZoomVectorEnv


@pytest.fixture
def make(needle, needle_budget):
    """Make the slots; closed at the end."""
    made = []

    def make_env(num_envs: int = 3, **options) -> EpisodeVecEnv:
        plain = {"budget": needle_budget, "with_frames": False, "autoreset_mode": "Disabled"}
        envs = VideoZoomVectorEnv(needle, num_envs, **plain)
        made.append(EpisodeVecEnv(envs, **options))
        return made[-1]

    yield make_env
    for env in made:
        env.close()


@pytest.mark.parametrize("num_envs", [1, 3, 4])
def test_evaluate_policy_plays_each_episode_once_with_the_same_rewards(make, needle, needle_budget, num_envs):
    ids = list(needle.ids[:10])
    played = []

    class Watch(NeedleExpert):
        def act(self, observations):
            played.extend(o.episode.id for o in observations if o.turn == 0)
            return super().act(observations)

    env = make(num_envs, episode_ids=ids)
    rewards, lengths = evaluate_policy(
        AgentModel(Watch(), env), env, n_eval_episodes=len(ids), return_episode_rewards=True
    )
    ours = collect_rollouts(
        lambda: VideoZoomEnv(needle, budget=needle_budget, with_frames=False), NeedleExpert(), ids, seed=0
    )

    assert set(played) == set(ids)
    assert sorted(rewards) == pytest.approx(sorted(trajectory.reward for trajectory in ours))
    assert sorted(lengths) == sorted(len(trajectory.turns) for trajectory in ours)


def test_infos_follow_sb3(make):
    env = make(2)
    first = env.reset()
    env.step_async(["hm", format_answer("A")])
    shown, rewards, dones, infos = env.step_wait()

    assert [observation.turn for observation in first] == [0, 0]
    assert dones.tolist() == [False, True]
    assert rewards.dtype == np.float32
    assert shown[0].history[0].action == "hm"
    assert (shown[1].turn, shown[1].history) == (0, ())
    assert infos[1]["terminal_observation"].text == "Episode over."
    assert infos[1]["episode"]["l"] == 1
    assert infos[1]["TimeLimit.truncated"] is False
    assert infos[1]["is_success"] == (infos[1]["score"] == 1.0)
    assert "episode" not in infos[0]


def test_running_out_of_turns_is_a_truncation(make):
    env = make(1)
    env.reset()
    for _ in range(4):
        _, _, dones, infos = env.step(["hm"])

    assert dones.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"] is True
    assert infos[0]["end_reason"] == "invalid_limit"


def test_seed_and_methods_reach_the_slots(make):
    env = make(2)
    env.seed(5)
    first = [observation.episode.id for observation in env.reset()]
    env.seed(5)

    assert [observation.episode.id for observation in env.reset()] == first
    assert env.get_attr("budget")[0].max_turns == 5
    assert env.env_method("moments", "hm", indices=[1])[0].shape == (0,)
    env.set_attr("mark", 3, indices=0)
    assert env.get_attr("mark", indices=0) == [3]


def test_slots_that_reset_themselves_are_refused(needle):
    with VideoZoomVectorEnvClosing(needle) as envs, pytest.raises(ConfigError, match="autoreset_mode='Disabled'"):
        EpisodeVecEnv(envs)


class VideoZoomVectorEnvClosing(VideoZoomVectorEnv):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def test_a_policy_that_returns_no_texts_is_named(make):
    env = make(2)
    model = AgentModel(FunctionPolicy(lambda observation: 3), env)
    with pytest.raises(ConfigError, match="wanted 2 texts of <lambda>, got 2 of type int"):
        model.predict(env.reset())
    with pytest.raises(ConfigError, match="wants a trainer"):
        model.learn(10)
    with pytest.raises(ConfigError, match="save="):
        model.save("somewhere")


def test_callbacks_and_logger_drive_the_training_of_a_language_model(make, make_envs, make_model, needle, tmp_path):
    """SB3's EvalCallback and CheckpointCallback around our own PPO over tokens."""
    from vz_agents.checkpoint import load_policy, save_policy

    model, reference = make_model(end_bias=4.0), make_model(end_bias=4.0)
    settings = PPOConfig(iterations=2, prompts=2, samples=2, critic_warmup=0, max_new_tokens=8)
    trainer = PPO(model, reference, make_envs(4), needle.ids, settings)
    agent = AgentModel(
        LanguagePolicy(model),
        make(2),
        trainer=trainer,
        save=lambda folder: save_policy(folder, model),
        logger=configure(str(tmp_path / "log"), ["csv"]),
    )
    evaluate = EvalCallback(
        make(2, episode_ids=needle.ids[:2]),
        n_eval_episodes=2,
        eval_freq=1,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    agent.learn(30, [evaluate, CheckpointCallback(1, str(tmp_path / "saved"))])
    agent.logger.close()
    table = (tmp_path / "log" / "progress.csv").read_text(encoding="utf-8")

    assert agent.num_timesteps >= 30
    assert "rollout/ep_rew_mean" in table
    assert "eval/mean_reward" in table
    assert (tmp_path / "evaluations.npz").is_file()
    assert (tmp_path / "best_model").is_dir()
    saved = sorted((tmp_path / "saved").iterdir())
    assert len(saved) == trainer.iteration
    assert load_policy(saved[-1]).fingerprint == LanguagePolicy(model).fingerprint
