"""The text alone, and the whole conversation."""

from __future__ import annotations

import gymnasium as gym
import pytest

from vz_env.actions import MAX_ACTION_CHARS, format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError, ResetNeeded
from vz_env.wrappers import FixedFrames, TextOnly, Transcript

ZOOM = format_zoom((12, 14), 8)


def test_text_only_shows_the_text(tiny):
    env, plain = TextOnly(VideoZoomEnv(tiny, with_frames=False)), VideoZoomEnv(tiny)

    assert env.reset(seed=1)[0] == plain.reset(seed=1)[0]["text"]
    assert env.step(ZOOM)[0] == plain.step(ZOOM)[0]["text"]
    assert env.observation_space.contains(env.reset()[0])


def test_transcript_holds_everything_said(tiny):
    env, plain = Transcript(VideoZoomEnv(tiny)), VideoZoomEnv(tiny)
    first, second = plain.reset(seed=1)[0]["text"], plain.step(ZOOM)[0]["text"]

    assert env.reset(seed=1)[0]["text"] == first
    assert env.step(ZOOM)[0]["text"] == f"{first}\n> {ZOOM}\n{second}"
    after = env.step("two\nlines")[0]
    assert "> two\n> lines\nError NO_ACTION" in after["text"]
    assert set(after) == {"text", "frames", "timestamps", "budget"}
    assert env.reset(seed=1)[0]["text"] == first


def test_transcript_stays_in_its_space(tiny):
    env = Transcript(VideoZoomEnv(tiny, budget={"overview_frames": 2}))
    env.reset(seed=0)
    is_over = False
    while not is_over:
        observation, _, terminated, truncated, _ = env.step("\n" * (16 * MAX_ACTION_CHARS))
        is_over = terminated or truncated
        assert env.observation_space["text"].contains(observation["text"])


def test_an_action_that_raised_is_not_in_the_transcript(tiny):
    env = Transcript(VideoZoomEnv(tiny))
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="must be a str"):
        env.step(3)

    assert "> 3" not in env.step(ZOOM)[0]["text"]
    env.step("<answer>B</answer>")
    with pytest.raises(ResetNeeded, match="has ended"):
        env.step(ZOOM)


@pytest.mark.parametrize("wrapper", [TextOnly, Transcript])
def test_an_observation_without_text_is_refused(tiny, wrapper):
    with pytest.raises(ConfigError, match="holds `text`"):
        wrapper(FixedFrames(VideoZoomEnv(tiny), 2, 8, 8))


def test_gymnasiums_own_wrappers_stack_on_ours(tiny):
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(Transcript(VideoZoomEnv(tiny)), 2))
    env.reset(seed=0)
    env.step(ZOOM)
    _, _, terminated, truncated, info = env.step("hm")

    assert (terminated, truncated) == (False, True)
    assert info["episode"]["l"] == 2
