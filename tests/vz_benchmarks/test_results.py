from __future__ import annotations

import math

import pytest

from vz_agents.trajectory import Trajectory, TurnRecord
from vz_benchmarks.records import EpisodeRecord
from vz_benchmarks.results import compare, summarise, value_order
from vz_benchmarks.statistics import accuracy


def make_record(
    number: int, score: float | None, *, status="answered", policy="P", actions=("zoom", "answer"), **metrics
):
    trajectory = Trajectory(
        episode_id=f"e{number}",
        dataset="D",
        split="test",
        policy=policy,
        turns=[TurnRecord(observation="", timestamps=[], action="", info={"action": action}) for action in actions],
        status=status,
        score=score,
        metrics={"frames_used": 48.0, "zooms": 1.0, "evidence_hit": 1.0} | metrics,
    )
    task = "count" if number % 2 else "first"
    return EpisodeRecord(
        key=f"k{number}", run="r", trajectory=trajectory, video_group=f"v{number // 3}", groups={"task": task}
    )


def test_summarise_counts_what_was_played():
    records = [make_record(number, float(number % 3 == 0)) for number in range(12)]
    result = summarise(records)
    assert (result.policy, result.dataset, result.split, result.run) == ("P", "D", "test", "r")
    assert (result.episodes, result.graded, result.errors) == (12, 12, {})
    clusters = [f"v{number // 3}" for number in range(12)]
    assert result.accuracy == accuracy([float(number % 3 == 0) for number in range(12)], clusters)
    assert (result.frames_per_episode, result.zooms_per_episode, result.evidence_hit_rate) == (48.0, 1.0, 1.0)
    assert [one.episode_id for one in result.trajectories] == [f"e{number}" for number in range(12)]


def test_errors_are_apart_from_accuracy_and_also_counted_wrong():
    records = [make_record(0, 1.0), make_record(3, None, status="error:VideoDecodeError", frames_used=999.0)]
    result = summarise(records)
    assert (result.accuracy.mean, result.accuracy_errors_wrong) == (1.0, 0.5)
    assert result.errors == {"error:VideoDecodeError": 1}
    assert result.frames_per_episode == 48.0
    assert result.has_too_many_errors


def test_one_error_in_a_hundred_is_not_too_many():
    records = [make_record(number, 1.0) for number in range(99)]
    records.append(make_record(99, None, status="error:X"))
    assert not summarise(records, resamples=10).has_too_many_errors


def test_ungraded_answers_leave_the_denominator():
    result = summarise([make_record(0, 1.0), make_record(3, None)])
    assert (result.episodes, result.graded, result.accuracy.mean, result.accuracy_errors_wrong) == (2, 1, 1.0, 1.0)


def test_format_rate_is_the_share_of_legal_actions():
    result = summarise([make_record(0, 0.0, actions=("zoom", "invalid", "answer", "invalid"))])
    assert result.format_rate == 0.5


def test_groups_are_summarised_one_by_one():
    result = summarise([make_record(number, float(number % 2)) for number in range(8)])
    assert [(one.group, one.value, one.episodes, one.accuracy.mean) for one in result.groups] == [
        ("task", "count", 4, 1.0),
        ("task", "first", 4, 0.0),
    ]


def test_nothing_played_is_nan_everywhere():
    result = summarise([])
    assert result.episodes == 0
    assert all(math.isnan(one) for one in (result.accuracy.mean, result.frames_per_episode, result.format_rate))
    assert result.error_rate == 0.0


def test_compare_pairs_the_questions_both_were_graded_on():
    mine = summarise([make_record(number, 1.0) for number in range(6)])
    theirs = summarise([make_record(number, 0.0) for number in range(3, 9)])
    assert compare(mine, theirs).mean == 1.0
    assert math.isnan(compare(mine, summarise([])).mean)


def test_repr_shows_the_headline():
    assert repr(summarise([make_record(0, 1.0)])) == "EvalResult('P', 1 episodes, accuracy 100.0 [0.0, 100.0])"


@pytest.mark.parametrize("resamples", [10, 500])
def test_summaries_repeat_themselves(resamples):
    records = [make_record(number, float(number % 5 == 0)) for number in range(20)]
    assert summarise(records, resamples=resamples) == summarise(records, resamples=resamples)


@pytest.mark.parametrize(
    "values",
    [["easy", "medium", "hard"], ["short", "medium", "long", "other"], ["0015 s", "60 s", "600 s"], ["T2", "T10"]],
)
def test_values_of_a_group_stand_in_their_order(values):
    assert sorted(reversed(values), key=value_order) == values
