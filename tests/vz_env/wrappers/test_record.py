"""Episodes as lines of a file: whole lines, finished episodes, no key before the end."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import pytest

from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError, VideoDecodeError
from vz_env.observer import Observer
from vz_env.wrappers import RecordTrajectory, Transcript

ZOOM, ANSWER = format_zoom((12, 14), 8), "<answer>B</answer>"


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_finished_episode_is_a_line(tiny, tmp_path):
    path = tmp_path / "new" / "episodes.jsonl"
    env = RecordTrajectory(VideoZoomEnv(tiny), path, policy="me")
    env.reset(seed=3, options={"episode_id": "q2"})
    env.step(ZOOM)
    assert not path.exists()
    env.step(ANSWER)
    (record,) = lines(path)

    assert (record["episode_id"], record["policy"], record["seed"]) == ("q2", "me", 3)
    assert (record["status"], record["score"], record["reward"]) == ("answered", 1.0, 1.0)
    assert [turn["action"] for turn in record["turns"]] == [ZOOM, ANSWER]
    assert record["turns"][1]["observation"].startswith("Zoom 12s to 14s")
    assert len(record["turns"][1]["timestamps"]) == 16
    assert record["metrics"]["evidence_hit"] == 1.0


def test_an_episode_left_before_its_end_is_not_written(tiny, tmp_path):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectory(VideoZoomEnv(tiny), path)
    env.reset(seed=0)
    env.step(ZOOM)
    env.reset()
    for _ in range(4):
        env.step("hm \ud800")
    env.reset()
    env.close()

    assert [record["status"] for record in lines(path)] == ["invalid_limit"]


def test_a_fault_that_ends_an_episode_is_written_with_its_type(tiny, tmp_path, monkeypatch):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectory(VideoZoomEnv(tiny), path)
    env.reset(seed=0)

    def torn(*_):
        raise VideoDecodeError("torn at 12 s")

    with monkeypatch.context() as patched:
        patched.setattr(Observer, "look", torn)
        with pytest.raises(VideoDecodeError, match="torn"):
            env.step(ZOOM)
    env.step(ZOOM)  # tried again: the fault is forgotten
    env.step(ANSWER)
    env.reset(seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(Observer, "look", torn)
        with pytest.raises(VideoDecodeError, match="torn"):
            env.step(ZOOM)
    env.close()
    good, bad = lines(path)

    assert (good["status"], good["error"]) == ("answered", "")
    assert (bad["status"], bad["score"]) == ("error:VideoDecodeError", None)


def test_a_time_limit_above_it_leaves_the_episode_out(tiny, tmp_path):
    path = tmp_path / "episodes.jsonl"
    env = gym.wrappers.TimeLimit(RecordTrajectory(Transcript(VideoZoomEnv(tiny)), path), 1)
    env.reset(seed=0)
    env.step(ZOOM)
    env.reset()

    assert not path.exists()


def test_many_environments_share_a_file(tiny, tmp_path):
    path = tmp_path / "episodes.jsonl"

    def play(seed):
        env = RecordTrajectory(VideoZoomEnv(tiny, with_frames=False), path)
        for _ in range(5):
            env.reset(seed=seed)
            env.step(ANSWER)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(play, range(4)))

    assert [record["status"] for record in lines(path)] == ["answered"] * 20


def test_a_folder_is_refused_and_the_rest_is_in_the_spec(tiny, tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        RecordTrajectory(VideoZoomEnv(tiny), tmp_path)
    env = RecordTrajectory(gym.make("VZ/Needle-v0", dataset=tiny), tmp_path / "e.jsonl", policy="x")

    assert env.spec.additional_wrappers[-1].kwargs == {"path": str(tmp_path / "e.jsonl"), "policy": "x"}
    assert pickle.loads(pickle.dumps(env)).path == env.path
