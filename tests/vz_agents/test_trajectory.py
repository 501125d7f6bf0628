from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.trajectory import TokenRecord, Trajectory, TurnRecord, as_plain, status_of
from vz_env.errors import DatasetError


def make_tokens() -> TokenRecord:
    tokens = TokenRecord()
    tokens.observe([1, 2, 3])
    tokens.sample(7, -0.25, 0)
    tokens.observe([4])
    tokens.sample(8, -1.5, 1)
    return tokens


def make_trajectory(**fields) -> Trajectory:
    turn = TurnRecord(observation="Question", timestamps=[0.0, 10.5], action="<answer>A</answer>", info={"zooms": 1})
    return Trajectory(episode_id="v1-q1", turns=[turn], status="answered", score=1.0, tokens=make_tokens(), **fields)


def test_json_round_trip_gives_the_same_trajectory():
    trajectory = make_trajectory(metrics={"frames_used": 48.0, "evidence_coverage": None})
    line = trajectory.to_json()
    assert "\n" not in line
    assert trajectory == Trajectory.from_json(line)
    assert trajectory == Trajectory.from_json(json.loads(line))


@given(text=st.text(alphabet=st.characters(), max_size=40))
def test_json_carries_any_text_a_model_can_write(text):
    turn = TurnRecord(observation=text, timestamps=[], action=text)
    trajectory = Trajectory(episode_id="e", turns=[turn])
    assert trajectory == Trajectory.from_json(trajectory.to_json().encode("ascii"))


def test_json_carries_a_lone_surrogate():
    trajectory = Trajectory(episode_id="e", error="\ud800")
    assert Trajectory.from_json(trajectory.to_json()).error == "\ud800"


def test_json_writes_null_for_what_json_cannot_carry():
    trajectory = make_trajectory(metrics={"a": math.nan, "b": math.inf})
    assert json.loads(trajectory.to_json())["metrics"] == {"a": None, "b": None}


@pytest.mark.parametrize("line", ["", "[1]", "{}", '{"schema_version":1}', '{"schema_version":1,"x":2}', "[" * 100_000])
def test_from_json_names_what_is_no_trajectory(line):
    with pytest.raises(DatasetError, match="wanted a trajectory"):
        Trajectory.from_json(line)


def test_from_json_refuses_another_schema_version():
    record = json.loads(make_trajectory().to_json()) | {"schema_version": 99}
    with pytest.raises(DatasetError, match="schema version 1"):
        Trajectory.from_json(record)


def test_wall_clock_takes_no_part_in_equality():
    assert make_trajectory(seconds=1.0) == make_trajectory(seconds=2.0)


def test_is_error_tells_faults_from_outcomes():
    assert Trajectory(episode_id="e", status="error:VideoDecodeError").is_error
    assert not Trajectory(episode_id="e", status="out_of_budget").is_error


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("answered", "answered"),
        ("out_of_turns", "out_of_budget"),
        ("invalid_limit", "invalid_limit"),
        ("stopped", "stopped"),
        ("exceeded", "out_of_budget"),
    ],
)
def test_status_of_every_end_reason(reason, status):
    assert status == status_of(reason)


def test_status_of_refuses_an_unknown_reason():
    with pytest.raises(DatasetError, match="end reason"):
        status_of("tired")


def test_token_record_keeps_four_aligned_lists():
    tokens = make_tokens()
    tokens.check()
    assert (len(tokens), sum(tokens.mask)) == (6, 2)
    assert tokens.turn == [-1, -1, -1, 0, -1, 1]
    assert "7" not in repr(tokens)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("log_probs", [0.0] * 5, "one length"),
        ("mask", [0, 0, 0, 1, 0, 2], "0 or 1"),
        ("mask", [0, 0, 0, 1, 0, 0], "end on a sampled token"),
        ("log_probs", [0.0, 0.0, 0.0, math.nan, 0.0, -1.0], "finite"),
        ("log_probs", [0.0, 0.0, 0.0, 0.5, 0.0, -1.0], "<= 0"),
        ("log_probs", [-1.0, 0.0, 0.0, -1.0, 0.0, -1.0], "not sampled"),
        ("turn", [0, -1, -1, 0, -1, 1], "not sampled"),
        ("turn", [-1, -1, -1, 2, -1, 1], "go back"),
    ],
)
def test_token_record_check_refuses_what_a_trainer_cannot_use(field, value, message):
    tokens = make_tokens()
    setattr(tokens, field, value)
    with pytest.raises(DatasetError, match=message):
        tokens.check()


def test_as_plain_reduces_numpy_and_paths():
    value = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": (np.bool_(True), Path("x/y")), 3: None, "d": np.array(2)}
    assert as_plain(value) == {"a": 0.5, "b": [1, 2], "c": [True, "x/y"], "3": None, "d": 2}
