"""What an iteration is measured by, under the names that SB3 and this field use: rollouts, groups, seconds, tokens."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean, pstdev
from typing import Final

import torch

from .sampler import Rollout
from .trajectory import Trajectory

__all__ = ["PhaseClock", "iteration_metrics", "model_flops_utilisation", "token_rates"]

PEAK_FLOPS: Final = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
"""Dense bf16 peaks by a part of the device's name, from the makers' data sheets."""


class PhaseClock:
    """Adds up wall-clock seconds by phase; work queued on a device is waited for at a phase's end."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: dict[str, float] = {}
        self.idle_seconds = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.monotonic()
        try:
            yield
        finally:
            if torch.cuda.is_available() and torch.cuda.is_initialized():
                torch.cuda.synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def add_idle(self, seconds: float) -> None:
        """Count seconds of the rollout in which no forward pass was under way, as environments were waited for."""
        self.idle_seconds += seconds

    def metrics(self) -> dict[str, float]:
        """The phases as `time/<phase>_seconds`."""
        return {f"time/{name}_seconds": seconds for name, seconds in self.seconds.items()}

    def idle_metrics(self, device: torch.device) -> dict[str, float]:
        """`time/model_idle_share`: of the rollout's seconds; the same as `time/gpu_idle_share` where that is a GPU."""
        share = self.idle_seconds / max(self.seconds.get("rollout", 0.0), 1e-9)
        return {"time/model_idle_share": share, **({"time/gpu_idle_share": share} if device.type == "cuda" else {})}


def iteration_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """What the iteration's episodes came to, how the samples of a question differ, and the memory that it took."""
    return rollout_metrics(rollouts) | group_metrics(rollouts) | memory_metrics()


def rollout_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means over the iteration's episodes; those that ended in an error count in `rollout/error_rate` alone."""
    ended = [rollout.trajectory for rollout in rollouts if not rollout.trajectory.is_error]
    if not ended:
        return {"rollout/error_rate": 1.0}

    def metric(name: str) -> float:
        return _mean([float(value) for t in ended if (value := t.metrics.get(name)) is not None])

    turns = sum(len(trajectory.turns) for trajectory in ended)
    return {
        "rollout/ep_rew_mean": _mean([trajectory.reward for trajectory in ended]),
        "rollout/accuracy": _mean([trajectory.score or 0.0 for trajectory in ended]),
        "rollout/format": 1.0 - sum(t.metrics.get("invalid_actions") or 0.0 for t in ended) / max(1, turns),
        "rollout/turns": turns / len(ended),
        "rollout/zooms": metric("zooms"),
        "rollout/frames_used": metric("frames_used"),
        "rollout/evidence_hit": metric("evidence_hit"),
        "rollout/answered": _mean([float(trajectory.status == "answered") for trajectory in ended]),
        "rollout/error_rate": 1.0 - len(ended) / len(rollouts),
        "rollout/tokens_per_episode": _mean([float(len(t.tokens)) for t in ended if t.tokens is not None]),
        "rollout/sampled_tokens_per_episode": _mean([float(sum(t.tokens.mask)) for t in ended if t.tokens is not None]),
    }


def group_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """How the samples of one question differ: in reward, and in what they did."""
    groups: dict[str, list[Trajectory]] = {}
    for rollout in rollouts:
        if not rollout.trajectory.is_error:
            groups.setdefault(rollout.trajectory.episode_id, []).append(rollout.trajectory)
    if not groups:
        return {}
    spreads = [pstdev(trajectory.reward for trajectory in group) for group in groups.values()]
    solved = [fmean(trajectory.score or 0.0 for trajectory in group) for group in groups.values()]
    first = [len({t.turns[0].action for t in group if t.turns}) / len(group) for group in groups.values()]
    return {
        "group/reward_std": fmean(spreads),
        "group/zero_variance": fmean(spread < 1e-6 for spread in spreads),
        "group/all_right": fmean(accuracy == 1.0 for accuracy in solved),
        "group/all_wrong": fmean(accuracy == 0.0 for accuracy in solved),
        "group/distinct_first_actions": fmean(first),
    }


def token_rates(
    rollouts: Sequence[Rollout], trained: int, rollout_seconds: float, train_seconds: float
) -> dict[str, float]:
    """Tokens a second: sampled ones of the rollout's time, all of the iteration's, trained ones of the training's."""
    records = [rollout.trajectory.tokens for rollout in rollouts if rollout.trajectory.tokens]
    return {
        "time/sampled_tokens_per_second": sum(sum(record.mask) for record in records) / rollout_seconds,
        "time/total_tokens_per_second": sum(map(len, records)) / (rollout_seconds + train_seconds),
        "time/trained_tokens_per_second": trained / train_seconds,
    }


def memory_metrics() -> dict[str, float]:
    """`memory/peak_gib`: of the device since the last call, or of this process since it began where there is none."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return {"memory/peak_gib": peak / 2**30}
    unit = 1 if sys.platform == "darwin" else 1024  # kilobytes, and bytes on macOS
    return {"memory/peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}


def model_flops_utilisation(
    parameters: int, tokens: Mapping[str, float], seconds: float, device: torch.device
) -> dict[str, float]:
    """`time/mfu`: six operations a parameter and trained token and two a forwarded one, of the device's peak.

    Args:
        parameters: of the model.
        tokens: `trained` and `forwarded`, as they went through the model.
        seconds: that this took.
        device: where.

    Returns:
        Nothing where the peak is not known.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak = next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)
    if peak is None:
        return {}
    return {"time/mfu": parameters * (6 * tokens["trained"] + 2 * tokens["forwarded"]) / seconds / peak}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
