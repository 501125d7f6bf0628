"""SB3's own PPO on `DiscreteZoom`, warm-started by imitation; and what it trained as a policy of this package."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.wrappers.discrete_zoom import ANSWER, DiscreteZoom

from ..policy import Policy
from ..rollout import EpisodeRun
from ..trajectory import Trajectory
from .cloning import clone_behaviour, collect_demonstrations
from .extractors import BinExtractor

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

    from vz_env.datasets.dataset import Dataset

__all__ = [
    "DiscretePolicy",
    "DiscreteZoomConfig",
    "HideVideo",
    "make_discrete_env",
    "select_scores",
    "train_discrete_zoom",
]

_HIDDEN = ("overview", "zoomed", "early", "runs", "seen", "thumbnails")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscreteZoomConfig:
    """What a run needs to know; the defaults train for minutes on one processor."""

    bins: int = 32
    """Best as many as overview frames."""
    lengths: tuple[int, ...] = (1, 2, 4, 8)
    shares: tuple[float, ...] = (1.0, 0.5, 0.25)
    options: int = 4
    width: int = 48
    """Units of the hidden layers."""
    demonstrations: int | None = None
    """Episodes that the teacher plays, drawn by the seed; None for all."""
    clone_epochs: int = 60
    clone_lr: float = 2e-3
    timesteps: int = 60_000
    """Steps of PPO after the warm start; 0 leaves it out."""
    num_envs: int = 16
    n_steps: int = 64
    """Steps of each environment before an update."""
    batch_size: int = 256
    n_epochs: int = 4
    lr: float = 2e-4
    clip_range: float = 0.2
    gae_lambda: float = 0.95
    target_kl: float | None = 0.03
    ent_coef: float = 0.0
    is_blind: bool = False
    """Trains the same agent with the video hidden: what the questions alone give away."""
    seed: int = 0
    device: str = "cpu"
    """Where the network lies; it is small, and a CPU is as fast as an accelerator."""
    budget: Mapping[str, int] = field(default_factory=dict)


class HideVideo(gym.ObservationWrapper[Any, Any, Any]):
    """Shows everything of a `DiscreteZoom` but the video: its arrays are zeros."""

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Blank the video."""
        return hide_video(observation)


def hide_video(observation: Mapping[str, Any]) -> dict[str, Any]:
    """A `DiscreteZoom` observation, or a batch of them, without what it shows of the video."""
    return {name: np.zeros_like(array) if name in _HIDDEN else array for name, array in observation.items()}


def make_discrete_env(dataset: Dataset, config: DiscreteZoomConfig) -> gym.Env[Any, Any]:
    """One environment as the config describes it; the words of the palette describer stand for the pixels."""
    plain = VideoZoomEnv(dataset, budget=dict(config.budget), describe="palette", with_frames=False)
    env = DiscreteZoom(plain, **_zoom_options(config))
    return HideVideo(env) if config.is_blind else env


def _zoom_options(config: DiscreteZoomConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("bins", "lengths", "shares", "options")}


def select_scores(model: PPO) -> None:
    """Let the action layer begin as a selection of the extractor's scores; it is trained like any other layer."""
    layer, scores = model.policy.action_net, model.policy.features_extractor.num_scores
    if not isinstance(layer, torch.nn.Linear) or layer.out_features != scores:
        raise ConfigError(f"wanted a linear action layer of {scores} outputs and no hidden policy layer, got {layer}")
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :scores] = torch.eye(scores)
        layer.bias.zero_()


