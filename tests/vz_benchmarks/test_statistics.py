from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vz_benchmarks.statistics import Interval, accuracy, binomial_interval, paired_difference
from vz_env.errors import ConfigError


def brute_force(values, clusters, resamples, seed):
    """The same bootstrap, one resample and one cluster at a time."""
    names = sorted(set(clusters))
    groups = [[value for value, name in zip(values, clusters, strict=True) if name == wanted] for wanted in names]
    generator, means = np.random.default_rng(seed), []
    draws = generator.integers(len(groups), size=(resamples, len(groups)))
    for row in draws:
        pooled = [value for index in row for value in groups[index]]
        means.append(sum(pooled) / len(pooled))
    return np.percentile(means, [2.5, 97.5])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from("abcd")), min_size=2, max_size=30))
def test_accuracy_equals_brute_force(rows):
    scores, clusters = [row[0] for row in rows], [row[1] for row in rows]
    found = accuracy(scores, clusters, resamples=200, seed=7)
    assert math.isclose(found.mean, sum(scores) / len(scores), abs_tol=1e-12)
    if len(set(clusters)) > 1:
        assert np.allclose([found.low, found.high], brute_force(scores, clusters, 200, 7), atol=1e-9)


def test_accuracy_approaches_the_exact_bootstrap_distribution():
    scores, clusters = [1.0, 1.0, 0.0, 0.0, 1.0], ["a", "a", "b", "c", "c"]
    groups = {"a": [1.0, 1.0], "b": [0.0], "c": [0.0, 1.0]}
    exact = [sum(sum(groups[n], 0.0) for n in d) / sum(len(groups[n]) for n in d) for d in product("abc", repeat=3)]
    found = accuracy(scores, clusters, resamples=20_000, seed=0, level=0.8)
    low, high = np.percentile(exact, [10, 90], method="inverted_cdf")
    assert np.allclose([found.low, found.high], [low, high], atol=1e-9)


def test_a_cluster_counts_once_however_many_questions_it_has():
    alternating = [0.0, 1.0] * 50
    by_question = accuracy(alternating, [str(n) for n in range(100)])
    by_video = accuracy(sorted(alternating), [str(n // 10) for n in range(100)])
    assert by_video.high - by_video.low > 2 * (by_question.high - by_question.low)


def test_interval_covers_the_truth_as_often_as_it_says():
    generator, hits = np.random.default_rng(0), 0
    clusters = [str(n // 5) for n in range(200)]
    for trial in range(200):
        rate = np.repeat(generator.beta(6, 4, size=40), 5)
        hits += accuracy(generator.random(200) < rate, clusters, resamples=300, seed=trial).holds(0.6)
    assert 180 <= hits <= 199


def test_the_same_seed_gives_the_same_interval():
    scores, clusters = np.random.default_rng(1).random(60), [str(n // 3) for n in range(60)]
    assert accuracy(scores, clusters, seed=4) == accuracy(scores, clusters, seed=4)
    assert accuracy(scores, clusters, seed=4) != accuracy(scores, clusters, seed=5)


def test_nothing_to_count_is_nan_and_shown_as_a_dash():
    found = accuracy([], [])
    assert math.isnan(found.mean)
    assert str(found) == "–"


def test_one_video_says_nothing_about_others():
    assert accuracy([1.0, 0.0], ["a", "a"]) == Interval(0.5, 0.0, 1.0)
    assert paired_difference([1.0, 1.0], [0.0, 1.0], ["a", "a"]) == Interval(0.5, -1.0, 1.0)


def test_paired_difference_is_tighter_than_two_intervals():
    generator = np.random.default_rng(2)
    clusters = [str(n // 4) for n in range(120)]
    weak = (generator.random(120) < 0.5).astype(float)
    strong = np.maximum(weak, generator.random(120) < 0.3)
    found = paired_difference(strong, weak, clusters)
    assert math.isclose(found.mean, strong.mean() - weak.mean(), abs_tol=1e-12)
    spread = accuracy(strong, clusters)
    assert found.low > 0
    assert found.high - found.low < spread.high - spread.low


@pytest.mark.parametrize(("trials", "chance"), [(1, 0.5), (7, 0.25), (60, 0.25), (400, 0.25)])
def test_binomial_interval_holds_its_level(trials, chance):
    found = binomial_interval(0, trials, chance, 0.99)
    low, high = round(found.low * trials), round(found.high * trials)

    def mass(first, last):
        return sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(first, last + 1))

    assert mass(low, high) >= 0.99
    assert mass(0, low - 1) <= 0.005 + 1e-9
    assert mass(high + 1, trials) <= 0.005 + 1e-9


def test_binomial_interval_tells_guessing_from_knowing():
    guess, knows = binomial_interval(101, 400, 0.25), binomial_interval(160, 400, 0.25)
    assert guess.holds(guess.mean)
    assert not knows.holds(knows.mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy([1.0], []), "one cluster name"),
        (lambda: accuracy([math.nan], ["a"]), r"scores in \[0, 1\]"),
        (lambda: accuracy([1.5], ["a"]), r"scores in \[0, 1\]"),
        (lambda: accuracy([1.0], ["a"], resamples=0), "resamples > 0"),
        (lambda: binomial_interval(3, 2, 0.5), "successes <= trials"),
        (lambda: binomial_interval(0, 0, 0.5), "trials > 0"),
    ],
)
def test_statistics_refuse_what_they_cannot_count(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_an_interval_prints_percent():
    assert str(Interval(0.7125, 0.6, 0.8)) == "71.2 [60.0, 80.0]"
