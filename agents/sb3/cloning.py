"""Behaviour cloning: an SB3 policy on `DiscreteZoom` learns to act as a teacher that writes text.

Reinforcement from scratch collapses to answering at once: a guess pays 0.25 now, and the first zooms of a random policy
pay nothing. So a policy first imitates episodes of a teacher that were graded right, and PPO goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor
from torch.nn import functional

from vz_env.errors import ConfigError, VideoError
from vz_env.wrappers.discrete_zoom import ANSWER, DiscreteZoom

from ..policy import Observation, PastTurn, Policy
from ..rollout import episode_seed

__all__ = ["Demonstration", "clone_behaviour", "collect_demonstrations", "read_observation"]


@dataclass(frozen=True, slots=True, eq=False)
class Demonstration:
    """One step of a teacher: what `DiscreteZoom` showed, the action in its numbers, and the return from here on."""

    observation: Mapping[str, NDArray[np.generic]]
    action: NDArray[np.int64]
    value: float


def read_observation(env: DiscreteZoom, history: tuple[PastTurn, ...]) -> Observation:
    """The latest observation as a policy of this package sees it."""
    shown = env.text_observation
    return Observation(
        text=shown["text"],
        frames=shown["frames"],
        timestamps=np.asarray(shown["timestamps"], dtype=np.float64),
        budget={name: int(left) for name, left in shown["budget"].items()},
        episode=env.get_wrapper_attr("episode"),
        turn=len(history),
        history=history,
    )


def collect_demonstrations(
    env: DiscreteZoom,
    teacher: Policy,
    episode_ids: Sequence[str],
    *,
    seed: int = 0,
    least_score: float = 1.0,
    on_episode: Callable[[int, int], None] | None = None,
) -> list[Demonstration]:
    """Let a teacher play, each of its actions put into the nearest numbers; keep the episodes that were graded right.

    An episode whose video is broken, or in which the teacher writes what no number stands for, is left out.

    Args:
        env: where it plays.
        teacher: any policy of this package; it acts on text, and may be scripted.
        episode_ids: which episodes.
        seed: of the episodes.
        least_score: score from which an episode is kept.
        on_episode: called with (done, all) after each.

    Returns:
        The steps of the episodes that were kept, in order.

    Raises:
        ConfigError: no episode was good enough.
    """
    kept: list[Demonstration] = []
    for done, episode_id in enumerate(episode_ids, 1):
        kept += _demonstrate(env, teacher, episode_id, episode_seed(seed, episode_id), least_score)
        if on_episode is not None:
            on_episode(done, len(episode_ids))
    if not kept:
        raise ConfigError(
            f"wanted episodes that the teacher plays with a score of at least {least_score}, got none of "
            f"{len(episode_ids)}: take another teacher, or bins and lengths that can say its zooms"
        )
    return kept


def _demonstrate(
    env: DiscreteZoom, teacher: Policy, episode_id: str, seed: int, least_score: float
) -> list[Demonstration]:
    """One episode of the teacher's, empty when it is not to be kept."""
    steps: list[tuple[Mapping[str, NDArray[np.generic]], NDArray[np.int64], float]] = []
    history: tuple[PastTurn, ...] = ()
    try:
        shown, _ = env.reset(seed=seed, options={"episode_id": episode_id})
        while True:
            observation = read_observation(env, history)
            action = env.from_text(teacher.act([observation])[0])
            if action is None:
                return []
            following, reward, terminated, truncated, info = env.step(action)
            steps.append((shown, action, float(reward)))
            history = (*history, PastTurn(observation.text, info["text_action"]))
            if terminated or truncated:
                break
            shown = following
    except VideoError:
        return []
    if (info.get("score") or 0.0) < least_score:
        return []
    values = np.cumsum([reward for *_, reward in steps][::-1])[::-1]
    return [Demonstration(shown, action, float(value)) for (shown, action, _), value in zip(steps, values, strict=True)]


def clone_behaviour(
    policy: ActorCriticPolicy,
    demonstrations: Sequence[Demonstration],
    *,
    epochs: int = 40,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    value_coef: float = 0.5,
    seed: int = 0,
) -> list[float]:
    """Train a policy to act as demonstrated, and its critic to expect the returns that followed.

    Only the numbers that an action uses are imitated: a zoom's start, length and share, an answer's option.

    Args:
        policy: of an SB3 model on `DiscreteZoom`; trained in place.
        demonstrations: what to imitate.
        epochs: passes over them.
        batch_size: steps in a batch.
        lr: of Adam.
        weight_decay: of Adam, decoupled.
        value_coef: weight of the critic's squared error.
        seed: of the order.

    Returns:
        The mean loss of each epoch.
    """
    names = list(demonstrations[0].observation)
    shown = {name: torch.as_tensor(np.stack([d.observation[name] for d in demonstrations])) for name in names}
    actions = torch.as_tensor(np.stack([d.action for d in demonstrations]))
    values = torch.tensor([d.value for d in demonstrations])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=lr, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)
    policy.set_training_mode(True)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(actions), generator=generator).split(batch_size):
            batch = {name: column[rows].to(policy.device) for name, column in shown.items()}
            loss = _loss(policy, batch, actions[rows].to(policy.device), values[rows].to(policy.device), value_coef)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(actions))
    policy.set_training_mode(False)
    return losses


def _loss(
    policy: ActorCriticPolicy, shown: Mapping[str, Tensor], actions: Tensor, values: Tensor, value_coef: float
) -> Tensor:
    """Negative log-likelihood of the numbers that each action uses, plus the critic's squared error; their mean."""
    distribution = policy.get_distribution(shown)  # type: ignore[arg-type]
    if not isinstance(distribution, MultiCategoricalDistribution):
        raise ConfigError(f"wanted a policy over MultiDiscrete actions, got {type(distribution).__name__}")
    is_answer = (actions[:, 0] == ANSWER).float()
    used = [torch.ones_like(is_answer), 1 - is_answer, 1 - is_answer, 1 - is_answer, is_answer]
    nll = -sum(
        column * numbers.log_prob(actions[:, index])
        for index, (numbers, column) in enumerate(zip(distribution.distribution, used, strict=True))
    )
    critic = functional.mse_loss(policy.predict_values(shown)[:, 0], values, reduction="none")  # type: ignore[arg-type]
    return (nll + value_coef * critic).mean()
