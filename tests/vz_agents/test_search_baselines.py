from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vz_agents.rollout import run_episode
from vz_agents.search_baselines import FirstFrames, SubtitleSearch
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle, make_needle
from vz_env.env import VideoZoomEnv
from vz_env.episode import SubtitleFile
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def needle(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    config = NeedleConfig(videos={"test": 1}, overview_frames=12, spacings_seconds=(8,))
    return load_needle(split="test", root=make_needle(tmp_path_factory.mktemp("needle") / "set", config))


def with_subtitles(needle: Dataset, folder: Path, text: str, options: tuple[str, ...]) -> Dataset:
    path = folder / f"said{len(list(folder.iterdir()))}.srt"
    path.write_text(text)
    episode = dataclasses.replace(
        needle.episodes[0],
        question="What does the ferryman carry?",
        options=options,
        subtitles=SubtitleFile(path, "srt"),
    )
    return Dataset(name="S", episodes=[episode], keys={episode.id: needle.key(episode.id)}, root=needle.root)


def test_first_frames_see_the_beginning_alone(needle: Dataset) -> None:
    policy = FirstFrames(frames=10, fps=2.0)
    env = VideoZoomEnv(needle, budget=policy.budget_for(Budget()))
    trajectory = run_episode(env, policy, needle.ids[0], seed=0)
    shown = [time for turn in trajectory.turns for time in turn.timestamps]
    assert shown == pytest.approx([number / 2 for number in range(10)])
    assert (trajectory.status, trajectory.metrics["frames_used"], policy.name) == ("answered", 10.0, "FirstFrames-10")


def test_first_frames_of_a_short_video_end_with_it(needle: Dataset) -> None:
    policy = FirstFrames(frames=5000, fps=1.0)
    env = VideoZoomEnv(needle, budget=policy.budget_for(Budget()))
    trajectory = run_episode(env, policy, needle.ids[0], seed=0)
    assert trajectory.turns[0].info["action"] == "zoom"
    assert max(trajectory.turns[1].timestamps) < needle.episodes[0].duration_seconds


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"fps": 0.0}, {"fps": float("inf")}])
def test_first_frames_refuse_nonsense(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="first frames want"):
        FirstFrames(**wrong)


SAID = (
    "1\n00:00:05,000 --> 00:00:07,000\nThe weather is fine today.\n\n"
    "2\n00:00:40,000 --> 00:00:43,000\nThe ferryman loads barrels of salt.\n\n"
    "3\n00:01:10,000 --> 00:01:12,000\nCopper is dear.\n\n"
)


def test_subtitle_search_zooms_to_the_words_and_answers_from_them(needle: Dataset, tmp_path: Path) -> None:
    dataset = with_subtitles(needle, tmp_path, SAID, ("copper", "salt", "wool", "grain"))
    trajectory = run_episode(VideoZoomEnv(dataset), SubtitleSearch(), dataset.ids[0], seed=0)
    start, end = trajectory.turns[0].info["segment"]
    assert start < 41.5 < end
    assert trajectory.turns[-1].action == "<answer>B</answer>"


def test_subtitle_search_guesses_where_words_decide_nothing(needle: Dataset, tmp_path: Path) -> None:
    silent = with_subtitles(needle, tmp_path, "", ("a", "b"))
    foreign = with_subtitles(needle, tmp_path, "1\n00:00:01,000 --> 00:00:02,000\nxyzzy\n\n", ("tea", "rum"))
    for dataset in (needle, silent, foreign):
        trajectory = run_episode(VideoZoomEnv(dataset), SubtitleSearch(), dataset.ids[0], seed=0)
        assert len(trajectory.turns) == 1
        assert trajectory.status == "answered"
    without_zooms = with_subtitles(needle, tmp_path, SAID, ("copper", "salt"))
    env = VideoZoomEnv(without_zooms, budget={"max_zooms": 0})
    assert run_episode(env, SubtitleSearch(), needle.ids[0], seed=0).turns[0].action == "<answer>B</answer>"
