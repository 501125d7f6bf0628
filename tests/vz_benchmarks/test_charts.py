from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from vz_agents.learning_log import LearningLog, read_curve
from vz_benchmarks.charts import Point, ZoomMark, draw_frames_chart, draw_learning_chart, draw_timeline
from vz_benchmarks.statistics import Interval
from vz_env.episode import Segment

HOSTILE = '</svg><script>alert("1")</script>&'


def parse(markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup))


def point(label="PPO", frames=48.0, mean=0.8, style="main") -> Point:
    return Point(label=label, frames=frames, accuracy=Interval(mean, mean - 0.1, mean + 0.1), style=style)


def test_frames_chart_draws_a_circle_for_each_policy_and_escapes_names():
    drawn = parse(draw_frames_chart([point(), point(HOSTILE, 80.0, 0.4, "other")]))
    assert len(drawn.findall(".//circle")) == 2
    assert HOSTILE in [text.text for text in drawn.iter("text")]
    assert not drawn.findall(".//script")


def test_higher_accuracy_is_drawn_higher_and_more_frames_further_right():
    low, high = parse(draw_frames_chart([point(mean=0.2, frames=10), point(mean=0.9, frames=90)])).findall(".//circle")
    assert float(high.get("cy")) < float(low.get("cy"))
    assert float(high.get("cx")) > float(low.get("cx"))


def test_labels_of_equal_points_do_not_lie_on_one_another():
    drawn = parse(draw_frames_chart([point(label=str(number)) for number in range(4)]))
    heights = sorted(float(group.find("text").get("y")) for group in drawn.findall("g"))
    assert all(below - above >= 15 for above, below in pairwise(heights))


def test_policies_that_differ_in_a_number_are_one_curve():
    labels = [("Uniform-64 by x", 64.0), ("Uniform-8 by x", 8.0), ("Uniform-16 by x", 16.0), ("Other-2", 30.0)]
    drawn = parse(draw_frames_chart([point(label=label, frames=frames) for label, frames in labels]))
    (curve,) = [path for path in drawn.iter("path") if path.get("class") == "curve"]
    across = [float(pair.split()[0]) for pair in curve.get("d")[1:].split("L")]
    assert across == sorted(across)
    assert [group.find("text").text for group in drawn.findall("g")] == ["Uniform-64 by x", "8", "16", "Other-2"]


@pytest.mark.parametrize("points", [[], [point(mean=math.nan)], [point(frames=math.nan)]])
def test_frames_chart_without_figures_is_empty(points):
    assert draw_frames_chart(points) == ""


def test_a_policy_without_frames_can_be_drawn():
    assert len(parse(draw_frames_chart([point(frames=0.0)])).findall(".//circle")) == 1


def test_learning_chart_draws_the_known_columns():
    rows = [{"iteration": n, "episodes": 64 * n, "accuracy": n / 10, "loss": 9.0} for n in range(10)]
    drawn = parse(
        draw_learning_chart([*rows[:-1], {**rows[-1], "eval_accuracy": 0.5}, {"episodes": 1, "eval_accuracy": 0}])
    )
    labels = [group.find("text").text for group in drawn.findall("g")]
    assert labels == ["accuracy 0.90", "validation 0.00"]
    assert "episodes of training" in [text.text for text in drawn.iter("text")]


def test_a_long_learning_curve_is_drawn_as_running_means():
    rows = [{"episodes": n, "accuracy": float(n % 2), "evidence_hit": 1.0} for n in range(20)]
    drawn = parse(
        draw_learning_chart([{**row, "eval_accuracy": 0.3} if row["episodes"] % 5 == 0 else row for row in rows])
    )
    labels = [group.find("text").text for group in drawn.findall("g")]
    assert labels == ["accuracy 0.60", "validation 0.30", "evidence found 1.00"]
    assert "episodes of training (means of 5 iterations)" in [text.text for text in drawn.iter("text")]


def test_the_learning_chart_knows_the_names_that_training_writes(tmp_path):
    log = LearningLog(tmp_path, iteration=0)
    for iteration in range(2):
        metrics = {"rollout/accuracy": 0.5, "eval/accuracy": 0.4, "rollout/evidence_hit": 0.3, "train/entropy": 0.1}
        log.scalars(iteration, iteration, metrics)
    log.close()
    labels = [group.find("text").text for group in parse(draw_learning_chart(read_curve(tmp_path))).findall("g")]
    assert labels == ["accuracy 0.50", "validation 0.40", "evidence found 0.30"]


def test_learning_chart_leaves_out_what_is_no_number():
    rows = [
        {"iteration": 0, "accuracy": 0.1},
        {"iteration": 1, "accuracy": math.nan},
        {"iteration": 2, "accuracy": 0.3},
    ]
    path = parse(draw_learning_chart(rows)).find("g/path").get("d")
    assert path.count("L") == 1


@pytest.mark.parametrize("rows", [[], [{"iteration": 0, "accuracy": 0.1}], [{"loss": 1.0}, {"loss": 2.0}]])
def test_learning_chart_without_a_line_is_empty(rows):
    assert draw_learning_chart(rows) == ""


def test_timeline_shows_overview_zooms_and_evidence_where_they_are():
    drawn = parse(
        draw_timeline(
            100.0,
            overview=[0.0, 50.0],
            zooms=[
                ZoomMark(turn=1, segment=Segment(0.0, 50.0), is_hit=False),
                ZoomMark(turn=2, segment=Segment(50.0, 100.0), is_hit=True),
            ],
            evidence=[Segment(75.0, 75.4)],
        )
    )
    evidence, miss, hit = drawn.findall("rect")
    assert [one.get("class") for one in (evidence, miss, hit)] == ["evidence", "zoom", "zoom hit"]
    start, middle = float(miss.get("x")), float(hit.get("x"))
    assert float(miss.get("width")) == pytest.approx(middle - start, abs=0.11)
    assert float(evidence.get("x")) == pytest.approx((middle + middle + float(hit.get("width"))) / 2, abs=1)
    assert float(evidence.get("width")) >= 3
    assert float(hit.get("y")) > float(miss.get("y"))
    assert "turn 2: zoom 50.0s to 100.0s, shows evidence" in hit.find("title").text
    assert len(re.findall("M", drawn.findall("path")[1].get("d"))) == 2


@pytest.mark.parametrize("duration", [0.5, 61.0, 3600.0, 36_000.0])
def test_timeline_fits_any_duration(duration):
    drawn = parse(draw_timeline(duration, overview=[0.0], zooms=[], evidence=[]))
    width = float(drawn.get("viewBox").split()[2])
    assert all(0 <= float(text.get("x")) <= width for text in drawn.iter("text"))


def test_costs_below_one_fill_the_chart():
    low, high = parse(draw_frames_chart([point(frames=0.01), point(frames=0.1)])).findall(".//circle")

    assert float(high.get("cx")) - float(low.get("cx")) > 150
