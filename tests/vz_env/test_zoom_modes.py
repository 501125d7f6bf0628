"""Budgets and modes for ablations: seconds of video, a drawn overview, forced, forbidden and fixed-rate zooms."""

from __future__ import annotations

import pytest

from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.evidence import redundancy

HIT, RIGHT = format_zoom((12, 14), 8), format_answer("B")
SMALL = {"overview_frames": 4, "max_frames": 60}


def test_seconds_of_video_are_a_budget(tiny, play):
    env = VideoZoomEnv(tiny, budget={**SMALL, "max_seconds": 6})
    first = env.reset(options={"episode_id": "q0"})[0]
    observation, *_, info = play(env, format_zoom((0, 4), 2), format_zoom((4, 7), 2))

    assert first["text"].endswith("Left: 5 zooms, 16 frames each, 6s of video")
    assert info["invalid_code"] == "OVER_BUDGET"
    assert observation["text"] == (
        "Error OVER_BUDGET: The segment must be at most 2s long, this is longer.\n"
        "Left: 3 zooms, 16 frames each, 2s of video"
    )
    assert float(observation["budget"]["seconds"]) == 2.0
    last = env.step(format_zoom((18, 25), 2))[0]  # clamped to 2 s
    assert last["text"].endswith("\nLeft: no zooms, answer now")
    assert env.step(HIT)[4]["invalid_code"] == "LAST_TURN"


def test_seconds_forgive_what_sums_of_floats_lose(tiny, play):
    env = VideoZoomEnv(tiny, budget={**SMALL, "max_seconds": 0.3})

    assert play(env, *(format_zoom((n, n + 0.1), 10) for n in (1, 2, 3)))[4]["action"] == "zoom"


def test_the_overview_can_be_drawn_by_the_seed(tiny):
    env = VideoZoomEnv(tiny, budget={"overview_frames": 12, "min_overview_frames": 3})
    counts = [len(env.reset(seed=seed)[0]["timestamps"]) for seed in range(40)]

    assert counts == [len(env.reset(seed=seed)[0]["timestamps"]) for seed in range(40)]
    assert set(counts) == set(range(3, 13))


def test_drawing_the_overview_leaves_the_episodes_of_a_seed_alone(tiny):
    plain, drawn = VideoZoomEnv(tiny), VideoZoomEnv(tiny, budget={"min_overview_frames": 3})

    for seed in range(20):
        assert plain.reset(seed=seed)[1]["episode_id"] == drawn.reset(seed=seed)[1]["episode_id"]


def test_a_forced_zoom_comes_before_the_answer(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, zoom_mode="forced")
    observation, reward, terminated, _, info = play(env, RIGHT)

    assert (reward, terminated, info["invalid_code"]) == (-0.1, False, "ZOOM_FIRST")
    assert observation["text"].startswith("Error ZOOM_FIRST: Zoom at least once before you answer.\n")
    assert play(env, HIT, RIGHT)[4]["score"] == 1.0


def test_a_forced_zoom_that_cannot_be_made_is_not_waited_for(tiny, play):
    env = VideoZoomEnv(tiny, budget={"max_turns": 2}, zoom_mode="forced")

    assert play(env, "hm", RIGHT)[4]["score"] == 1.0


def test_forbidden_zooms_are_none(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, zoom_mode="forbidden")
    observation, *_, info = play(env, HIT)

    assert info["invalid_code"] == "LAST_TURN"
    assert observation["text"].endswith("\nLeft: no zooms, answer now")
    assert env.budget == Budget(overview_frames=4, max_frames=60, max_zooms=0)


def test_a_fixed_rate_is_told(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, zoom_fps=4)
    observation, *_, info = play(env, format_zoom((12, 13), 1))

    assert observation["timestamps"].tolist() == [12.0, 12.25, 12.5, 12.75]
    assert observation["text"].splitlines()[0] == "Zoom 12s to 13s at 4 fps, which is fixed"
    assert info["fps"] == 4
    assert env.step(format_zoom((12, 13), 7))[4]["invalid_code"] == "REPEATED_ZOOM"


def test_evidence_metrics_at_the_end(tiny, play):
    # The card shows from 12.3 to 13.1 s. Zooms: 0 to 4 s, 12 to 13 s, and 12 to 13 s again at another rate.
    env = VideoZoomEnv(tiny, budget=SMALL)
    info = play(env, format_zoom((0, 4), 1), format_zoom((12, 13), 4), format_zoom((12, 13), 8), RIGHT)[4]

    assert info["evidence_hit"] is True
    assert info["evidence_coverage"] == pytest.approx(0.7 / 0.8)
    assert info["evidence_iou"] == pytest.approx(0.7 / 5.1)
    assert info["evidence_frames"] == 2 + 5  # 12.5 12.75; 12.375 12.5 12.625 12.75 12.875
    assert info["first_hit_turn"] == 2
    assert info["redundancy"] == pytest.approx(1 - (3 + 4 + 4) / (4 + 4 + 8))  # 0 s was in the overview


def test_an_episode_without_zooms_has_no_redundancy(tiny, play):
    info = play(VideoZoomEnv(tiny), RIGHT)[4]

    assert (info["redundancy"], info["first_hit_turn"], info["evidence_iou"]) == (None, None, 0.0)
    assert redundancy(0, 0) is None
