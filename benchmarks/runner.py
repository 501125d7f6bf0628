"""Evaluating a policy on a dataset: every question once, each result on the disk before the next begins.

The same call on the same folder continues where a crash or a signal left it, and its table is that of a run that was
never interrupted: an episode's seed and its key depend on nothing but the episode, the policy, the configuration and
the code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import vz_agents
import vz_env
from vz_agents.policy import (
    Policy,
    as_policy,
    budget_for,
    fingerprint,
    needs_frames,
    policy_name,
    reads_key,
    wrap_env,
)
from vz_agents.rollout import collect_rollouts
from vz_agents.trajectory import Trajectory, as_plain
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv

from .records import EpisodeRecord, ResultsFile, to_pretty_json, write_atomically
from .reproducibility import rules_of
from .results import EvalResult, summarise
from .significance import duration_stratum

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset
    from vz_env.episode import Episode

__all__ = ["RESULTS_NAME", "RUNS_NAME", "code_version", "evaluate"]

RESULTS_NAME: Final = "results.jsonl"
RUNS_NAME: Final = "runs.json"


def evaluate(
    policy: Policy | Callable[..., str] | type,
    dataset: Dataset,
    *,
    out: Path,
    env_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 1,
    retries: int = 1,
    deadline_seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    collect: Callable[..., Any] = collect_rollouts,
) -> EvalResult:
    """Play every episode of a dataset once and summarise.

    Args:
        policy: a policy, or anything `as_policy` makes one of.
        dataset: the questions; a `subset` of it shares results with the whole.
        out: folder of `results.jsonl`, which several policies may share, and `runs.json`, which says what they are.
        env_options: arguments of `VideoZoomEnv` besides the dataset; the policy may replace the budget among them.
        seed: episodes' seeds are derived from it.
        workers: threads that step environments.
        retries: how often episodes that ended in `error:*` are played again; a later call tries them again too.
        deadline_seconds: wall-clock limit of one episode, looked at between turns.
        progress: called with (episodes done, all episodes), first with those found on the disk.
        should_stop: asked between turns; once true, the call returns what has been played.
        collect: who plays the episodes, with the arguments of `collect_rollouts`; `collect_with_ray` is another.

    Returns:
        The figures; `episodes` is less than `len(dataset)` only when stopped.

    Raises:
        ConfigError: the environment refuses its options, or another process writes to `out`.
    """
    policy = as_policy(policy)
    options = {"with_frames": needs_frames(policy), **(env_options or {})}
    budget = options.get("budget") or {}
    options["budget"] = budget_for(policy, budget if isinstance(budget, Budget) else Budget(**budget))
    description = _describe_run(policy, dataset, options, seed)
    run = _digest(description)
    with ResultsFile(out / RESULTS_NAME) as results:
        _note_run(out / RUNS_NAME, run, description)
        book = _Book(results, dataset, run=run, is_cheating=reads_key(policy), progress=progress)
        for _ in range(1 + retries):
            missing = book.missing()
            if not missing or (should_stop is not None and should_stop()):
                break
            collect(
                lambda: wrap_env(policy, VideoZoomEnv(dataset, **options)),
                policy,
                missing,
                seed=seed,
                workers=workers,
                deadline_seconds=deadline_seconds,
                on_trajectory=book.enter,
                should_stop=should_stop,
            )
        return summarise(book.records(), seed=seed)


class _Book:
    """What is done and what is not of one run in a results file."""

    def __init__(
        self,
        results: ResultsFile,
        dataset: Dataset,
        *,
        run: str,
        is_cheating: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.results, self.dataset = results, dataset
        self.run, self.is_cheating, self.progress = run, is_cheating, progress
        self.keys = {episode_id: _digest([run, episode_id]) for episode_id in dataset.ids}
        self.played = {key for key in self.keys.values() if results.get(key) is not None}
        self._report_progress()

    def missing(self) -> list[str]:
        """Episodes without a result, and those whose result is an error, in the dataset's order."""
        done = self.results.done_keys()
        return [episode_id for episode_id, key in self.keys.items() if key not in done]

    def enter(self, trajectory: Trajectory) -> None:
        """Write one result to the disk."""
        episode = self.dataset.episode(trajectory.episode_id)
        key = self.keys[trajectory.episode_id]
        self.results.append(
            EpisodeRecord(
                key=key,
                run=self.run,
                trajectory=trajectory,
                reads_key=self.is_cheating,
                video_group=episode.video_group,
                groups=_groups_of(episode),
            )
        )
        self.played.add(key)
        self._report_progress()

    def records(self) -> list[EpisodeRecord]:
        """The results of this run, in the dataset's order."""
        return [record for key in self.keys.values() if (record := self.results.get(key)) is not None]

    def _report_progress(self) -> None:
        if self.progress is not None:
            self.progress(len(self.played), len(self.keys))


def _describe_run(policy: Policy, dataset: Dataset, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Everything that a result depends on besides the episode, as plain JSON."""
    return {
        "policy": policy_name(policy),
        "fingerprint": fingerprint(policy),
        "reads_key": reads_key(policy),
        "dataset": {"name": dataset.name, "split": dataset.split, "revision": dataset.revision},
        "env_options": _stable(options),
        "rules": {**rules_of(options), **getattr(policy, "rules", {})},
        "seed": seed,
        "code": code_version(),
    }


def _groups_of(episode: Episode) -> dict[str, str]:
    """The names to report an episode by: its own, and its length where the dataset states it."""
    stratum = duration_stratum(episode.duration_seconds)
    return {**({"duration": stratum} if stratum else {}), **episode.groups}


def _note_run(path: Path, run: str, description: Mapping[str, Any]) -> None:
    """Add a run to the list of what the results beside it mean."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get(run) != description:
        write_atomically(path, to_pretty_json({**known, run: description}))


def _stable(value: Any) -> Any:
    """A value as JSON that is the same in every process: no memory addresses, no set order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _stable(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _stable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stable(inner) for inner in value]
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return as_plain(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()[:32]


@cache
def code_version() -> str:
    """The version of the code that a score depends on: a hash over the sources of environment and agents."""
    digest = hashlib.sha256()
    for package in (vz_env, vz_agents):
        folder = Path(str(package.__file__)).parent
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.relative_to(folder).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
