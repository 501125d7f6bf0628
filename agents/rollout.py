"""Playing episodes: one environment and one policy through one episode, or many of them side by side.

The policy is only ever called from the calling thread, with a batch; environments step in a thread pool, where decoding
releases the interpreter lock. A fault of a video or of the policy's own code becomes a trajectory with
`status="error:<type>"` and the other episodes go on; a caller's mistake (`ConfigError`, `UnknownEpisode`) is raised. A
policy that plays whole episodes (`run_episodes`) turns its own faults into data with `EpisodeRun.fail`.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

import gymnasium as gym
import numpy as np

from vz_env.actions import MAX_ACTION_CHARS
from vz_env.errors import DatasetError, UnknownEpisode, VideoError
from vz_env.wrappers.record import TRAJECTORY_METRICS

from .policy import Observation, PastTurn, Policy, batch_size, policy_name
from .trajectory import TokenRecord, Trajectory, TurnRecord, as_plain, status_of

__all__ = ["EpisodeRun", "ask", "collect_rollouts", "episode_seed", "run_episode"]

_MOST_ACTION_CHARS: Final = 2 * MAX_ACTION_CHARS  # past what is read, and still too long: records stay small


def episode_seed(seed: int, episode_id: str, repeat: int = 0) -> int:
    """A seed in [0, 2**31) of an episode's own, whichever other episodes are played and in whatever order."""
    digest = hashlib.sha256(f"{seed}\x00{repeat}\x00{episode_id}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class EpisodeRun:
    """One episode under way: steps the environment and writes the trajectory as it goes.

    For a policy that plays whole episodes itself (`run_episodes`)::

        run = EpisodeRun(env, policy="mine", episode_id="v1-q2", seed=7)
        run.reset()
        while not run.is_over:
            run.step(think_about(run.observation))
        return run.finish(tokens=...)
    """

    def __init__(self, env: gym.Env[Any, str], *, policy: str, episode_id: str, seed: int) -> None:
        """Bind an environment and an episode; nothing is read before `reset`."""
        self.env, self.seed = env, seed
        self.observation: Observation | None = None
        self.is_over = False
        self.trajectory = Trajectory(episode_id=episode_id, policy=policy, seed=seed)
        self.started_at = time.monotonic()

    def reset(self) -> None:
        """Begin the episode. A fault of its data ends it with an error status instead of raising."""
        self.started_at = time.monotonic()
        try:
            seen, info = self.env.reset(seed=self.seed, options={"episode_id": self.trajectory.episode_id})
        except (VideoError, DatasetError) as fault:
            if isinstance(fault, UnknownEpisode):
                raise
            self.fail(fault)
            return
        self.trajectory.dataset = str(info.get("dataset", ""))
        self.trajectory.split = str(info.get("split", ""))
        self._observe(seen, history=())

    def step(self, action: str) -> None:
        """Play one action. A fault of the data ends the episode with an error status instead of raising."""
        if self.observation is None or self.is_over:
            raise RuntimeError("wanted an episode that is under way: call reset first, and nothing after its end")
        action = action[:_MOST_ACTION_CHARS]
        turn = TurnRecord(
            observation=self.observation.text, timestamps=self.observation.timestamps.tolist(), action=action
        )
        self.trajectory.turns.append(turn)
        try:
            seen, reward, terminated, truncated, info = self.env.step(action)
        except (VideoError, DatasetError) as fault:
            self.fail(fault)
            return
        turn.reward, turn.info = float(reward), as_plain(info)
        self.trajectory.reward += float(reward)
        if terminated or truncated:
            self._end(turn.info)
        else:
            past = PastTurn(self.observation.text, action)
            self._observe(seen, history=(*self.observation.history, past))

    def fail(self, fault: BaseException, source: str = "") -> None:
        """End the episode with `status="error:<type>"`; `source` says whose fault it was."""
        self.is_over, self.observation = True, None
        self.trajectory.status = f"error:{type(fault).__name__}"
        self.trajectory.error = f"{source}{': ' if source else ''}{fault}"
        self.trajectory.score = None

    def finish(self, *, tokens: TokenRecord | None = None) -> Trajectory:
        """Close the record, with the sampled tokens where the policy keeps them, and hand it over."""
        self.trajectory.tokens = tokens
        self.trajectory.seconds = time.monotonic() - self.started_at
        return self.trajectory

    def _observe(self, seen: dict[str, Any], *, history: tuple[PastTurn, ...]) -> None:
        self.observation = Observation(
            text=seen["text"],
            frames=seen["frames"],
            timestamps=np.asarray(seen["timestamps"], dtype=np.float64),
            budget={name: left.item() for name, left in seen["budget"].items()},
            episode=self.env.unwrapped.episode,
            turn=len(history),
            history=history,
        )

    def _end(self, info: dict[str, Any]) -> None:
        self.is_over, self.observation = True, None
        self.trajectory.status = status_of(info["end_reason"])
        self.trajectory.score = info["score"]
        numbers = {name: info[name] for name in TRAJECTORY_METRICS if name in info}
        numbers |= {f"reward_{name}": term for name, term in (info.get("reward_terms") or {}).items()}
        self.trajectory.metrics = {name: None if value is None else float(value) for name, value in numbers.items()}


def run_episode(env: gym.Env[Any, str], policy: Policy, episode_id: str, seed: int) -> Trajectory:
    """Play one episode to its end.

    Args:
        env: an environment that holds the episode.
        policy: who plays it.
        episode_id: which episode.
        seed: the environment's seed, kept in the record.

    Returns:
        The trajectory; `status="error:<type>"` when a video or the policy failed.

    Raises:
        UnknownEpisode: the environment's dataset has no such episode.
        ConfigError: the environment cannot be run as it is configured.
    """
    played = _play([env], policy, [(episode_id, seed)], pool=None, deadline_seconds=None, should_stop=None)
    return next(trajectory for _, trajectory in played)


def collect_rollouts(
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
    """Play many episodes, side by side where the policy or the machine gains by it.

    Args:
        make_env: builds one environment; called once per episode played at the same time.
        policy: who plays; called from this thread only.
        episode_ids: which episodes, repeats allowed (each repeat gets a seed of its own).
        seed: each episode's seed is derived from this one and its id, so a rerun of some gives the same.
        workers: threads that step environments.
        deadline_seconds: an episode still under way after this long ends as `error:TimeoutError`; looked at between
            turns (a decode has its own deadline). Not applied to policies with `run_episodes`.
        on_trajectory: called with each trajectory as its episode ends.
        should_stop: asked between turns; once true, episodes under way are dropped and those that ended are returned.

    Returns:
        One trajectory for each id, in order; fewer when stopped.
    """
    lanes = min(max(workers, batch_size(policy)), len(episode_ids))
    jobs = _seeded(episode_ids, seed)
    envs = [make_env() for _ in range(lanes)]
    finished: dict[int, Trajectory] = {}
    try:
        with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="rollout") as pool:
            if hasattr(policy, "run_episodes"):
                played = _play_whole(envs, policy, jobs, should_stop)
            else:
                played = _play(
                    envs, policy, jobs, pool=pool, deadline_seconds=deadline_seconds, should_stop=should_stop
                )
            for position, trajectory in played:
                finished[position] = trajectory
                if on_trajectory is not None:
                    on_trajectory(trajectory)
    finally:
        for env in envs:
            env.close()
    return [finished[position] for position in sorted(finished)]


def _seeded(episode_ids: Sequence[str], seed: int) -> list[tuple[str, int]]:
    repeats: Counter[str] = Counter()
    jobs = []
    for episode_id in episode_ids:
        jobs.append((episode_id, episode_seed(seed, episode_id, repeats[episode_id])))
        repeats[episode_id] += 1
    return jobs


def _play_whole(
    envs: list[gym.Env[Any, str]],
    policy: Any,
    jobs: list[tuple[str, int]],
    should_stop: Callable[[], bool] | None,
) -> Iterator[tuple[int, Trajectory]]:
    """Hand groups of episodes to a policy that plays them whole; stops between groups only."""
    for start in range(0, len(jobs), max(1, len(envs))):
        if should_stop is not None and should_stop():
            return
        group = jobs[start : start + len(envs)]
        played = policy.run_episodes(envs[: len(group)], [name for name, _ in group], [seed for _, seed in group])
        yield from enumerate(played, start)


def _play(
    envs: list[gym.Env[Any, str]],
    policy: Policy,
    jobs: list[tuple[str, int]],
    *,
    pool: Executor | None,
    deadline_seconds: float | None,
    should_stop: Callable[[], bool] | None,
) -> Iterator[tuple[int, Trajectory]]:
    """Keep every environment busy: all act, all step, those that ended make room for the next episodes."""
    name = policy_name(policy)
    waiting = iter(enumerate(jobs))
    free = list(envs)
    running: dict[int, EpisodeRun] = {}
    while not (should_stop is not None and should_stop()):
        begun = []
        while free and (job := next(waiting, None)) is not None:
            position, (episode_id, seed) = job
            running[position] = EpisodeRun(free.pop(), policy=name, episode_id=episode_id, seed=seed)
            begun.append(running[position])
        if not running:
            return
        _each(pool, EpisodeRun.reset, begun)
        alive = [run for run in running.values() if not run.is_over]
        actions = _act(policy, alive)
        if actions:
            _each(pool, EpisodeRun.step, *zip(*actions, strict=True))
        for run in running.values():
            _expire(run, deadline_seconds)
        for position in [position for position, run in running.items() if run.is_over]:
            run = running.pop(position)
            free.append(run.env)
            yield position, run.finish()


def _each(pool: Executor | None, function: Callable[..., None], *columns: Sequence[Any]) -> None:
    list((pool.map if pool is not None else map)(function, *columns))


def _act(policy: Policy, runs: list[EpisodeRun]) -> list[tuple[EpisodeRun, str]]:
    """Ask the policy for all runs at once; those that it fails on end in an error."""
    replies = ask(policy, [run.observation for run in runs if run.observation is not None])
    for run, reply in zip(runs, replies, strict=True):
        if isinstance(reply, Exception):
            run.fail(reply, source="the policy failed")
    return [(run, reply) for run, reply in zip(runs, replies, strict=True) if isinstance(reply, str)]


def ask(policy: Policy, observations: Sequence[Observation]) -> list[str | Exception]:
    """Ask a policy for actions; when that fails, one by one, so that only the culprits get their exception."""
    if not observations:
        return []
    try:
        actions = list(policy.act(observations))
        if len(actions) != len(observations) or not all(isinstance(action, str) for action in actions):
            kinds = [type(item).__name__ for item in actions]
            raise TypeError(f"wanted act() to return {len(observations)} strings, got {kinds}")
    except Exception as fault:  # noqa: BLE001 - a user's policy may raise anything; it becomes data, with its type
        if len(observations) > 1:
            return [reply for observation in observations for reply in ask(policy, [observation])]
        return [fault]
    return list(actions)


def _expire(run: EpisodeRun, deadline_seconds: float | None) -> None:
    if deadline_seconds is None or run.is_over:
        return
    elapsed = time.monotonic() - run.started_at
    if elapsed > deadline_seconds:
        run.fail(TimeoutError(f"wanted the episode to end within {deadline_seconds:g} s, got to {elapsed:.1f} s"))
