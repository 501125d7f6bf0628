"""The strict protocol: the moments of every zoom, what is clamped, what is refused, and how budgets end an episode."""

from __future__ import annotations

import pytest

from vz_env.actions import format_zoom
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv

HIT = format_zoom((12, 14), 8)

# Besides the rows that test_vectors has for both protocols: 500 frames, 25 fps, 20 s, 16 frames a zoom.
STRICT_VECTORS = [
    ('{"segment":[4,6],\n"fps":2}', [4.0, 4.5, 5.0, 5.5]),
    ('{"segment":[0,8.45],"fps":2}', [k / 2 for k in range(16)]),
    ('{"segment":[0,8.5],"fps":2}', "OVER_BUDGET"),
    ('{"segment":[0,0.16],"fps":100}', [k / 100 for k in range(16)]),
    ('{"segment":[-9,-2],"fps":2}', "OUT_OF_RANGE"),
    ('{"segment":[-9,0],"fps":2}', "OUT_OF_RANGE"),
    ('{"segment":[20,21],"fps":2}', "OUT_OF_RANGE"),
    ('{"segment":[0,1],"fps":1e308}', "OVER_BUDGET"),
    ('{"segment":[-1e308,1e308],"fps":1e308}', "OVER_BUDGET"),
    ('{"segment":[-1e308,1e308],"fps":1e-308}', "EMPTY_CLIP"),
    ('{"segment":[19.99,1e308],"fps":100}', [19.99]),
    ('{"segment":[0,5e-324],"fps":1}', "EMPTY_CLIP"),
]


@pytest.mark.parametrize(("body", "expected"), STRICT_VECTORS, ids=range(len(STRICT_VECTORS)))
def test_strict_vectors(env, body, expected):
    observation, _, _, _, info = env.step(f"<video_zoom>{body}</video_zoom>")

    if isinstance(expected, str):
        assert info["invalid_code"] == expected
        assert observation["text"].startswith(f"Error {expected}: ")
        assert observation["text"].endswith("\nLeft: 4 zooms, 16 frames each")
        assert len(observation["timestamps"]) == len(observation["frames"]) == 0
    else:
        assert observation["timestamps"].tolist() == pytest.approx(expected)
        assert len(observation["frames"]) == len(expected)


@pytest.mark.parametrize(
    ("segment", "effective", "note"),
    [
        ((18, 24), [18.0, 20.0], "Zoom 18s to 20s (clamped to the end of the video)"),
        ((-2, 2), [0.0, 2.0], "Zoom 0s to 2s (clamped to the start of the video)"),
        ((-2, 24), [0.0, 20.0], "Zoom 0s to 20s (clamped to the start and the end of the video)"),
        ((18, 20), [18.0, 20.0], "Zoom 18s to 20s"),
    ],
)
def test_clamping_is_reported(env, segment, effective, note):
    observation, _, _, _, info = env.step(format_zoom(segment, 0.5))

    assert info["segment"] == effective
    assert observation["text"].splitlines()[0] == note


@pytest.mark.parametrize(
    ("first", "second"),
    [(((12, 14), 8), ((12, 14), 8)), (((12, 20), 2), ((12, 20), 2)), (((18, 20), 2), ((18, 24), 2))],
)
def test_repeated_zoom_is_a_mistake(env, first, second, play):
    info = play(env, format_zoom(*first), format_zoom(*second))[4]

    assert info["invalid_code"] == "REPEATED_ZOOM"


def test_frames_new_counts_moments_not_shown_before(env, play):
    assert play(env, format_zoom((0, 4), 1))[4]["frames_new"] == 3  # 0 s is in the overview
    assert play(env, format_zoom((1, 5), 1), format_zoom((1, 6), 1))[4]["frames_new"] == 0
    assert play(env, format_zoom((1, 5), 1), format_zoom((1, 5), 2))[4]["frames_new"] == 4


def test_zoom_on_the_last_turn_is_refused_and_ends_the_episode(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=2, max_zooms=5))
    observation, reward, terminated, truncated, info = play(env, HIT, format_zoom((0, 5), 1))

    assert (observation["text"], reward, terminated, truncated) == ("Episode over.", -0.1, False, True)
    assert (info["invalid_code"], info["end_reason"]) == ("LAST_TURN", "out_of_turns")
    assert (info["score"], info["answer"], info["parsed"]) == (0.0, None, None)


def test_zoom_with_none_left_spends_a_turn(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=4, max_zooms=1))
    first = play(env, HIT)[0]
    observation, _, _, truncated, info = env.step(format_zoom((0, 5), 1))

    assert first["text"].endswith("\nLeft: no zooms, answer now")
    assert (info["invalid_code"], truncated, int(observation["budget"]["turns"])) == ("LAST_TURN", False, 2)
    assert observation["text"].endswith("\nLeft: no zooms, answer now")


def test_frames_of_the_episode_bound_a_zoom(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(overview_frames=4, max_frames=10))
    observation = play(env, format_zoom((1, 5), 1))[0]

    assert observation["text"].endswith("Left: 4 zooms, 2 frames each")
    assert int(observation["budget"]["frames_per_zoom"]) == 2
    assert env.step(format_zoom((6, 9), 1))[4]["invalid_code"] == "OVER_BUDGET"
    assert env.step(format_zoom((6, 8), 1))[0]["text"].endswith("Left: no zooms, answer now")


def test_more_mistakes_than_allowed_end_the_episode(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(max_invalid=1))
    assert not play(env, "hm")[3]
    _, reward, terminated, truncated, info = env.step("hm")

    assert (reward, terminated, truncated, info["end_reason"]) == (-0.1, False, True, "invalid_limit")
    assert info["reward_terms"]["invalid"] == -0.2
    assert info["evidence_hit"] is False
    assert info["evidence_coverage"] == 0.0


def test_turns_are_spent_by_mistakes_and_zooms_alike(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=3))
    info = play(env, "hm", HIT, "hm")[4]

    assert (info["end_reason"], info["turn"], info["zooms"], info["invalid_actions"]) == ("out_of_turns", 3, 1, 2)
