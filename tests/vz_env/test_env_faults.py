"""What a caller does wrong, what a policy does wrong, and what a video does wrong: three different things."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vz_env.actions import format_answer, format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey
from vz_env.errors import ConfigError, ResetNeeded, VideoDecodeError, VideoNotFound

HIT = format_zoom((12, 14), 8)
RIGHT = format_answer("B")


@pytest.mark.parametrize("action", [None, 3, b"<answer>B</answer>", ["<answer>B</answer>"]])
def test_action_must_be_text(env, action):
    with pytest.raises(ConfigError, match="an action must be a str"):
        env.step(action)


def test_hostile_actions_are_mistakes(env):
    for action in ("x" * 10_000_000, "\ud800", "<video_zoom>" * 20_000):
        observation, _, terminated, _, _ = env.step(action)
        assert not terminated
        assert observation["text"].startswith("Error ")


def test_missing_video_raises_and_the_others_go_on(tiny, tmp_path):
    lost = replace(tiny.episode("q0"), id="lost", video_path=tmp_path / "none.mp4")
    keys = {name: AnswerKey(answer_indices=(1,)) for name in ("lost", "q1")}
    env = VideoZoomEnv(Dataset(name="Mixed", episodes=[lost, tiny.episode("q1")], keys=keys))
    with pytest.raises(VideoNotFound, match=r"none\.mp4"):
        env.reset(options={"episode_id": "lost"})
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(RIGHT)

    env.reset(options={"episode_id": "q1"})

    assert env.step(RIGHT)[1] == 1.0


def test_fault_during_a_zoom_spends_nothing(env, monkeypatch):
    look = env._observer.look

    def fail(*args):
        raise VideoDecodeError("tiny.mp4: torn in the middle")

    monkeypatch.setattr(env._observer, "look", fail)
    with pytest.raises(VideoDecodeError, match="torn"):
        env.step(HIT)
    monkeypatch.setattr(env._observer, "look", look)
    info = env.step(HIT)[4]

    assert (info["turn"], info["frames_used"]) == (1, 20)
