"""`VideoZoomVectorEnv`: N episodes side by side in one process, one pool of threads, one frame cache.

The same trajectories as N single environments. Threads suffice because decoding releases the interpreter lock, and they
share every decoded frame: rollouts of one question look at the same places of the same video. What the slots are about
to look at is known before they step, so the frames of one video are decoded together, each stretch of it once.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from .env import VideoZoomEnv
from .episode import Episode
from .errors import ConfigError, ResetNeeded, VZError
from .vector_options import as_autoreset_mode, read_reset, read_seeds, shortened

if TYPE_CHECKING:
    from .datasets.dataset import Dataset

__all__ = ["VideoZoomVectorEnv"]

_LOADING_OPTIONS: Final = {"dataset_options", "root", "split"}  # of the environment that loads the dataset for all
_MOST_WORKERS: Final = 16

VectorStep = tuple[dict[str, Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class VideoZoomVectorEnv(VectorEnv[dict[str, Any], Sequence[str | None], NDArray[Any]]):
    """N episodes of one dataset; what `gymnasium.make_vec` makes of every id of this package.

    Observations and infos are batched as `gymnasium.vector.SyncVectorEnv` batches them: `text`, `frames` and
    `timestamps` are tuples of N items, what is left of the budget is int64 arrays (N,).

    Args:
        dataset: a `Dataset`, or the name of a registered one; loaded once.
        num_envs: slots.
        autoreset_mode: `SameStep` (an ended slot begins another episode at once; the end is in `final_obs` and
            `final_info`) or `Disabled` (an ended slot waits for `reset`). Gymnasium's `NextStep` would cost a policy
            call an episode whose action is ignored, and is refused.
        workers: threads that step and decode; by default one for each processor, at most one for each slot.
        **env_options: what `VideoZoomEnv` takes.

    Raises:
        ConfigError: arguments that are out of range or unknown.
    """

    def __init__(
        self,
        dataset: Dataset | str,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        workers: int | None = None,
        **env_options: Any,
    ) -> None:
        """Load the dataset; no video is opened."""
        if num_envs < 1 or (workers is not None and workers < 1):
            raise ConfigError(f"num_envs and workers must be at least 1, got {num_envs} and {workers}")
        mode = as_autoreset_mode(autoreset_mode)
        first = VideoZoomEnv(dataset, **env_options)
        options = {name: value for name, value in env_options.items() if name not in _LOADING_OPTIONS}
        others = [VideoZoomEnv(first.dataset, **options) for _ in range(num_envs - 1)]
        self.envs: tuple[VideoZoomEnv, ...] = (first, *others)
        self.dataset, self.num_envs, self.render_mode = first.dataset, num_envs, first.render_mode
        self.metadata: dict[str, Any] = {**first.metadata, "autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        self.observation_space = batch_space(first.observation_space, num_envs)
        self.action_space = batch_space(first.action_space, num_envs)
        self._is_autoreset = mode is AutoresetMode.SAME_STEP
        self._workers = min(num_envs, workers or min(_MOST_WORKERS, os.cpu_count() or 1))
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._latest: list[dict[str, Any]] = []
        self._terminated = np.zeros(num_envs, dtype=np.bool_)
        self._truncated = np.zeros(num_envs, dtype=np.bool_)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The public half of every slot's episode."""
        return tuple(env.episode for env in self.envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode in every slot, or in some.

        Args:
            seed: slot i gets `seed + i`, or the i-th of a sequence.
            options: `episode_ids`, N ids, one a slot (None: drawn by the slot's generator); `reset_mask`, N booleans:
                only these slots begin anew, the others go on; `group_size`, a divisor of N: runs of so many slots
                share the episode that the first of them has, as group-relative advantages want it.

        Returns:
            All N observations (those of slots that were not reset are their latest), and the infos of the slots that
            were.

        Raises:
            ConfigError: options that are unknown or of the wrong length; nothing was reset then.
            UnknownEpisode: an id that the dataset does not hold; nothing was reset then.
            VideoError: a video cannot be read; the slots named in its notes, with their groups, want another reset.
        """
        request = read_reset(options or {}, num_envs=self.num_envs, has_begun=bool(self._latest))
        for episode_id in request.episode_ids:
            if episode_id is not None:
                self.dataset.episode(episode_id)
        seeds = read_seeds(seed, self.num_envs)

        def begin(slot: int) -> tuple[dict[str, Any], dict[str, Any]]:
            leader, episode_id = slot - slot % request.group_size, request.episode_ids[slot]
            if episode_id is None and leader != slot:
                episode_id = self.envs[leader].episode.id
            return self.envs[slot].reset(seed=seeds[slot], options={"episode_id": episode_id} if episode_id else None)

        self._latest = self._latest or [{}] * self.num_envs
        infos: dict[str, Any] = {}
        for slots in (request.leaders, request.followers):  # a follower's frames are in the cache by the time it looks
            for slot, (observation, info) in self._run(slots, begin):
                self._latest[slot] = observation
                self._terminated[slot] = self._truncated[slot] = False
                infos = self._add_info(infos, info, slot)
        return self._batch(), infos

    def step(self, actions: Sequence[str | None]) -> VectorStep:
        """Take one action in every slot.

        Args:
            actions: N texts. Where an episode has ended and autoreset is disabled, None: that slot stays as it is,
                with reward 0.

        Raises:
            ResetNeeded: before `reset`, or a text for a slot that has ended.
            ConfigError: not N actions, or one that is no text; no slot has stepped then.
            VideoError: frames cannot be read. The slots named in its notes have not stepped (or, with autoreset, could
                not begin another episode), the others have: reset those with a mask, or all.
        """
        slots = self._check_actions(actions)
        self._warm(slots, actions)
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        infos: dict[str, Any] = {}
        for slot, (observation, reward, terminated, truncated, info) in self._run(
            slots, lambda slot: self._step_one(slot, str(actions[slot]))
        ):
            self._latest[slot], rewards[slot] = observation, reward
            self._terminated[slot], self._truncated[slot] = terminated, truncated
            infos = self._add_info(infos, info, slot)
        return self._batch(), rewards, self._terminated.copy(), self._truncated.copy(), infos

    def _step_one(self, slot: int, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step one slot, and begin its next episode when this one ended and autoreset is on."""
        env = self.envs[slot]
        observation, reward, terminated, truncated, info = env.step(action)
        if self._is_autoreset and (terminated or truncated):
            final = {"final_obs": observation, "final_info": info}
            observation, info = env.reset()
            info = {**final, **info}
        return observation, reward, terminated, truncated, info

    def _warm(self, slots: Sequence[int], actions: Sequence[str | None]) -> None:
        """Decode what several slots are about to look at in one video in one go: each stretch of it once."""
        wanted: defaultdict[str, list[tuple[VideoZoomEnv, NDArray[np.float64]]]] = defaultdict(list)
        for slot in slots:
            moments = self.envs[slot].moments(str(actions[slot]))
            if len(moments):
                wanted[str(self.envs[slot].episode.video_path)].append((self.envs[slot], moments))
        shared = [group for group in wanted.values() if len(group) > 1]
        if shared:
            list(self._threads().map(_look_ahead, shared))

    def _run(self, slots: Sequence[int], work: Callable[[int], Any]) -> Iterator[tuple[int, Any]]:
        """Do the work of every slot in the threads; all of it is done before a fault of one is raised."""
        futures: list[tuple[int, Future[Any]]] = [(slot, self._threads().submit(work, slot)) for slot in slots]
        fault: BaseException | None = None
        for slot, future in futures:
            found = future.exception()
            if found is None:
                yield slot, future.result()
            else:
                fault = fault or found
                fault.add_note(f"in slot {slot} of {self.num_envs}")
        if fault is not None:
            raise fault

    def _threads(self) -> ThreadPoolExecutor:
        """The pool, started when it is first wanted, and again in a forked child, which inherits no threads."""
        if self.closed:
            raise ResetNeeded("this vector environment is closed: make another one")
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._workers, thread_name_prefix="vz-vector")
        return self._pool[1]

    def _batch(self) -> dict[str, Any]:
        """The latest observations of all slots as one."""
        space = self.single_observation_space
        batch: dict[str, Any] = concatenate(space, self._latest, create_empty_array(space, self.num_envs))  # type: ignore[assignment,arg-type]
        return batch

    def _check_actions(self, actions: Sequence[str | None]) -> list[int]:
        """The slots that will step, all of whose actions are text."""
        if not self._latest:
            raise ResetNeeded("no episode is running: call reset() first")
        if isinstance(actions, str) or len(actions) != self.num_envs:
            raise ConfigError(f"wanted {self.num_envs} actions, one text for each slot, got {shortened(actions)}")
        is_over = (self._terminated | self._truncated) & (not self._is_autoreset)
        for slot, action in enumerate(actions):
            if action is not None and not isinstance(action, str):
                raise ConfigError(f"an action must be a str, got {type(action).__name__} in slot {slot}")
            if action is None and not is_over[slot]:
                raise ConfigError(f"slot {slot} wants an action: its episode goes on, got None")
            if action is not None and is_over[slot]:
                raise ResetNeeded(f"the episode of slot {slot} has ended: give it None, or reset it with reset_mask")
        return [slot for slot, action in enumerate(actions) if action is not None]

    def render(self) -> tuple[Any, ...]:
        """What each slot draws."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every slot's environment, or read an attribute of it."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(item(*args, **kwargs) if callable(item) else item for item in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of every slot's environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every slot's environment: to one value, or to a list or tuple of one for each slot.

        Raises:
            ConfigError: not one value for each slot.
        """
        given = list(values) if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(given) != self.num_envs:
            raise ConfigError(f"wanted one value, or {self.num_envs}, one for each slot, got {len(given)}")
        for env, value in zip(self.envs, given, strict=True):
            env.set_wrapper_attr(name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].shutdown(wait=True, cancel_futures=True)
        self._pool = None
        for env in self.envs:
            env.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the threads."""
        return {**self.__dict__, "_pool": None}


def _look_ahead(group: Sequence[tuple[VideoZoomEnv, NDArray[np.float64]]]) -> None:
    """Decode what a group of slots wants of one video; a fault is left for the slot that it concerns to meet."""
    env = group[0][0]
    try:
        env.look_ahead(np.unique(np.concatenate([moments for _, moments in group])))
    except VZError:
        return
