"""How sure a figure is: accuracy with a bootstrap interval clustered by video, paired differences, and chance.

Questions about one video share its luck, so whole videos are resampled, never single questions. All functions are pure
and take their seed; a rerun prints the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vz_env.errors import ConfigError

__all__ = ["Interval", "accuracy", "binomial_interval", "paired_difference"]

_CHUNK_CELLS = 4_000_000  # resamples are drawn in blocks of this many cluster indices: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval around it; all three are NaN when there is nothing to count."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Percent, as tables show it: `71.3 [64.0, 78.1]`."""
        if math.isnan(self.mean):
            return "–"
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def holds(self, value: float) -> bool:
        """Whether a value lies inside the interval, ends included."""
        return self.low <= value <= self.high


def accuracy(
    scores: ArrayLike, clusters: Sequence[str], *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean score with a percentile bootstrap interval that resamples whole clusters.

    Args:
        scores: float (n,), each in [0, 1].
        clusters: n names; questions of one video share a name.
        resamples: bootstrap rounds.
        seed: of the resampling.
        level: of the interval.

    Returns:
        The mean and its interval. One cluster says nothing about others: its interval is all of [0, 1].

    Raises:
        ConfigError: lengths differ, a score is not in [0, 1], or `resamples` or `level` is out of range.
    """
    values = _checked(scores, clusters, resamples=resamples, level=level)
    return _bootstrap(values, clusters, resamples=resamples, seed=seed, level=level, bounds=(0.0, 1.0))


def paired_difference(
    scores: ArrayLike,
    baseline_scores: ArrayLike,
    clusters: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `scores - baseline_scores` on the same questions, with the interval of `accuracy`.

    Raises:
        ConfigError: as in `accuracy`.
    """
    left = _checked(scores, clusters, resamples=resamples, level=level)
    right = _checked(baseline_scores, clusters, resamples=resamples, level=level)
    return _bootstrap(left - right, clusters, resamples=resamples, seed=seed, level=level, bounds=(-1.0, 1.0))


def binomial_interval(successes: int, trials: int, chance: float, level: float = 0.99) -> Interval:
    """Where pure guessing ends up: the observed rate beside the exact central interval of Binomial(trials, chance).

    Args:
        successes: right answers, used for `mean` only.
        trials: answers.
        chance: probability that a guess is right.
        level: probability mass the interval holds at least.

    Returns:
        `mean` is `successes / trials`; `low` and `high` bound the rates that guessing gives, so
        `result.holds(result.mean)` says whether the observation is what guessing would show.

    Raises:
        ConfigError: counts or probabilities out of range.
    """
    if not (0 <= successes <= trials and trials > 0 and 0.0 < chance < 1.0 and 0.0 < level < 1.0):
        raise ConfigError(
            "wanted 0 <= successes <= trials, trials > 0 and chance, level inside (0, 1), "
            f"got {successes}, {trials}, {chance}, {level}"
        )
    counts = np.arange(trials + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    log_mass = log_factorial[-1] - log_factorial - log_factorial[::-1]
    mass = np.exp(log_mass + counts * math.log(chance) + (trials - counts) * math.log1p(-chance))
    cumulative = np.cumsum(mass)
    tail = (1.0 - level) / 2.0
    low = int(np.searchsorted(cumulative, tail, side="left"))
    high = min(trials, int(np.searchsorted(cumulative, 1.0 - tail, side="left")))
    return Interval(successes / trials, low / trials, high / trials)


def _checked(scores: ArrayLike, clusters: Sequence[str], *, resamples: int, level: float) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(clusters):
        raise ConfigError(f"wanted one cluster name a score, got scores {values.shape} and {len(clusters)} names")
    if not (np.isfinite(values) & (values >= 0.0) & (values <= 1.0)).all():
        raise ConfigError("wanted scores in [0, 1]; leave ungraded and failed episodes out")
    if resamples < 1 or not 0.0 < level < 1.0:
        raise ConfigError(f"wanted resamples > 0 and level inside (0, 1), got {resamples} and {level}")
    return values


def _bootstrap(
    values: NDArray[np.float64],
    clusters: Sequence[str],
    *,
    resamples: int,
    seed: int,
    level: float,
    bounds: tuple[float, float],
) -> Interval:
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums, sizes = np.bincount(member, weights=values), np.bincount(member)
    if len(sums) == 1:
        return Interval(mean, *bounds)
    means = np.concatenate(list(_resampled_means(sums, sizes, resamples, np.random.default_rng(seed))))
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Interval(mean, float(low), float(high))


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], resamples: int, generator: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Means of `resamples` draws of as many clusters, with replacement; a ratio, as clusters differ in size."""
    block = max(1, _CHUNK_CELLS // len(sums))
    for start in range(0, resamples, block):
        drawn = generator.integers(len(sums), size=(min(block, resamples - start), len(sums)))
        yield sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
