"""How large an error a figure has, whether two runs really differ, and how small a difference could have been seen.

Questions about one video share its luck, so deviations are summed by video before they are squared: the
cluster-robust standard error of a mean, as in "Adding Error Bars to Evals" (Miller, 2024), with the usual correction
for the number of clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vz_env.errors import ConfigError

__all__ = ["PairedTest", "clustered_standard_error", "duration_stratum", "paired_test"]

_STRATA: Final = ((120.0, "00-02 min"), (600.0, "02-10 min"), (1800.0, "10-30 min"), (3600.0, "30-60 min"))
_NORMAL: Final = NormalDist()


def clustered_standard_error(scores: ArrayLike, clusters: Sequence[str]) -> float:
    """Standard error of the mean of scores that are correlated within clusters.

    sqrt(G / (G - 1) * sum over clusters of (sum of deviations in it)^2) / n, for n scores in G clusters. With one score
    a cluster this is the usual sample standard deviation over sqrt(n).

    Args:
        scores: float (n,).
        clusters: n names.

    Returns:
        The standard error; NaN for fewer than two clusters, which say nothing about others.

    Raises:
        ConfigError: lengths differ, or a score is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(clusters) or not np.isfinite(values).all():
        raise ConfigError(f"wanted one finite score a cluster name, got shape {values.shape} and {len(clusters)} names")
    sums = _cluster_sums(values - values.mean(), clusters) if len(values) else np.zeros(0)
    if len(sums) < 2:
        return math.nan
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / len(values))


def _cluster_sums(values: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(member, weights=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two runs on the same questions.

    Attributes:
        difference: mean of first minus second, in [-1, 1].
        standard_error: of the difference, clustered.
        p_value: two-sided, by the normal distribution: how often so large a difference comes from no difference.
        minimum_detectable: the true difference that a test of this size and level would find with the given power.
        questions: both runs were graded on.
        clusters: among them.
        gained: questions that only the first run got right.
        lost: questions that only the second did.
    """

    difference: float
    standard_error: float
    p_value: float
    minimum_detectable: float
    questions: int
    clusters: int
    gained: int
    lost: int

    def __str__(self) -> str:
        """One line, in points of a hundred."""
        if math.isnan(self.difference):
            return "no question was graded in both"
        changed = f"gained {self.gained}, lost {self.lost}"
        if math.isnan(self.standard_error):
            return (
                f"{100 * self.difference:+.1f} points over {self.questions} question{'s' * (self.questions != 1)} "
                f"about one video, which says nothing about others; {changed}"
            )
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        return (
            f"{100 * self.difference:+.1f} points (standard error {100 * self.standard_error:.1f}, "
            f"{p_value}) over {self.questions} questions about {self.clusters} videos; {changed}; "
            f"{100 * self.minimum_detectable:.1f} points would have been found"
        )


def paired_test(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[str], *, level: float = 0.05, power: float = 0.8
) -> PairedTest:
    """Compare two runs question by question.

    Args:
        first: scores (n,) in [0, 1].
        second: scores (n,) of the same questions.
        clusters: n names; questions of one video share a name.
        level: of the two-sided test behind `minimum_detectable`.
        power: with which that difference would be found.

    Raises:
        ConfigError: lengths differ, or level or power is not inside (0, 1).
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.shape != right.shape or not (0 < level < 1 and 0 < power < 1):
        raise ConfigError(
            f"wanted pairs, and level and power in (0, 1); got {left.shape}, {right.shape}, {level}, {power}"
        )
    error = clustered_standard_error(left - right, clusters)
    difference = float((left - right).mean()) if len(left) else math.nan
    factor = _NORMAL.inv_cdf(1 - level / 2) + _NORMAL.inv_cdf(power)
    return PairedTest(
        difference=difference,
        standard_error=error,
        p_value=_p_value(difference, error),
        minimum_detectable=factor * error,
        questions=len(left),
        clusters=len(set(clusters)),
        gained=int(((left >= 0.5) & (right < 0.5)).sum()),
        lost=int(((left < 0.5) & (right >= 0.5)).sum()),
    )


def _p_value(difference: float, error: float) -> float:
    if math.isnan(difference) or math.isnan(error):
        return math.nan
    if error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2.0))


def duration_stratum(seconds: float | None) -> str | None:
    """Which length a video counts under in break-downs; None when its length is not known."""
    if seconds is None or not seconds > 0:
        return None
    return next((name for limit, name in _STRATA if seconds < limit), "60+ min")
