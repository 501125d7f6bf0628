"""SB3's evaluation, callbacks and logger for policies that read and write text, such as a language model.

SB3 itself trains on arrays alone: its buffers refuse text. Everything around its training loop needs no more than a
`VecEnv` and something that predicts: `EpisodeVecEnv` and `AgentModel` are these two. `evaluate_policy`, `EvalCallback`,
`CheckpointCallback` and `Logger` work unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from vz_env.errors import ConfigError
from vz_env.vector import VideoZoomVectorEnv

from ..policy import Observation, PastTurn, Policy, policy_name

__all__ = ["AgentModel", "EpisodeVecEnv", "Trainer"]


class EpisodeVecEnv(VecEnv):
    """A `VideoZoomVectorEnv` as SB3's `VecEnv`: observations are a list of `Observation`, actions a list of texts.

    Infos follow SB3: at the end of an episode `episode` (`r`, `l`), `terminal_observation`, `TimeLimit.truncated` and
    `is_success` (the score is 1).

    Args:
        envs: the slots; begins another episode in a slot as soon as one ends (`autoreset_mode="Disabled"`).
        episode_ids: what is played, over and over; None leaves it to the generators. `evaluate_policy` with
            `n_eval_episodes=len(episode_ids)` plays each exactly once.

    Raises:
        ConfigError: envs with autoreset, or no ids.
    """

    def __init__(self, envs: VideoZoomVectorEnv, episode_ids: Sequence[str] | None = None) -> None:
        """Bind the slots to their episodes."""
        if envs.metadata["autoreset_mode"] != gym.vector.AutoresetMode.DISABLED:
            raise ConfigError(
                "EpisodeVecEnv wants a VideoZoomVectorEnv with autoreset_mode='Disabled': it resets itself"
            )
        if episode_ids is not None and len(episode_ids) < envs.num_envs:
            raise ConfigError(f"wanted an episode for each of {envs.num_envs} slots, got {len(episode_ids)} ids")
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._queues = _shares(episode_ids, envs.num_envs) if episode_ids is not None else None
        self._next = [0] * envs.num_envs
        self._histories: list[tuple[PastTurn, ...]] = [()] * envs.num_envs
        self._returns = np.zeros(envs.num_envs)
        self._actions: list[str] = []
        self._shown: list[Observation] = []

    def reset(self) -> list[Observation]:  # type: ignore[override]
        """Begin anew in every slot, with the first of its episodes."""
        self._next = [0] * self.num_envs
        batch, infos = self.envs.reset(seed=self._seeds, options=self._reset_options(range(self.num_envs)))
        self.reset_infos = [_of_slot(infos, slot) for slot in range(self.num_envs)]
        self._reset_seeds()
        self._histories, self._returns = [()] * self.num_envs, np.zeros(self.num_envs)
        self._shown = self._observations(batch)
        return list(self._shown)

    def step_async(self, actions: Sequence[str]) -> None:  # type: ignore[override]
        """Take one text for each slot."""
        self._actions = [str(action) for action in actions]

    def step_wait(self) -> tuple[list[Observation], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:  # type: ignore[override]
        """Step every slot, and begin the next episode where one ended."""
        batch, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        self._returns += rewards
        self._histories = [
            (*shown.history, PastTurn(shown.text, action))
            for shown, action in zip(self._shown, self._actions, strict=True)
        ]
        dones = terminated | truncated
        told = [_of_slot(infos, slot) for slot in range(self.num_envs)]
        ended = np.flatnonzero(dones).tolist()
        if ended:
            final = self._observations(batch)
            for slot in ended:
                told[slot] |= {
                    "terminal_observation": final[slot],
                    "episode": {"r": float(self._returns[slot]), "l": len(self._histories[slot])},
                    "TimeLimit.truncated": bool(truncated[slot] and not terminated[slot]),
                    "is_success": told[slot].get("score") == 1.0,
                }
                self._histories[slot], self._returns[slot] = (), 0.0
                self._next[slot] += 1
            batch, begun = self.envs.reset(options=self._reset_options(ended))
            for slot in ended:
                self.reset_infos[slot] = _of_slot(begun, slot)
        self._shown = self._observations(batch)
        return list(self._shown), rewards.astype(np.float32), dones, told

    def _reset_options(self, slots: Sequence[int]) -> dict[str, Any]:
        """Reset options that give these slots their next episodes."""
        mask = np.zeros(self.num_envs, dtype=np.bool_)
        mask[list(slots)] = True
        options: dict[str, Any] = {} if mask.all() else {"reset_mask": mask}
        if self._queues is not None:
            ids = [queue[turn % len(queue)] for queue, turn in zip(self._queues, self._next, strict=True)]
            options["episode_ids"] = [name if chosen else None for name, chosen in zip(ids, mask, strict=True)]
        return options

    def _observations(self, batch: dict[str, Any]) -> list[Observation]:
        """A batch of the vector environment as what policies take."""
        return [
            Observation(
                text=batch["text"][slot],
                frames=batch["frames"][slot],
                timestamps=batch["timestamps"][slot],
                budget={name: int(left[slot]) for name, left in batch["budget"].items()},
                episode=episode,
                turn=len(self._histories[slot]),
                history=self._histories[slot],
            )
            for slot, episode in enumerate(self.envs.episodes)
        ]

    def close(self) -> None:
        """Close the slots."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of some slots' environments."""
        return [self.envs.envs[slot].get_wrapper_attr(attr_name) for slot in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of some slots' environments."""
        for slot in self._get_indices(indices):
            self.envs.envs[slot].set_wrapper_attr(attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of some slots' environments."""
        return [method(*args, **kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """True for SB3's `Monitor`, whose `episode` infos are told here."""
        return [issubclass(wrapper_class, Monitor)] * len(list(self._get_indices(indices)))


class Trainer(Protocol):
    """What trains a language model an iteration at a time: `vz_agents.ppo.PPO` is one."""

    def step(self) -> tuple[Sequence[Any], dict[str, float]]:
        """One iteration: the rollouts, and metrics by TensorBoard name."""
        ...


class AgentModel:
    """A policy of this package where SB3 expects one of its models.

    Args:
        policy: what acts; its own settings decide how it samples, `deterministic` is ignored.
        env: what `get_env` hands to callbacks.
        trainer: trains the policy in place, for `learn`.
        save: writes the policy into a folder, for callbacks that save.
        logger: SB3's; one that prints nothing by default.
    """

    def __init__(
        self,
        policy: Policy,
        env: EpisodeVecEnv,
        *,
        trainer: Trainer | None = None,
        save: Callable[[Path], None] | None = None,
        logger: Logger | None = None,
    ) -> None:
        """Join the parts."""
        self.policy, self.env, self.trainer, self._save = policy, env, trainer, save
        self.logger = logger or configure(None, [])
        self.num_timesteps = 0

    def predict(
        self,
        observation: Sequence[Observation],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[list[str], Any]:
        """One action text for each observation.

        Raises:
            ConfigError: the policy returned anything but one text for each.
        """
        actions = list(self.policy.act(observation))
        if len(actions) != len(observation) or not all(isinstance(action, str) for action in actions):
            kinds = sorted({type(action).__name__ for action in actions})
            raise ConfigError(
                f"wanted {len(observation)} texts of {policy_name(self.policy)}, got {len(actions)} of type "
                f"{', '.join(kinds)}"
            )
        return actions, state

    def learn(self, total_timesteps: int, callback: BaseCallback | Sequence[BaseCallback] | None = None) -> AgentModel:
        """Train until so many turns were sampled; callbacks are called once an iteration of the trainer.

        Raises:
            ConfigError: there is no trainer.
        """
        if self.trainer is None:
            raise ConfigError("learn wants a trainer: AgentModel(..., trainer=vz_agents.ppo.PPO(...))")
        called = callback if isinstance(callback, BaseCallback) else CallbackList(list(callback or []))
        called.init_callback(self)  # type: ignore[arg-type]
        called.on_training_start({"self": self, "total_timesteps": total_timesteps}, {})
        goes_on = True
        while goes_on and self.num_timesteps < total_timesteps:
            called.on_rollout_start()
            rollouts, metrics = self.trainer.step()
            turns = sum(len(rollout.trajectory.turns) for rollout in rollouts)
            self.num_timesteps += max(1, turns)
            for name, value in metrics.items():
                self.logger.record(name, value)
            called.update_locals({"rollouts": rollouts, "metrics": metrics})
            goes_on = called.on_step()
            called.on_rollout_end()
            self.logger.dump(self.num_timesteps)
        called.on_training_end()
        return self

    def save(self, path: str | Path) -> None:
        """Write the policy into a folder; an ending `.zip`, as SB3's callbacks give, is left out.

        Raises:
            ConfigError: nothing was given that saves it.
        """
        if self._save is None:
            raise ConfigError("saving wants a function of a folder: AgentModel(..., save=...)")
        target = Path(path)
        self._save(target.with_suffix("") if target.suffix == ".zip" else target)

    def get_env(self) -> EpisodeVecEnv:
        """The training environment."""
        return self.env

    def get_vec_normalize_env(self) -> None:
        """None: texts are not normalised."""
        return

    def set_logger(self, logger: Logger) -> None:
        """Log here from now on."""
        self.logger = logger


def _shares(episode_ids: Sequence[str], num_envs: int) -> list[list[str]]:
    """The ids dealt to the slots as `evaluate_policy` counts them: slot i plays (n + i) // num_envs of n episodes."""
    shares, start = [], 0
    for slot in range(num_envs):
        count = (len(episode_ids) + slot) // num_envs
        shares.append(list(episode_ids[start : start + count]))
        start += count
    return shares


def _of_slot(infos: dict[str, Any], slot: int) -> dict[str, Any]:
    """One slot's part of a vector environment's infos."""
    found: dict[str, Any] = {}
    for name, values in infos.items():
        if name.startswith("_") or not infos.get(f"_{name}", np.zeros(0, dtype=np.bool_))[slot : slot + 1].any():
            continue
        if isinstance(values, dict):
            found[name] = _of_slot(values, slot)
        else:
            value = values[slot]
            found[name] = value.item() if isinstance(value, np.generic) else value
    return found