def train_discrete_zoom(
    dataset: Dataset,
    teacher: Policy,
    config: DiscreteZoomConfig | None = None,
    *,
    callback: BaseCallback | Sequence[BaseCallback] | None = None,
    tensorboard: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> PPO:
    """Imitate a teacher, then go on with PPO.

    Args:
        dataset: training episodes.
        teacher: whose right episodes are imitated (`vz_agents.needle_expert.NeedleExpert` for needles).
        config: how.
        callback: SB3's, during PPO.
        tensorboard: folder of SB3's TensorBoard log.
        note: told what happens.

    Returns:
        The SB3 model.
    """
    config = config or DiscreteZoomConfig()
    envs = DummyVecEnv([lambda: Monitor(make_discrete_env(dataset, config)) for _ in range(config.num_envs)])
    model = PPO(
        "MultiInputPolicy",
        envs,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        learning_rate=config.lr,
        clip_range=config.clip_range,
        gamma=1.0,
        gae_lambda=config.gae_lambda,
        target_kl=config.target_kl,
        ent_coef=config.ent_coef,
        seed=config.seed,
        device=config.device,
        tensorboard_log=str(tensorboard) if tensorboard else None,
        policy_kwargs={
            "features_extractor_class": BinExtractor,
            "features_extractor_kwargs": {
                "lengths": len(config.lengths),
                "shares": len(config.shares),
                "width": config.width,
            },
            "net_arch": {"pi": [], "vf": [64]},
        },
    )
    select_scores(model)
    _warm_start(model, dataset, teacher, config, note)
    if config.timesteps:
        started = time.monotonic()
        model.learn(config.timesteps, callback=callback)  # type: ignore[arg-type]
        note(f"PPO: {config.timesteps} steps in {time.monotonic() - started:.0f} s")
    return model


def _warm_start(
    model: PPO, dataset: Dataset, teacher: Policy, config: DiscreteZoomConfig, note: Callable[[str], None]
) -> None:
    """Imitate the teacher; a blind student imitates its answers alone, with the video hidden: zooms show it nothing."""
    started = time.monotonic()
    env = make_discrete_env(dataset, replace(config, is_blind=False))
    ids = Random(config.seed).sample(dataset.ids, min(len(dataset), config.demonstrations or len(dataset)))
    steps = collect_demonstrations(env, teacher, ids, seed=config.seed)  # type: ignore[arg-type]
    if config.is_blind:
        answers = [step for step in steps if step.action[0] == ANSWER]
        steps = [replace(step, observation=hide_video(step.observation)) for step in answers]
    collected = time.monotonic()
    if not config.clone_epochs:
        return
    losses = clone_behaviour(model.policy, steps, epochs=config.clone_epochs, lr=config.clone_lr, seed=config.seed)
    note(
        f"imitation: {len(steps)} steps in {collected - started:.0f} s, loss {losses[0]:.2f} to {losses[-1]:.2f} in "
        f"{time.monotonic() - collected:.0f} s"
    )


class DiscretePolicy:
    """An SB3 model on `DiscreteZoom` as a policy of this package, for evaluations and reports; acts greedily.

    Attributes:
        name: shown in tables.
        needs_frames: False: the words of the palette describer are enough.
    """

    needs_frames = False

    def __init__(self, model: PPO, config: DiscreteZoomConfig, *, name: str = "sb3-ppo", batch_size: int = 16) -> None:
        """Wrap a model and the config that it was trained with."""
        self.model, self.config, self.name, self.batch_size = model, config, name, batch_size

    def act(self, observations: Sequence[Any]) -> list[str]:
        """Not how this policy plays: what a bin showed is remembered over the whole episode.

        Raises:
            ConfigError: always; evaluations and rollouts call `run_episodes`.
        """
        raise ConfigError("DiscretePolicy plays whole episodes: call collect_rollouts or evaluate, which ask for them")

    def run_episodes(
        self, envs: Sequence[gym.Env[Any, str]], episode_ids: Sequence[str], seeds: Sequence[int]
    ) -> list[Trajectory]:
        """Play one episode in each environment, all of them in one batch."""
        shadows = [_Shadow(env, **_zoom_options(self.config)) for env in envs[: len(episode_ids)]]
        runs = [
            EpisodeRun(shadow, policy=self.name, episode_id=episode_id, seed=seed)
            for shadow, episode_id, seed in zip(shadows, episode_ids, seeds, strict=True)
        ]
        for run in runs:
            run.reset()
        while alive := [(run, shadow) for run, shadow in zip(runs, shadows, strict=True) if not run.is_over]:
            names = list(alive[0][1].shown)
            shown = {name: np.stack([shadow.shown[name] for _, shadow in alive]) for name in names}
            if self.config.is_blind:
                shown = hide_video(shown)
            actions, _ = self.model.predict(shown, deterministic=True)
            for (run, shadow), action in zip(alive, actions, strict=True):
                run.step(shadow.to_text(action))
        return [run.finish() for run in runs]


class _Shadow(DiscreteZoom):
    """Text in and text out, as the environment itself; what `DiscreteZoom` would show is kept in `shown`."""

    shown: dict[str, Any]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self.shown, info = super().reset(seed=seed, options=options)
        return self.text_observation, info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.shown = self.observe(observation, is_overview=False)
        return observation, reward, terminated, truncated, info
