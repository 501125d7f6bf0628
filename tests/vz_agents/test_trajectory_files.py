from __future__ import annotations

import json

import pytest

from vz_agents.trajectory import Trajectory, TurnRecord
from vz_agents.trajectory_files import read_trajectories, write_trajectories
from vz_env.errors import DatasetError


def record(name: str, **fields) -> Trajectory:
    turn = TurnRecord(observation="Q \ud800", timestamps=[0.0], action="<answer>A</answer>", reward=1.0)
    return Trajectory(episode_id=name, turns=[turn], status="answered", **fields)


def test_what_is_written_is_read_back_with_the_lines_of_an_evaluation_beside_it(tmp_path):
    path = tmp_path / "new" / "t.jsonl"
    write_trajectories(path, [record("a"), record("b", score=0.5)])
    with path.open("a") as file:
        file.write(json.dumps({"key": "c", "trajectory": json.loads(record("c").to_json())}) + "\n\n")
    read = read_trajectories(path)
    assert list(read.trajectories.values()) == [record("a"), record("b", score=0.5), record("c")]
    assert read.rejected == {}
    assert [entry.name for entry in path.parent.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episode_id": 5}, "as texts"),
        ({"episode_id": ""}, "as texts"),
        ({"seed": -1}, "seed"),
        ({"reward": "x"}, "numbers"),
        ({"score": True}, "numbers"),
        ({"turns": [{"observation": "", "timestamps": ["0"], "action": ""}]}, "turn 0"),
        ({"turns": [{"observation": "", "timestamps": 3, "action": ""}]}, "turn 0"),
        ({"turns": [5]}, "something else"),
        ({"more": 1}, "something else"),
        ({"schema_version": 9}, "schema version"),
    ],
)
def test_a_line_from_elsewhere_is_a_message_and_the_others_stay(tmp_path, changes, message):
    bad = {**json.loads(record("bad").to_json()), **changes}
    path = tmp_path / "t.jsonl"
    path.write_text(f"{json.dumps(bad)}\n[1]\n{{\n{record('good').to_json()}\n")
    read = read_trajectories(path)
    assert [one.episode_id for one in read.trajectories.values()] == ["good"]
    assert list(read.rejected) == [1, 2, 3]
    assert message in read.rejected[1]


def test_no_file_says_so(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*gone\.jsonl"):
        read_trajectories(tmp_path / "gone.jsonl")
