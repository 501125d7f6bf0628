from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vz_benchmarks.significance import clustered_standard_error, duration_stratum, paired_test
from vz_env.errors import ConfigError

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from("abcde")), min_size=2, max_size=30)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_standard_error_is_the_double_sum_of_its_definition(rows: list[tuple[float, str]]) -> None:
    scores, clusters = [row[0] for row in rows], [row[1] for row in rows]
    names = set(clusters)
    if len(names) < 2:
        assert math.isnan(clustered_standard_error(scores, clusters))
        return
    mean = sum(scores) / len(scores)
    total = sum(
        (one - mean) * (other - mean)
        for one, first in zip(scores, clusters, strict=True)
        for other, second in zip(scores, clusters, strict=True)
        if first == second
    )
    expected = total * len(names) / (len(names) - 1) / len(scores) ** 2
    assert clustered_standard_error(scores, clusters) ** 2 == pytest.approx(expected, abs=1e-12)


def test_with_one_question_a_video_it_is_the_usual_one() -> None:
    scores = np.random.default_rng(0).random(50)
    usual = scores.std(ddof=1) / math.sqrt(50)
    assert clustered_standard_error(scores, [str(n) for n in range(50)]) == pytest.approx(usual, abs=1e-12)


def test_repeating_every_question_changes_nothing_within_its_video() -> None:
    scores = np.random.default_rng(1).random(40)
    names = [str(n) for n in range(40)]
    once = clustered_standard_error(scores, names)
    assert clustered_standard_error(np.repeat(scores, 5), np.repeat(names, 5).tolist()) == pytest.approx(once)
    assert clustered_standard_error(np.repeat(scores, 5), [str(n) for n in range(200)]) < once / 2


def test_it_is_the_spread_of_means_over_fresh_samples() -> None:
    rng = np.random.default_rng(2)
    means, errors = [], []
    for _ in range(400):
        luck = rng.random(60)
        scores = (rng.random((60, 4)) < luck[:, None]).astype(float).ravel()
        means.append(scores.mean())
        errors.append(clustered_standard_error(scores, np.repeat(np.arange(60).astype(str), 4).tolist()))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_paired_test_counts_and_agrees_with_its_parts() -> None:
    first, second = [1, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 0]
    clusters = ["a", "a", "b", "b", "c", "d"]
    found = paired_test(first, second, clusters)
    assert (found.difference, found.gained, found.lost) == (pytest.approx(2 / 6), 3, 1)
    assert (found.questions, found.clusters) == (6, 4)
    error = clustered_standard_error(np.subtract(first, second), clusters)
    assert found.standard_error == pytest.approx(error)
    assert found.minimum_detectable == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    z = found.difference / error
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert str(found).startswith("+33.3 points (standard error")


def test_under_no_difference_few_tests_are_significant_and_the_detectable_one_is_found() -> None:
    rng = np.random.default_rng(3)
    names = np.repeat(np.arange(100).astype(str), 3).tolist()

    def share_found(shift: float) -> float:
        found = 0
        for _ in range(300):
            hard = np.repeat(rng.random(100) * 0.4 + 0.2, 3)
            test = paired_test(rng.random(300) < hard + shift, rng.random(300) < hard, names)
            found += test.p_value < 0.05
        return found / 300

    detectable = paired_test(rng.random(300) < 0.5, rng.random(300) < 0.5, names).minimum_detectable
    assert share_found(0.0) < 0.1
    assert 0.65 < share_found(detectable) < 0.95


def test_the_same_run_twice_differs_in_nothing() -> None:
    found = paired_test([1, 0, 1], [1, 0, 1], ["a", "b", "c"])
    assert (found.difference, found.p_value, found.minimum_detectable) == (0.0, 1.0, 0.0)
    always = paired_test([1, 1], [0, 0], ["a", "b"])
    assert (always.difference, always.p_value) == (1.0, 0.0)


def test_nothing_one_cluster_and_nonsense() -> None:
    nothing = paired_test([], [], [])
    assert math.isnan(nothing.difference)
    assert str(nothing) == "no question was graded in both"
    assert math.isnan(paired_test([1, 0], [0, 0], ["a", "a"]).p_value)
    for wrong in ({"level": 0.0}, {"power": 1.0}):
        with pytest.raises(ConfigError, match="level and power"):
            paired_test([1], [1], ["a"], **wrong)
    with pytest.raises(ConfigError, match="wanted pairs"):
        paired_test([1, 0], [1], ["a", "b"])
    with pytest.raises(ConfigError, match="finite score"):
        clustered_standard_error([1.0, math.nan], ["a", "b"])


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(1, "00-02 min"), (119.9, "00-02 min"), (120, "02-10 min"), (3599, "30-60 min"), (3600, "60+ min")],
)
def test_lengths_fall_into_strata_that_sort(seconds: float, name: str) -> None:
    assert duration_stratum(seconds) == name
    assert duration_stratum(None) is None
