"""The protocol `videozoomer` in a whole episode: frames, errors, end and reward of the published system."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vz_env.budget import PUBLISHED_BUDGET
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey
from vz_env.errors import ConfigError, VideoDecodeError
from vz_env.look import VideoClock
from vz_env.observer import Observer
from vz_env.rewards import REWARD_PRESETS, TrainingProgress

RIGHT, WRONG = "<think>t</think><answer>B</answer>", "<think>t</think><answer>A</answer>"
NAMES = ("accuracy", "format", "zoom_bonus")


def zoom(body: str) -> str:
    return f"<think>t</think><video_zoom>{body}</video_zoom>"


GOOD = zoom('{"segment":[4,6],"fps":2}')
EMPTY = zoom('{"segment":[5,5.2],"fps":2}')
BAD = zoom("4 to 6")


@pytest.fixture
def published(tiny):
    made = VideoZoomEnv(tiny, protocol="videozoomer")
    made.reset(seed=0, options={"episode_id": "q0"})
    return made


def test_budget_and_reward_are_the_published_ones(tiny):
    env = VideoZoomEnv(tiny, protocol="videozoomer", budget={"max_turns": 3})

    assert env.budget == replace(PUBLISHED_BUDGET, max_turns=3)
    assert env.reward_config == REWARD_PRESETS["videozoomer"]
    assert PUBLISHED_BUDGET.max_frames == 128
    assert PUBLISHED_BUDGET.max_turns == 5


def test_system_text_tells_the_tool_and_its_limit(tiny):
    env = VideoZoomEnv(tiny, protocol="videozoomer", budget={"max_frames_per_zoom": 8})

    assert '<video_zoom>{"segment": [4, 6], "fps": 2}</video_zoom>' in env.system_text
    assert "must not be more than 8." in env.system_text


def test_overview_is_labelled_and_tells_no_budget(published):
    observation, _ = published.reset(options={"episode_id": "q0"})
    lines = observation["text"].splitlines()

    assert observation["timestamps"].tolist() == [2.0 * k for k in range(10)]
    assert lines[:2] == ["<frame0_time0.00s> new teal 100%", "<frame1_time2.00s> teal 100%"]
    assert lines[10:] == [
        "In the purple scene a card appears. Which colour is it?", "A. blue", "B. red", "C. pink", "D. cyan",
    ]  # fmt: skip


def test_every_frame_is_the_one_its_number_says(published):
    observation = published.step(zoom('{"segment":[12.2,13.2],"fps":16}'))[0]
    red = observation["frames"][:, 32, 48, 0].astype(int) > observation["frames"][:, 2, 2, 0].astype(int) + 40
    shown = [12.3 <= time < 13.1 for time in observation["timestamps"].tolist()]

    assert len(shown) == 16
    assert red.tolist() == shown


# All rows of what the published tool was seen to do are in test_vectors; here is how it speaks of each kind of them.
VECTORS = [
    ('{"segment":[4,6],"fps":2}', [4.0, 4.64, 5.32, 6.0]),
    ('{"segment":[5,5.2],"fps":2}', []),
    ('{"segment":[0,20],"fps":1}', "OVER_BUDGET"),
    ('{"segment":[6,4],"fps":2}', "BAD_RANGE"),
    ('{"segment":[4,6],\n"fps":2}', "BAD_JSON"),
]


@pytest.mark.parametrize(("body", "expected"), VECTORS, ids=range(len(VECTORS)))
def test_vectors(published, body, expected):
    observation, reward, terminated, truncated, info = published.step(zoom(body))

    assert (reward, terminated, truncated) == (0.0, False, False)
    if isinstance(expected, str):
        assert info["invalid_code"] == expected
        assert observation["text"].startswith("<tool_response>error information: ")
        assert len(observation["timestamps"]) == 0
    else:
        assert info["invalid_code"] is None
        assert observation["timestamps"].tolist() == pytest.approx(expected)
        assert len(observation["frames"]) == len(expected)
        assert "<tool_response>\nThese are the frames" in observation["text"]
    assert published.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("body", "message", "end"),
    [
        ('{"segment":[4,6],\n"fps":2}', "", "</tool_response>"),
        ('{"segment":[4]}', "the zoom wants segment", "</tool_response>"),
        ('{"segment":[0,20],"fps":1}', "the zoom wants 20 frames, the limit is 16", "<tool_response>"),
    ],
)
def test_errors_are_wrapped_as_published(published, body, message, end):
    first = published.step(zoom(body))[0]["text"].splitlines()[0]

    assert first.startswith(f"<tool_response>error information: {message}")
    assert first.endswith(end)


def test_the_last_round_is_announced_and_a_zoom_in_it_exceeds(published):
    texts = [published.step(GOOD)[0]["text"] for _ in range(4)]
    observation, _, terminated, truncated, info = published.step(GOOD)

    assert [text.endswith("No zoom is left, answer now.") for text in texts] == [False, False, False, True]
    assert (terminated, truncated, info["end_reason"], info["action"]) == (False, True, "exceeded", "invalid")
    assert (info["invalid_code"], observation["text"]) == ("LAST_TURN", "Episode over.")
    assert info["zooms"] == 4


def test_an_error_in_the_fourth_round_announces_the_last_one_too(published):
    texts = [published.step(BAD)[0]["text"] for _ in range(4)]

    assert [text.endswith("No zoom is left, answer now.") for text in texts] == [False, False, False, True]
    assert published.step(RIGHT)[4]["score"] == 1.0


def test_images_are_counted_before_a_zoom_and_not_after_it(tiny):
    env = VideoZoomEnv(tiny, protocol="videozoomer", budget={"max_frames": 12, "overview_frames": 10})
    env.reset(seed=0)
    observation, _, _, truncated, _ = env.step(zoom('{"segment":[0,16],"fps":1}'))

    assert (len(observation["frames"]), truncated, int(observation["budget"]["frames"])) == (16, False, 0)
    assert env.observation_space.contains(observation)
    assert env.step(GOOD)[4]["end_reason"] == "exceeded"


@pytest.mark.parametrize(
    ("reply", "end_reason", "score"),
    [
        ("It must be B.", "stopped", 1.0),
        ("Plugged into the USB.", "stopped", 1.0),
        ("", "stopped", 0.0),
        ("<video_zoom>{", "stopped", 0.0),
        ("<think>B</think><answer>A. or B.</answer>", "answered", 1.0),
        ("<answer>(B)</answer>", "answered", 0.0),
    ],
)
def test_a_reply_without_a_zoom_ends_the_episode(published, reply, end_reason, score):
    _, _, terminated, truncated, info = published.step(reply)

    assert (terminated, truncated, info["end_reason"], info["score"]) == (True, False, end_reason, score)


def test_a_zoom_in_the_thinking_is_made(published):
    info = published.step('<think><video_zoom>{"segment":[4,6],"fps":2}</video_zoom></think><answer>B</answer>')[4]

    assert (info["action"], info["turn"]) == ("zoom", 1)


def test_a_letter_in_a_thought_still_scores_when_the_episode_exceeds(published):
    for _ in range(4):
        published.step(GOOD)
    _, reward, _, truncated, info = published.step('It is B.<video_zoom>{"segment":[4,6],"fps":2}</video_zoom>')

    assert (truncated, info["score"]) == (True, 1.0)
    assert reward == pytest.approx(0.9 + 0.5)  # right, and a zoom was attempted; no format


@pytest.mark.parametrize(
    ("actions", "paper", "script"),
    [
        ((RIGHT,), 1.0, 1.0),
        ((GOOD, RIGHT), 1.5, 1.0),
        ((EMPTY, RIGHT), 1.5, 1.0),  # a zoom of no frame earns as much
        ((BAD, RIGHT), 1.4, 0.9),  # and so does one that could not be read, but for the format
        ((GOOD, WRONG), 0.1, 0.1),
        (("I think A",), 0.0, 0.0),
    ],
)
def test_rewards(tiny, play, actions, paper, script):
    for preset, expected in (("videozoomer", paper), ("videozoomer-script", script)):
        env = VideoZoomEnv(tiny, protocol="videozoomer", reward=preset)
        assert play(env, *actions)[1] == pytest.approx(expected)


def test_each_term_is_told(tiny, play):
    terms = play(VideoZoomEnv(tiny, protocol="videozoomer"), GOOD, RIGHT)[4]["reward_terms"]

    assert {name: terms[name] for name in NAMES} == pytest.approx({"accuracy": 0.9, "format": 0.1, "zoom_bonus": 0.5})


PENALTIES = {"penalty_per_zoom": 0.1, "penalty_of_frames": 0.2, "most_zoom_frames": 8}


@pytest.mark.parametrize(
    ("protocol", "actions", "changed"),
    [
        ("videozoomer", (GOOD, RIGHT), {"zoom_bonus": 0.5, "zoom_penalty": -0.1}),
        ("videozoomer", (GOOD, BAD, GOOD, RIGHT), {"zoom_bonus": 0.5, "zoom_penalty": -0.2}),  # up to the bad one
        ("videozoomer", (GOOD, GOOD, RIGHT), {"zoom_bonus": 0.5, "zoom_penalty": -0.2, "frames_penalty": -0.2}),
        ("videozoomer", (GOOD, GOOD, WRONG), {}),
        ("strict", (GOOD, BAD, RIGHT), {"zoom_bonus": 0.5, "zoom_penalty": -0.1}),
        (
            "strict",
            (GOOD, zoom('{"segment":[7,9],"fps":2}'), RIGHT),
            {"zoom_bonus": 0.5, "zoom_penalty": -0.2, "frames_penalty": -0.2},
        ),
    ],
)
def test_penalties_are_terms_of_their_own(tiny, play, protocol, actions, changed):
    reward = {"accuracy": 0.0, "format": 0.0, "cost_per_invalid": 0.0, "zoom_bonus": 0.5, **PENALTIES}
    result = play(VideoZoomEnv(tiny, protocol=protocol, reward=reward), *actions)
    terms = {name: value for name, value in result[4]["reward_terms"].items() if value}

    assert terms == pytest.approx(changed)
    assert result[1] == pytest.approx(sum(changed.values()))


def test_the_bonus_is_annealed_by_what_a_trainer_tells(tiny, play):
    env = VideoZoomEnv(tiny, protocol="videozoomer", reward={"zoom_bonus_end": 0.1, "anneal_steps": 100})
    paid = []
    for step in (0, 50, 100, 900):
        env.progress = TrainingProgress(step=step)
        paid.append(play(env, GOOD, RIGHT)[1])

    assert paid == pytest.approx([1.5, 1.3, 1.1, 1.1])  # the other weights stay those of the paper


def test_a_forced_zoom_is_the_condition_of_any_reward(tiny, play):
    env = VideoZoomEnv(tiny, protocol="videozoomer", zoom_mode="forced")

    assert play(env, RIGHT)[1] == 0.0
    assert play(env, BAD, RIGHT)[1] == pytest.approx(1.4)


def test_a_forbidden_zoom_ends_the_episode(tiny, play):
    env = VideoZoomEnv(tiny, protocol="videozoomer", zoom_mode="forbidden")

    assert play(env, GOOD)[4]["end_reason"] == "exceeded"


def test_a_fixed_rate_replaces_the_one_asked_for_in_silence(tiny, play):
    observation, *_, info = play(VideoZoomEnv(tiny, protocol="videozoomer", zoom_fps=1.0), GOOD)

    assert len(observation["timestamps"]) == 2
    assert info["fps"] == 1.0
    assert "fixed" not in observation["text"]


def test_questions_without_options_are_graded_offline(tiny, play):
    question = replace(tiny.episode("q0"), options=(), answer_kind="text")
    dataset = Dataset(name="Words", episodes=[question], keys={"q0": AnswerKey(answer_texts=("red",))})
    env = VideoZoomEnv(dataset, protocol="videozoomer")

    assert play(env, "<answer>Red.</answer>")[4]["score"] == 1.0
    assert play(env, "<answer>blue</answer>")[4]["score"] == 0.0


def test_a_video_without_a_frame_rate_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(Observer, "clock", lambda self, episode: VideoClock(20.0, 0, 0.0))
    with pytest.raises(VideoDecodeError, match="states no frame rate"):
        VideoZoomEnv(tiny, protocol="videozoomer").reset(seed=0)
    VideoZoomEnv(tiny).reset(seed=0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"protocol": "lenient"}, "protocol must be one of"),
        ({"protocol": "videozoomer", "eyes": ["crop"]}, "knows none of the eyes"),
        ({"zoom_mode": "sometimes"}, "zoom_mode must be one of"),
        ({"zoom_fps": 0.0}, "zoom_fps must be positive"),
        ({"zoom_fps": float("nan")}, "zoom_fps must be positive"),
        ({"eyes": ["ears"]}, "eyes must be among"),
    ],
)
def test_arguments_that_are_refused(tiny, changes, match):
    with pytest.raises(ConfigError, match=match):
        VideoZoomEnv(tiny, **changes)


def test_moments_are_those_that_a_step_decodes(published):
    np.testing.assert_allclose(published.moments(GOOD), np.array([100, 116, 133, 150]) / 25 + 0.02)
    assert len(published.moments(EMPTY)) == len(published.moments(RIGHT)) == 0
