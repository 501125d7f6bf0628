"""Frames of the published protocol on real containers: every label names the frame of that number, and shows it."""

from __future__ import annotations

import pytest
from make_assets import asset, read_number

from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode

# Constant rates in containers that count time differently: exactly, in milliseconds, at 90 kHz, at 30000/1001.
FILES = {
    "cfr.mp4": 30.0,
    "ntsc.mp4": 30000 / 1001,
    "cfr.mkv": 30.0,
    "cfr.ts": 30.0,
    "mpeg4.avi": 30.0,
    "late.mkv": 30.0,
}


@pytest.fixture(params=FILES)
def played(request, tmp_path):
    """An environment on one of the files, its frames a second, and its number of frames."""
    recipe = asset(request.param)
    episode = Episode(id="q", question="Which?", options=("a", "b"), video_path=recipe.write(tmp_path))
    dataset = Dataset(name="Numbered", episodes=[episode], keys={"q": AnswerKey(answer_indices=(0,))})
    env = VideoZoomEnv(dataset, protocol="videozoomer", describe="none")
    return env, FILES[request.param], len(recipe.ticks)


def numbers(observation) -> list[int]:
    return [read_number(frame) for frame in observation["frames"]]


def test_overview_shows_every_so_manieth_frame(played):
    env, fps, count = played
    observation, _ = env.reset(seed=0)
    expected = list(range(0, count, round(fps / 0.5)))

    assert numbers(observation) == expected
    assert observation["timestamps"].tolist() == pytest.approx([number / fps for number in expected], abs=1e-3)


@pytest.mark.parametrize(("start", "end", "rate"), [(1, 3, 8), (2.9, 4.3, 10), (0, 0.5, 30), (4, 1000, 0.016)])
def test_zooms_show_frames_by_number(played, start, end, rate):
    env, fps, count = played
    env.reset(seed=0)
    observation, *_, info = env.step(f'<video_zoom>{{"segment":[{start},{end}],"fps":{rate}}}</video_zoom>')
    asked = int(rate * (end - start))
    first, last = min(int(start * fps), count - 1), min(int(end * fps), count - 1)
    expected = [int(first + (last - first) * k / (asked - 1)) if asked > 1 else first for k in range(asked)]

    assert info["invalid_code"] is None
    assert numbers(observation) == expected
    assert observation["timestamps"].tolist() == pytest.approx([number / fps for number in expected], abs=1e-3)
