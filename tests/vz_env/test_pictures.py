"""Pictures that belong to a question: behind the overview, at the end of the video, checked like any other file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey
from vz_env.errors import VideoDecodeError, VideoError, VideoNotFound
from vz_env.pictures import question_picture
from vz_env.wrappers import DiscreteZoom

BUDGET = {"overview_frames": 4, "max_frames": 20}
ZOOM = '<video_zoom>{"segment":[4,6],"fps":2}</video_zoom>'


@pytest.fixture
def pictured(tiny_episode, tmp_path):
    """A dataset whose question is about a wide red picture."""
    Image.new("RGB", (200, 50), "red").save(tmp_path / "asked.png")
    episode = dataclasses.replace(tiny_episode, question_images=(tmp_path / "asked.png",))
    return Dataset(name="Pictured", episodes=[episode], keys={episode.id: AnswerKey(answer_indices=(1,))})


@pytest.mark.parametrize("protocol", ["strict", "videozoomer"])
def test_the_picture_comes_behind_the_overview(pictured, protocol):
    env = VideoZoomEnv(pictured, budget=BUDGET, protocol=protocol)
    observation, info = env.reset(seed=0)
    frames, lines = observation["frames"], observation["text"].splitlines()
    line = {"strict": "20s: picture of the question", "videozoomer": "<frame4_time20.00s> picture of the question"}

    assert frames.shape == (5, 64, 96, 3)
    assert observation["timestamps"][-1] == 20.0
    assert frames[4, 32, 48].tolist() == [255, 0, 0]
    assert frames[4, 4, 48].tolist() == [0, 0, 0]  # its aspect is kept
    assert line[protocol] in lines
    assert env.observation_space.contains(observation)
    assert (info["frames_used"], int(observation["budget"]["frames"])) == (4, 16)  # it costs no frame
    assert len(env.step(ZOOM)[0]["frames"]) == 4


def test_without_frames_the_picture_is_named_and_not_opened(pictured):
    picture = pictured.episodes[0].question_images[0]
    picture.unlink()
    observation, _ = VideoZoomEnv(pictured, budget=BUDGET, with_frames=False).reset(seed=0)

    assert "\n20s: picture of the question\nLeft" in observation["text"]
    assert (len(observation["frames"]), len(observation["timestamps"])) == (0, 5)
    with pytest.raises(VideoNotFound, match=r"asked\.png"):
        VideoZoomEnv(pictured).reset(seed=0)


def test_a_describer_of_ones_own_is_asked_about_the_picture(pictured):
    seen = []

    def describe(frame, time, episode):
        seen.append((frame.shape, time))
        return "red" if frame[32, 48].tolist() == [255, 0, 0] else ""

    observation, _ = VideoZoomEnv(pictured, budget=BUDGET, describe=describe).reset(seed=0)

    assert seen[-1] == ((64, 96, 3), 20.0)
    assert "20s: picture of the question, red" in observation["text"]


def test_pictures_alone_take_the_size_of_the_first(pictured, tmp_path):
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "second.png")
    images = (*pictured.episodes[0].question_images, tmp_path / "second.png")
    episode = dataclasses.replace(pictured.episodes[0], question_images=images)
    dataset = Dataset(name="Two", episodes=[episode], keys={episode.id: AnswerKey(answer_indices=(1,))})
    observation, _ = VideoZoomEnv(dataset, budget={"overview_frames": 0, "max_frames": 20}).reset(seed=0)

    assert observation["frames"].shape == (2, 50, 200, 3)
    assert observation["frames"][1, 25, 100].tolist() == [0, 0, 255]


def test_the_picture_is_no_part_of_what_bins_show(pictured, tiny_episode):
    plain = Dataset(name="Plain", episodes=[tiny_episode], keys={tiny_episode.id: AnswerKey(answer_indices=(1,))})
    left, right = (DiscreteZoom(VideoZoomEnv(dataset)).reset(seed=0)[0] for dataset in (pictured, plain))

    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_pictures_keep_their_aspect_and_stay_inside_the_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    Image.new("RGB", (200, 100), "red").save(root / "wide.png")
    picture = question_picture(root / "wide.png", root, size=(80, 80), max_pixels=100)
    assert picture.shape == (80, 80, 3)
    assert picture[40, 40].tolist() == [255, 0, 0]
    assert picture[5, 40].tolist() == [0, 0, 0]
    assert question_picture(root / "wide.png", root, size=None, max_pixels=5000).shape == (50, 100, 3)
    Image.new("RGB", (4, 4)).save(tmp_path / "outside.png")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(VideoError):
        question_picture(root / "link.png", root, size=None, max_pixels=5000)
    (root / "text.png").write_text("no picture")
    with pytest.raises(VideoDecodeError, match="not a picture"):
        question_picture(root / "text.png", root, size=None, max_pixels=5000)
    with pytest.raises(VideoError):
        question_picture(root / "none.png", root, size=None, max_pixels=5000)
