"""Whole episodes of any budget, protocol, eyes and replies: what holds whatever is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.actions import format_answer, format_subtitle_search, format_zoom
from vz_env.env import VideoZoomEnv

hundredths = st.integers(-1000, 3000).map(lambda n: n / 100)
bodies = st.builds(
    lambda a, b, fps, crop: f'<video_zoom>{{"segment":[{a},{b}],"fps":{fps}{crop}}}</video_zoom>',
    hundredths,
    hundredths,
    st.sampled_from([0, 0.1, 0.5, 1, 2, 4, 8, 30, -2, "1e308", "NaN"]),
    st.sampled_from(["", ',"crop":[0,0,0.5,1]', ',"crop":[0,0,1,1]', ',"crop":[1,0,0,1]']),
)
zooms = st.builds(
    lambda a, length, fps: format_zoom((a, a + length), fps),
    st.integers(0, 190).map(lambda n: n / 10),
    st.sampled_from([0.04, 0.5, 1, 2, 5, 30]),
    st.sampled_from([0.5, 1, 2, 4, 25]),
)
calls = st.builds(
    lambda a, b, name: f'<tool_call>{{"name":"{name}","arguments":{{"start_time":{a},"end_time":{b}}}}}</tool_call>',
    hundredths,
    hundredths,
    st.sampled_from(["crop_video", "seek_video_frames"]),
)
replies = st.one_of(
    zooms,
    zooms,
    bodies,
    calls,
    st.lists(zooms, min_size=2, max_size=3).map("".join),
    st.just(format_subtitle_search("red")),
    st.sampled_from([format_answer("B"), format_answer("A"), "It is B.", "hm", "", "<video_zoom>{</video_zoom>"]),
)
budgets = st.fixed_dictionaries(
    {"overview_frames": st.integers(0, 12)},
    optional={
        "max_turns": st.integers(1, 6),
        "max_zooms": st.integers(0, 6),
        "max_frames_per_zoom": st.integers(1, 20),
        "max_frames": st.integers(32, 64),
        "max_invalid": st.integers(0, 4),
        "max_seconds": st.sampled_from([0, 0.5, 3, 7.25, 100]),
        "max_searches": st.integers(0, 2),
    },
)
EYES = ("crop", "subtitle_search", "several_zooms", "aliases")
weights = {"format": 0.1, "zoom_bonus": 0.5, "penalty_per_zoom": 0.01, "penalty_of_frames": 0.2, "most_zoom_frames": 20}
rewards = st.sampled_from([None, "videozoomer", "videozoomer-script", weights, weights | {"zoom_scope": "all"}])
ways = st.one_of(
    st.fixed_dictionaries({"protocol": st.just("videozoomer")}),
    st.fixed_dictionaries({"eyes": st.lists(st.sampled_from(EYES), unique=True)}),
)


def check_step(env: VideoZoomEnv, before: dict[str, float], result: Any) -> dict[str, float]:
    """What must hold of any step; returns what is left."""
    observation, reward, terminated, truncated, info = result
    left = {name: float(value) for name, value in observation["budget"].items()}

    assert env.observation_space.contains(observation)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert json.loads(json.dumps(info, allow_nan=False)) == info
    assert left["turns"] == before["turns"] - 1
    assert all(0 <= left[name] <= before[name] for name in left)
    assert len(observation["timestamps"]) <= env.budget.max_frames_per_zoom * max(1, len(info.get("segments") or [1]))
    assert all(0 <= moment < 20 for moment in observation["timestamps"].tolist())
    assert ("score" in info) == (terminated or truncated)
    return left


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    way=ways,
    budget=budgets,
    zoom_mode=st.sampled_from(["free", "free", "forced", "forbidden"]),
    zoom_fps=st.sampled_from([None, None, 2.0]),
    reward=rewards,
    actions=st.lists(replies, min_size=6, max_size=6),
)
def test_any_episode_keeps_its_promises(tiny, way, budget, zoom_mode, zoom_fps, reward, actions):
    plain = {"describe": "none", "with_frames": False}
    env = VideoZoomEnv(tiny, budget=budget, zoom_mode=zoom_mode, zoom_fps=zoom_fps, reward=reward, **way, **plain)
    observation, _ = env.reset(options={"episode_id": "q0"})
    assert env.observation_space.contains(observation)
    left = {name: float(value) for name, value in observation["budget"].items()}
    rewards, ended = 0.0, False
    for action in actions:
        result = env.step(action)
        left = check_step(env, left, result)
        rewards += result[1]
        ended = result[2] or result[3]
        assert not (result[2] and result[3])
        if ended:
            break

    info = result[4]
    assert ended  # in as many turns as there are, at most
    assert rewards == pytest.approx(sum(info["reward_terms"].values()))
    assert set(info["reward_terms"]) == set(env.reward_config.terms)
    assert info["zooms"] == 0 or zoom_mode != "forbidden"
