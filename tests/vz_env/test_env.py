"""The episode state machine: what every action leads to, and how an episode ends."""

from __future__ import annotations

import numpy as np
import pytest

from vz_env import env as env_module
from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Segment
from vz_env.errors import ResetNeeded
from vz_env.rewards import RewardConfig

HIT = format_zoom((12, 14), 8)
RIGHT, WRONG = format_answer("B"), format_answer("A")
SMALL = Budget(overview_frames=4, max_frames=60)


def test_reset_shows_the_question_and_the_overview(env):
    observation, info = env.reset(options={"episode_id": "q2"})

    assert observation["text"] == (
        "Question: In the purple scene a card appears. Which colour is it?\n"
        "A. blue\nB. red\nC. pink\nD. cyan\nVideo: 20s\n"
        "0s: new teal 100%\n5s: new gold 100%\n10s: new purple 100%\n15s: new lime 100%\n"
        "Left: 5 zooms, 16 frames each"
    )
    assert observation["frames"].shape == (4, 64, 96, 3)
    assert observation["timestamps"].tolist() == [0.0, 5.0, 10.0, 15.0]
    assert {name: int(left) for name, left in observation["budget"].items()} == {
        "turns": 6,
        "zooms": 5,
        "frames": 56,
        "frames_per_zoom": 16,
    }
    assert info == {
        "episode_id": "q2",
        "dataset": "Tiny",
        "split": "test",
        "video_id": "tiny",
        "duration_seconds": 20.0,
        "frames_used": 4,
        "turn": 0,
        "budget": {
            "turns": 6,
            "zooms": 5,
            "frames_per_zoom": 16,
            "frames": 60,
            "pixels": 100_352,
            "mistakes": 3,
            "seconds": None,
            "searches": None,
        },
    }
    assert env.observation_space.contains(observation)


def test_zoom_shows_frames_between_the_overview(env):
    observation, reward, terminated, truncated, info = env.step(format_zoom((12, 13), 4))

    assert observation["text"] == (
        "Zoom 12s to 13s\n12s: new purple 100%\n12.25s: purple 100%\n"
        "12.5s: purple 75%, red 25%\n12.75s: purple 75%, red 25%\n"
        "Left: 4 zooms, 16 frames each"
    )
    assert observation["frames"].shape == (4, 64, 96, 3)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info == {
        "turn": 1,
        "frames_used": 8,
        "action": "zoom",
        "invalid_code": None,
        "segment": [12.0, 13.0],
        "clamped": None,
        "fps": 4.0,
        "frames_new": 4,
    }


def test_right_answer_ends_the_episode(env, play):
    observation, reward, terminated, truncated, info = play(env, HIT, RIGHT)

    assert observation["text"] == "Episode over."
    assert observation["frames"].shape == (0, 2, 2, 3)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert info == {
        "turn": 2,
        "frames_used": 20,
        "action": "answer",
        "invalid_code": None,
        "segment": None,
        "clamped": None,
        "fps": None,
        "frames_new": 0,
        "end_reason": "answered",
        "score": 1.0,
        "answer": "B",
        "parsed": "B",
        "evidence_hit": True,
        "evidence_coverage": 1.0,
        "evidence_iou": pytest.approx(0.4),
        "evidence_frames": 6.0,
        "first_hit_turn": 1.0,
        "redundancy": 0.0,
        "zooms": 1,
        "invalid_actions": 0,
        "reward_terms": {
            "accuracy": 1.0,
            "format": 0.0,
            "zoom_bonus": 0.0,
            "invalid": 0.0,
            "zooms": 0.0,
            "frames": 0.0,
        },
    }


def test_overview_alone_is_no_evidence_hit(tiny, play):
    env = VideoZoomEnv(
        tiny, budget=Budget(overview_frames=100, max_frames=116)
    )  # 0.2 s apart: some inside the evidence
    info = play(env, WRONG)[4]

    assert (info["evidence_hit"], info["evidence_coverage"], info["score"]) == (False, 0.0, 0.0)


def test_evidence_metrics_are_none_when_nobody_knows(make_tiny, play):
    env = VideoZoomEnv(make_tiny(AnswerKey(answer_indices=(1,))))
    info = play(env, HIT, RIGHT)[4]

    assert info["evidence_hit"] is info["evidence_coverage"] is None


def test_unscorable_answer_has_no_score(make_tiny, play):
    env = VideoZoomEnv(make_tiny(AnswerKey(answer_segments=(Segment(1.0, 2.0),))))
    _, reward, terminated, _, info = play(env, RIGHT)

    assert (reward, terminated, info["score"]) == (0.0, True, None)


def test_reward_terms_add_up_to_the_return(tiny):
    reward = RewardConfig(format=0.2, zoom_bonus=0.5, cost_per_zoom=0.05, cost_per_frame=0.001)
    env = VideoZoomEnv(tiny, reward=reward)
    env.reset(seed=0)
    results = [env.step(action) for action in ("hm", HIT, format_zoom((0, 9), 1), RIGHT)]
    terms = results[-1][4]["reward_terms"]

    assert terms == {
        "accuracy": 1.0,
        "format": 0.0,
        "zoom_bonus": 0.5,
        "invalid": -0.1,
        "zooms": -0.1,
        "frames": -0.025,
    }
    assert sum(result[1] for result in results) == pytest.approx(sum(terms.values()))


@pytest.mark.parametrize(
    ("reward", "actions", "expected"),
    [("videozoomer", (RIGHT,), 1.0), ("videozoomer", (HIT, RIGHT), 1.5), ({"accuracy": 2.0}, (RIGHT,), 2.0)],
)
def test_reward_by_name_and_by_mapping(tiny, reward, actions, expected, play):
    assert play(VideoZoomEnv(tiny, reward=reward), *actions)[1] == pytest.approx(expected)


def test_step_before_reset_and_after_the_end(tiny, play):
    env = VideoZoomEnv(tiny, render_mode="ansi")
    for early in (lambda: env.step(RIGHT), env.render, lambda: env.episode):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            early()
    play(env, RIGHT)
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step(RIGHT)
    assert env.episode.id == "q0"


def test_reset_chooses_by_seed(tiny):
    env = VideoZoomEnv(tiny)
    draws = [[env.reset(seed=5)[1]["episode_id"], *(env.reset()[1]["episode_id"] for _ in range(8))] for _ in range(2)]

    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 2


def test_repr_and_arrays_of_a_step_are_its_own(env):
    first, second = env.step(HIT)[0], env.step(format_zoom((0, 2), 1))[0]

    assert repr(env).startswith("VideoZoomEnv(Dataset(name='Tiny'")
    assert not np.shares_memory(first["timestamps"], second["timestamps"])
    assert env_module.__all__ == ["VideoZoomEnv"]
