"""The episode state machine: what every action leads to, and how an episode ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vz_env import env as env_module
from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Segment
from vz_env.errors import ConfigError, ResetNeeded, UnknownEpisode, VideoDecodeError, VideoNotFound
from vz_env.rewards import RewardConfig

HIT = format_zoom((12, 14), 8)
RIGHT, WRONG = format_answer("B"), format_answer("A")
SMALL = Budget(overview_frames=4, max_frames=60)


@pytest.fixture
def env(tiny):
    made = VideoZoomEnv(tiny, budget=SMALL)
    made.reset(seed=0, options={"episode_id": "q0"})
    return made


def play(env, *actions):
    """Reset, take the actions, and return the last result."""
    env.reset(seed=0, options={"episode_id": "q0"})
    results = [env.step(action) for action in actions]
    assert all(env.observation_space.contains(result[0]) for result in results)
    return results[-1]


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
    assert {name: int(left) for name, left in observation["budget"].items()} == {"turns": 6, "zooms": 5, "frames": 56}
    assert info == {
        "episode_id": "q2",
        "dataset": "Tiny",
        "split": "test",
        "video_id": "tiny",
        "duration_seconds": 20.0,
        "frames_used": 4,
        "turn": 0,
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


def test_right_answer_ends_the_episode(env):
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


# videozoomer.md section 11, the strict column: 500 frames, 25 fps, 20 s, 16 frames a zoom.
STRICT_VECTORS = [
    ('{"segment":[4,6],"fps":2}', [4.0, 4.5, 5.0, 5.5]),
    ('{"segment":[0,20],"fps":1}', "OVER_BUDGET"),
    ('{"segment":[5,5.2],"fps":2}', "EMPTY_CLIP"),
    ('{"segment":[6,4],"fps":2}', "BAD_RANGE"),
    ('{"segment":[30,38],"fps":2}', "OUT_OF_RANGE"),
    ('{"segment":[18,24],"fps":2}', [18.0, 18.5, 19.0, 19.5]),
    ('{"segment":[-2,2],"fps":2}', [0.0, 0.5, 1.0, 1.5]),
    ('{"segment":"12","fps":2}', "BAD_TYPE"),
    ('{"segment":[4,6],\n"fps":2}', [4.0, 4.5, 5.0, 5.5]),
    ('{"segment":[4.3,4.6],"fps":10}', [4.3, 4.4, 4.5]),
    ('{"segment":[9.4,12.6],"fps":5}', [9.4 + k / 5 for k in range(16)]),
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
def test_repeated_zoom_is_a_mistake(env, first, second):
    info = play(env, format_zoom(*first), format_zoom(*second))[4]

    assert info["invalid_code"] == "REPEATED_ZOOM"


def test_frames_new_counts_moments_not_shown_before(env):
    assert play(env, format_zoom((0, 4), 1))[4]["frames_new"] == 3  # 0 s is in the overview
    assert play(env, format_zoom((1, 5), 1), format_zoom((1, 6), 1))[4]["frames_new"] == 0
    assert play(env, format_zoom((1, 5), 1), format_zoom((1, 5), 2))[4]["frames_new"] == 4


def test_zoom_on_the_last_turn_is_refused_and_ends_the_episode(tiny):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=2, max_zooms=5))
    observation, reward, terminated, truncated, info = play(env, HIT, format_zoom((0, 5), 1))

    assert (observation["text"], reward, terminated, truncated) == ("Episode over.", -0.1, False, True)
    assert (info["invalid_code"], info["end_reason"]) == ("LAST_TURN", "out_of_turns")
    assert (info["score"], info["answer"], info["parsed"]) == (0.0, None, None)


def test_zoom_with_none_left_spends_a_turn(tiny):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=4, max_zooms=1))
    first = play(env, HIT)[0]
    observation, _, _, truncated, info = env.step(format_zoom((0, 5), 1))

    assert first["text"].endswith("\nLeft: no zooms, answer now")
    assert (info["invalid_code"], truncated, int(observation["budget"]["turns"])) == ("LAST_TURN", False, 2)
    assert observation["text"].endswith("\nLeft: no zooms, answer now")


def test_frames_of_the_episode_bound_a_zoom(tiny):
    env = VideoZoomEnv(tiny, budget=Budget(overview_frames=4, max_frames=10))
    observation = play(env, format_zoom((1, 5), 1))[0]

    assert observation["text"].endswith("Left: 4 zooms, 2 frames each")
    assert env.step(format_zoom((6, 9), 1))[4]["invalid_code"] == "OVER_BUDGET"
    assert env.step(format_zoom((6, 8), 1))[0]["text"].endswith("Left: no zooms, answer now")


def test_more_mistakes_than_allowed_end_the_episode(tiny):
    env = VideoZoomEnv(tiny, budget=Budget(max_invalid=1))
    assert not play(env, "hm")[3]
    _, reward, terminated, truncated, info = env.step("hm")

    assert (reward, terminated, truncated, info["end_reason"]) == (-0.1, False, True, "invalid_limit")
    assert info["reward_terms"]["invalid"] == -0.2
    assert info["evidence_hit"] is False
    assert info["evidence_coverage"] == 0.0


def test_turns_are_spent_by_mistakes_and_zooms_alike(tiny):
    env = VideoZoomEnv(tiny, budget=Budget(max_turns=3))
    info = play(env, "hm", HIT, "hm")[4]

    assert (info["end_reason"], info["turn"], info["zooms"], info["invalid_actions"]) == ("out_of_turns", 3, 1, 2)


def test_overview_alone_is_no_evidence_hit(tiny):
    env = VideoZoomEnv(
        tiny, budget=Budget(overview_frames=100, max_frames=116)
    )  # 0.2 s apart: some inside the evidence
    info = play(env, WRONG)[4]

    assert (info["evidence_hit"], info["evidence_coverage"], info["score"]) == (False, 0.0, 0.0)


def test_evidence_metrics_are_none_when_nobody_knows(make_tiny):
    env = VideoZoomEnv(make_tiny(AnswerKey(answer_indices=(1,))))
    info = play(env, HIT, RIGHT)[4]

    assert info["evidence_hit"] is info["evidence_coverage"] is None


def test_unscorable_answer_has_no_score(make_tiny):
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
def test_reward_by_name_and_by_mapping(tiny, reward, actions, expected):
    assert play(VideoZoomEnv(tiny, reward=reward), *actions)[1] == pytest.approx(expected)


def test_step_before_reset_and_after_the_end(tiny):
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


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"episode_id": "nope"}, UnknownEpisode, "holds no episode 'nope'"),
        ({"id": "q0"}, ConfigError, "got \\['id'\\]"),
    ],
)
def test_reset_refuses_options(tiny, options, error, match):
    env = VideoZoomEnv(tiny)
    with pytest.raises(error, match=match):
        env.reset(options=options)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(RIGHT)


@pytest.mark.parametrize("action", [None, 3, b"<answer>B</answer>", ["<answer>B</answer>"]])
def test_action_must_be_text(env, action):
    with pytest.raises(ConfigError, match="an action must be a str"):
        env.step(action)


def test_hostile_actions_are_mistakes(env):
    for action in ("x" * 10_000_000, "\ud800", "<video_zoom>" * 20_000):
        observation, _, terminated, _, _ = env.step(action)
        assert not terminated
        assert observation["text"].startswith("Error ")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"render_mode": "human"}, "render_mode must be None or one of"),
        ({"describe": "poetry"}, "no describer named 'poetry'"),
        ({"reward": "lenient"}, "reward must be one of"),
        ({"budget": {"frames": 3}}, "budget limits must be among"),
        ({"frame_size": (1, 5)}, "frame_size must be"),
        ({"split": "train"}, "this one is loaded already"),
        ({"dataset_options": {"limit": 3}}, "this one is loaded already"),
    ],
)
def test_env_refuses_arguments(tiny, changes, match):
    with pytest.raises(ConfigError, match=match):
        VideoZoomEnv(tiny, **changes)


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


def test_without_frames_text_is_the_same(tiny):
    seeing, reading = VideoZoomEnv(tiny), VideoZoomEnv(tiny, with_frames=False)
    for env in (seeing, reading):
        env.reset(seed=0)
    seen, read = seeing.step(HIT)[0], reading.step(HIT)[0]

    assert seen["text"] == read["text"]
    assert seen["timestamps"].tolist() == read["timestamps"].tolist()
    assert (seen["frames"].shape, read["frames"].shape) == ((16, 64, 96, 3), (0, 2, 2, 3))


def test_frame_size_and_max_pixels(tiny):
    fixed = VideoZoomEnv(tiny, frame_size=(32, 32))
    bounded = VideoZoomEnv(tiny, budget={"max_pixels": 1536})
    frames = [env.reset(seed=0)[0]["frames"] for env in (fixed, bounded)]

    assert [stack.shape[1:3] for stack in frames] == [(32, 32), (32, 48)]
    assert fixed.observation_space["frames"].contains(frames[0])
    assert bounded.observation_space["frames"].contains(frames[1])


def test_describe_none_leaves_times_alone(tiny):
    text = VideoZoomEnv(tiny, describe="none", budget=SMALL).reset(seed=0)[0]["text"]

    assert text.splitlines()[5:] == ["Video: 20s", "0s", "5s", "10s", "15s", "Left: 5 zooms, 16 frames each"]


def test_describe_by_a_callable(tiny):
    def describe(frame, time, episode):
        return f"{frame.shape[1]}x{frame.shape[0]} at\n{time:g} of {episode.id}"

    for with_frames in (True, False):
        env = VideoZoomEnv(tiny, describe=describe, budget=SMALL, with_frames=with_frames)
        text = env.reset(options={"episode_id": "q3"})[0]["text"]
        assert "5s: 96x64 at 5 of q3\n" in text


def test_no_overview_and_no_zooms(tiny):
    env = VideoZoomEnv(tiny, budget={"overview_frames": 0, "max_zooms": 0})
    observation, info = env.reset(seed=0)

    assert observation["text"].splitlines()[5:] == ["Video: 20s", "Left: no zooms, answer now"]
    assert (observation["frames"].shape, info["frames_used"]) == ((0, 2, 2, 3), 0)


def test_repr_and_arrays_of_a_step_are_its_own(env):
    first, second = env.step(HIT)[0], env.step(format_zoom((0, 2), 1))[0]

    assert repr(env).startswith("VideoZoomEnv(Dataset(name='Tiny'")
    assert not np.shares_memory(first["timestamps"], second["timestamps"])
    assert env_module.__all__ == ["VideoZoomEnv"]


def test_overview_fps_bounds_the_overview_and_the_budget_still_holds(tiny):
    seen, _ = VideoZoomEnv(tiny, overview_fps=0.25).reset(seed=0)
    np.testing.assert_allclose(seen["timestamps"], [0, 4, 8, 12, 16])
    seen, _ = VideoZoomEnv(tiny, overview_fps=25.0, budget={"overview_frames": 4}).reset(seed=0)
    assert len(seen["frames"]) == 4
    with pytest.raises(ConfigError, match="overview_fps must be positive"):
        VideoZoomEnv(tiny, overview_fps=0.0)


def test_a_loaded_dataset_takes_its_own_root_alone(tiny, tmp_path):
    assert VideoZoomEnv(tiny, root=tiny.root).dataset is tiny
    with pytest.raises(ConfigError, match="loaded already"):
        VideoZoomEnv(tiny, root=tmp_path)
