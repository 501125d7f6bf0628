"""An overview of keyframes: faster, and honest about its times."""

from __future__ import annotations

import pytest

from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError

SMALL = Budget(overview_frames=4, max_frames=60)


def test_an_overview_of_keyframes_says_when_they_are(tiny):
    made = VideoZoomEnv(tiny, budget=SMALL, overview_from="keyframes")  # one every two seconds
    observation, info = made.reset(options={"episode_id": "q2"})

    assert observation["timestamps"].tolist() == [0.0, 4.0, 10.0, 14.0]
    assert "\n4s: teal 100%\n10s: new purple 100%\n" in observation["text"]
    assert info["frames_used"] == 4
    assert made.observation_space.contains(observation)


def test_keyframes_are_shown_once_and_only_they_are_paid_for(tiny):
    made = VideoZoomEnv(tiny, budget=Budget(overview_frames=32, max_frames=60), overview_from="keyframes")
    observation, info = made.reset(options={"episode_id": "q2"})

    assert observation["timestamps"].tolist() == [2.0 * k for k in range(10)]
    assert info["frames_used"] == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [({"overview_from": "air"}, "'exact' or 'keyframes'"), ({"protocol": "videozoomer"}, "strict")],
)
def test_an_overview_from_elsewhere_is_refused(tiny, options, words):
    with pytest.raises(ConfigError, match=words):
        VideoZoomEnv(tiny, **{"overview_from": "keyframes", **options})
