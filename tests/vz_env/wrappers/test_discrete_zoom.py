"""The environment in numbers: actions there and back, features from pixels and from words."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.actions import format_answer, format_zoom, parse_action
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError
from vz_env.video.palette import PALETTE
from vz_env.video.sampling import zoom_timestamps
from vz_env.wrappers import DiscreteZoom
from vz_env.wrappers.bin_features import hashed_words, named_colors, named_number
from vz_env.wrappers.discrete_zoom import ANSWER, ZOOM, fps_for

COLORS = tuple(PALETTE)
BUDGET = {"overview_frames": 20, "max_turns": 6, "max_zooms": 5}


@pytest.fixture
def make(make_tiny):
    """Make the wrapped environment: 20 bins of a second, 20 overview frames."""

    def make_env(*, with_frames: bool = True, **options) -> DiscreteZoom:
        return DiscreteZoom(
            VideoZoomEnv(make_tiny(), budget=BUDGET, with_frames=with_frames), **{"bins": 20, **options}
        )

    return make_env


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), bins=st.sampled_from([1, 7, 20, 32]))
def test_every_action_is_legal_text_and_survives_the_way_back(make, seed, bins):
    env = make(with_frames=False, bins=bins)
    env.reset(seed=0)
    env.action_space.seed(seed)
    action = env.action_space.sample()
    text = env.to_text(action)
    back = env.from_text(text)
    invalid = env.step(action)[4]["invalid_code"]

    assert invalid is None
    assert parse_action(text)
    if action[0] == ANSWER:
        assert back.tolist() == [ANSWER, 0, 0, 0, action[4]]
    else:
        ends = [min(bins, numbers[1] + env.lengths[numbers[2]]) for numbers in (action, back)]
        assert back[:2].tolist() == action[:2].tolist()
        assert ends[0] == ends[1] or bins == 1  # the same segment: a length that the end of the video cuts is another


def test_a_zoom_shows_the_frames_that_were_asked_for(make):
    env = make()
    env.reset(seed=0)
    env.step([ZOOM, 12, 1, 0, 0])
    info = env.step([ZOOM, 3, 0, 2, 0])[4]

    assert env.step([ZOOM, 18, 3, 1, 0])[4]["segment"] == [18.0, 20.0]  # cut at the end
    assert (info["segment"], info["frames_new"]) == ([3.0, 4.0], 4 - 1)  # the overview showed second 3 itself
    assert info["text_action"] == '<video_zoom>{"segment":[3,4],"fps":4}</video_zoom>'
    assert env.step([ANSWER, 0, 0, 0, 1])[4]["score"] == 1.0


def test_colours_from_words_are_those_from_pixels(make):
    seeing, reading = make(), make(with_frames=False)
    pairs = [(seeing.reset(seed=1)[0], reading.reset(seed=1)[0])]
    pairs += [(seeing.step(action)[0], reading.step(action)[0]) for action in ([ZOOM, 12, 1, 0, 0], [ZOOM, 4, 0, 1, 0])]

    for seen, read in pairs:
        assert seeing.observation_space.contains(seen)
        for name in ("early", "runs", "seen"):
            assert np.array_equal(seen[name], read[name]), name
        for name in ("overview", "zoomed"):
            assert np.abs(seen[name] - read[name]).max() < 0.08, name  # words leave out what is below 8 percent


def test_palette_features_say_what_is_where(make):
    env = make()
    first = env.reset(seed=0)[0]
    after = env.step([ZOOM, 12, 0, 0, 0])[0]
    red, purple = COLORS.index("red"), COLORS.index("purple")

    assert first["overview"].argmax(axis=1).tolist() == [
        COLORS.index(name) for name in ("teal", "gold", "purple", "lime") for _ in range(5)
    ]
    assert not first["zoomed"].any()
    assert after["zoomed"][12, red] > 0.2
    assert after["early"][12, red] == pytest.approx(1 - 0.375)  # on from 12.32, the frame after 12.3
    assert after["early"][12, purple] == 1.0
    assert after["runs"][12, red] == pytest.approx(1 / 8)
    assert after["seen"][12].tolist() == [1.0, 1.0]
    assert not after["zoomed"][np.arange(20) != 12].any()


def test_question_features(make):
    observation = make().reset(seed=0)[0]

    assert COLORS[observation["question_colors"][0].argmax()] == "purple"
    assert not observation["question_colors"][1].any()
    assert [COLORS[row[0].argmax()] for row in observation["option_colors"]] == ["blue", "red", "pink", "cyan"]
    assert observation["option_mask"].tolist() == [1.0] * 4
    assert observation["budget"].tolist() == pytest.approx([1.0, 1.0, 92 / 112])


def test_words_as_numbers():
    two = named_colors("red to blue")

    assert [COLORS[row.argmax()] for row in two] == ["red", "blue"]
    assert np.array_equal(hashed_words("Red card, CARD"), hashed_words("a card"[2:]))
    assert [named_number(text) for text in ("4", " 2 ", "99", "four", "1.5", "99999")] == [0.5, 0.25, 1.0, 0, 0, 0]


def test_thumbnails_and_text(make):
    env = make(features="thumbnails", thumbnail_size=(8, 12), text_bytes=100)
    first = env.reset(seed=0)[0]
    after = env.step([ZOOM, 12, 0, 0, 0])[0]
    text = bytes(after["text"])

    assert all(isinstance(space, Box) for space in env.observation_space.values())
    assert env.observation_space.contains(after)
    assert first["thumbnails"].shape == (20, 8, 12, 3)
    assert (after["thumbnails"][12] != first["thumbnails"][12]).any()
    assert (after["thumbnails"][11] == first["thumbnails"][11]).all()
    assert text.startswith(b"Question: In the purple")
    assert text.endswith(b"frames each")
    assert len(text) == 100
    assert "overview" not in after


def test_text_that_fits_is_padded(make):
    text = bytes(make(text_bytes=5000).reset(seed=0)[0]["text"])

    assert text.rstrip(b"\0").endswith(b"Left: 5 zooms, 16 frames each")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_zoom((12.1, 13.9), 8), [ZOOM, 12, 1, 0, 0]),
        (format_zoom((-5, 90), 0.4), [ZOOM, 0, 3, 1, 0]),
        (format_answer("red"), [ANSWER, 0, 0, 0, 1]),
        (format_answer("green"), None),
        ("hm", None),
    ],
)
def test_text_actions_become_the_nearest_number(make, text, expected):
    env = make()
    env.reset(seed=0)
    action = env.from_text(text)

    assert (None if action is None else action.tolist()) == expected


@given(frames=st.integers(1, 64), seconds=st.floats(0.05, 2000))
def test_the_chosen_rate_shows_as_many_frames_as_two_decimals_can(frames, seconds):
    fps = fps_for(frames, seconds)
    shown, more = (len(zoom_timestamps(Segment(0.0, seconds), rate)) for rate in (fps, fps + 0.02))

    assert fps == pytest.approx(round(fps, 2))
    assert shown <= frames or fps == 0.01
    assert more >= frames or fps == 0.01


def test_same_seed_same_episodes(make):
    left, right = make(), make()
    assert data_equivalence(left.reset(seed=9), right.reset(seed=9))
    left.action_space.seed(1)
    for _ in range(20):
        action = left.action_space.sample()
        ours, theirs = left.step(action), right.step(action)
        assert data_equivalence(ours, theirs)
        assert left.observation_space.contains(ours[0])
        if ours[2] or ours[3]:
            assert data_equivalence(left.reset(), right.reset())


def test_it_works_in_gymnasiums_vector_environments(make):
    envs = gym.vector.SyncVectorEnv([make] * 2)
    observation, _ = envs.reset(seed=0)
    after = envs.step(np.array([[ZOOM, 12, 0, 0, 0], [ANSWER, 0, 0, 0, 1]]))

    assert observation["overview"].shape == (2, 20, 16)
    assert after[1].tolist() == [0.0, 1.0]
    envs.close()


@pytest.mark.parametrize(
    "options",
    [{"bins": 0}, {"lengths": ()}, {"lengths": (0,)}, {"shares": (1.5,)}, {"features": "sound"}, {"options": 1}],
)
def test_bad_arguments_are_refused(make, options):
    with pytest.raises(ConfigError, match=r"wanted|features must be"):
        make(**options)


def test_actions_and_questions_that_do_not_fit_are_refused(make, tiny_episode):
    env = make(options=3)
    with pytest.raises(ConfigError, match="at most so many options"):
        env.reset(seed=0)
    env = make()
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="must be in MultiDiscrete"):
        env.step([ZOOM, 99, 0, 0, 0])
    with pytest.raises(ConfigError, match="must be in MultiDiscrete"):
        env.to_text([ZOOM, 1])
    spoken = Episode(id="t", question="What?", video_path=tiny_episode.video_path, answer_kind="text")
    dataset = Dataset(name="Text", episodes=[spoken], keys={"t": AnswerKey(answer_texts=("x",))})
    with pytest.raises(ConfigError, match="kind 'text'"):
        DiscreteZoom(VideoZoomEnv(dataset)).reset()


def test_it_is_part_of_the_spec(tiny):
    env = DiscreteZoom(gym.make("VZ/Needle-v0", dataset=tiny), bins=8)

    assert env.spec.additional_wrappers[-1].kwargs["bins"] == 8
