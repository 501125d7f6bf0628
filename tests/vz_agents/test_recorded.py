"""What the environment's `RecordTrajectory` writes is a trajectory of this package."""

from __future__ import annotations

from vz_agents.policy import as_policy
from vz_agents.rollout import run_episode
from vz_agents.trajectory import _STATUS_OF_END, SCHEMA_VERSION, Trajectory
from vz_env.actions import format_answer, format_zoom
from vz_env.wrappers import RecordTrajectory
from vz_env.wrappers import record as recording


def test_recorded_lines_are_trajectories(make_envs, needle, tmp_path):
    def look_then_answer(observation):
        return format_zoom((8, 16), 2) if observation.turn == 0 else format_answer("A")

    (env,) = make_envs(1)
    recorded = RecordTrajectory(env, tmp_path / "episodes.jsonl", policy="look_then_answer")
    told = run_episode(recorded, as_policy(look_then_answer), needle.ids[0], seed=4)
    read = Trajectory.from_json((tmp_path / "episodes.jsonl").read_text(encoding="ascii"))

    assert recording.SCHEMA_VERSION == SCHEMA_VERSION
    assert read == told


def test_ends_have_the_same_names():
    assert {reason: recording._STATUS.get(reason, "out_of_budget") for reason in _STATUS_OF_END} == _STATUS_OF_END
