"""Episodes over a Ray cluster: the same call as threads, played by workers on other cores and machines.

Start an engine with `ray start --head` (and `ray start --address=...` on the others), or let this start one on this
machine. The driver alone writes results, so everything that holds for them holds here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import gymnasium as gym

from vz_agents.policy import Policy, policy_name
from vz_agents.rollout import collect_rollouts, episode_seed
from vz_agents.trajectory import Trajectory
from vz_env.errors import ConfigError

__all__ = ["collect_with_ray"]

_EPISODES_PER_TASK: Final = 16
_POLL_SECONDS: Final = 0.5


def collect_with_ray(
    make_env: Callable[[], gym.Env[Any, str]],
    policy: Policy,
    episode_ids: Sequence[str],
    *,
    seed: int,
    workers: int = 1,
    deadline_seconds: float | None = None,
    on_trajectory: Callable[[Trajectory], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Trajectory]:
    """Play many episodes over Ray; arguments and result are those of `collect_rollouts`, ids without repeats.

    `make_env` and `policy` are pickled once. A worker that dies turns its episodes into `error:WorkerDied`, which a
    retry plays again.

    Raises:
        ConfigError: ray is not installed, or the policy or the environment cannot be pickled.
    """
    ray = _connect(workers)
    play = ray.remote(max_retries=1, num_cpus=1)(_play)
    try:
        shared = ray.put((make_env, policy))
    except (TypeError, ValueError, AttributeError) as fault:
        raise ConfigError(f"Ray wants a policy and a dataset that can be pickled: {fault}") from fault
    size = max(1, min(_EPISODES_PER_TASK, -(-len(episode_ids) // (2 * workers))))
    waiting = [list(episode_ids[start : start + size]) for start in range(0, len(episode_ids), size)]
    running: dict[Any, list[str]] = {}
    finished: dict[str, Trajectory] = {}
    while (waiting or running) and not (should_stop is not None and should_stop()):
        while waiting and len(running) < workers:
            ids = waiting.pop(0)
            running[play.remote(shared, ids, seed, deadline_seconds)] = ids
        ready, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
        for task in ready:
            for trajectory in _result(ray, task, running.pop(task), policy_name(policy), seed):
                finished[trajectory.episode_id] = trajectory
                if on_trajectory is not None:
                    on_trajectory(trajectory)
    for task in running:
        ray.cancel(task, force=True)
    return [finished[episode_id] for episode_id in episode_ids if episode_id in finished]


def _connect(workers: int) -> Any:
    """Ray, connected to the engine that is there, or to one of our own."""
    try:
        import ray
    except ModuleNotFoundError as fault:
        raise ConfigError("--ray wants Ray: pip install 'vz-env[ray]'") from fault
    if not ray.is_initialized():
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    return ray


def _play(shared: tuple[Any, Any], ids: list[str], seed: int, deadline_seconds: float | None) -> list[str]:
    """In a worker: play some episodes, and hand the trajectories back as the text that results hold."""
    make_env, policy = shared
    played = collect_rollouts(make_env, policy, ids, seed=seed, deadline_seconds=deadline_seconds)
    return [trajectory.to_json() for trajectory in played]


def _result(ray: Any, task: Any, ids: list[str], policy: str, seed: int) -> list[Trajectory]:
    try:
        return [Trajectory.from_json(line) for line in ray.get(task)]
    except ray.exceptions.RayError as fault:
        reason = f"a Ray worker failed: {type(fault).__name__}: {str(fault).splitlines()[0]:.200}"
        return [
            Trajectory(
                episode_id=episode_id,
                policy=policy,
                seed=episode_seed(seed, episode_id),
                status="error:WorkerDied",
                error=reason,
            )
            for episode_id in ids
        ]
