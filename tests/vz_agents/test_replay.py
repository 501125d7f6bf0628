from __future__ import annotations

import copy
import dataclasses

import pytest

from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import as_policy
from vz_agents.replay import replay_trajectory
from vz_agents.rollout import run_episode
from vz_agents.trajectory import Trajectory


@pytest.fixture(scope="module")
def env(make_envs):
    return make_envs(1)[0]


@pytest.fixture(scope="module")
def played(env, needle):
    """An episode with a zoom, read back from its line."""
    for episode_id in needle.ids:
        trajectory = run_episode(env, NeedleExpert(), episode_id, 5)
        if len(trajectory.turns) > 1:
            return Trajectory.from_json(trajectory.to_json())
    raise AssertionError("wanted an episode with a zoom")


def test_a_recording_replays_without_a_difference(env, played):
    shown = []
    replay = replay_trajectory(env, played, on_observation=lambda number, seen: shown.append((number, seen["text"])))
    assert replay.is_same, replay
    assert shown == [(number, turn.observation) for number, turn in enumerate(played.turns)]


def change_text(record):
    record.turns[1].observation = record.turns[1].observation.replace("Left", "Right")


def change_time(record):
    record.turns[0].timestamps[1] += 0.5


def drop_frame(record):
    record.turns[1].timestamps.pop()


def change_reward(record):
    record.turns[0].reward += 1.0


def change_sum(record):
    record.reward += 1.0


def change_score(record):
    record.score = 0.25


def cut_end(record):
    del record.turns[-1]


def add_turn(record):
    record.turns.append(copy.deepcopy(record.turns[-1]))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (change_text, {(1, "text")}),
        (change_time, {(0, "timestamps")}),
        (drop_frame, {(1, "timestamps")}),
        (change_reward, {(0, "reward")}),
        (change_sum, {(None, "reward")}),
        (change_score, {(None, "score")}),
        (add_turn, {(None, "turns")}),
    ],
)
def test_what_was_changed_is_named_and_nothing_else(env, played, change, found):
    record = copy.deepcopy(played)
    change(record)
    replay = replay_trajectory(env, record)
    assert {(difference.turn, difference.what) for difference in replay.differences} == found
    assert not replay.fault


def test_a_cut_recording_is_still_under_way(env, played):
    record = copy.deepcopy(played)
    cut_end(record)
    found = {difference.what: difference.replayed for difference in replay_trajectory(env, record).differences}
    assert found["status"] == "under way"


def test_an_action_that_was_changed_shows_in_what_follows(env, played):
    record = copy.deepcopy(played)
    record.turns[0].action = '<video_zoom>{"segment":[1,3],"fps":1}</video_zoom>'
    assert any(difference.what == "timestamps" for difference in replay_trajectory(env, record).differences)


def test_an_unknown_episode_is_a_fault_with_its_name(env, played):
    replay = replay_trajectory(env, dataclasses.replace(played, episode_id="gone"))
    assert "'gone'" in replay.fault
    assert replay.differences == []


def test_a_fault_that_was_recorded_is_no_difference_and_a_new_one_is(scripted_env):
    torn = run_episode(scripted_env("a"), as_policy(lambda _: "tear"), "a", 0)
    assert replay_trajectory(scripted_env("a"), torn).is_same
    broken = run_episode(scripted_env("broken"), as_policy(lambda _: "B"), "broken", 0)
    assert replay_trajectory(scripted_env("broken"), broken).is_same
    fault = replay_trajectory(scripted_env("broken"), dataclasses.replace(broken, status="answered")).fault
    assert fault == "VideoDecodeError: broken.mp4 is empty"
