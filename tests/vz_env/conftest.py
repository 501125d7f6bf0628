"""What the environment's tests share: a tiny real video (20 s, 25 fps), questions about it, every way to play them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pytest

from vz_env.actions import format_subtitle_search, format_zoom
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import register_loader
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.observer import forget_words
from vz_env.video.palette import PALETTE

SCENES = ("teal", "gold", "purple", "lime")  # five seconds each
EVIDENCE = Segment(12.3, 13.1)  # a red card in the purple scene, between two overview frames a second apart
OPTIONS = ("blue", "red", "pink", "cyan")
FPS, SECONDS = 25, 20


def paint(time: float) -> np.ndarray:
    frame = np.empty((64, 96, 3), np.uint8)
    frame[:] = PALETTE[SCENES[int(time // 5)]]
    if EVIDENCE.contains(time):
        frame[16:48, 24:72] = PALETTE["red"]
    return frame


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H.264 file: four scenes, and one card that shows for 0.8 s."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "50", "bf": "2"}
        for number in range(FPS * SECONDS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(number / FPS))))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def tiny_episode(tiny_video: Path) -> Episode:
    return Episode(
        id="q0",
        question="In the purple scene a card appears. Which colour is it?",
        video_path=tiny_video,
        video_id="tiny",
        dataset="Tiny",
        split="test",
        options=OPTIONS,
    )


MakeDataset = Callable[..., Dataset]


@pytest.fixture(scope="session")
def make_tiny(tiny_episode: Episode, tiny_video: Path) -> MakeDataset:
    """Make the dataset; `key` replaces the key of all its questions."""

    def make(key: AnswerKey | None = None, *, count: int = 6, split: str = "test") -> Dataset:
        key = key or AnswerKey(answer_indices=(1,), evidence=(EVIDENCE,))
        fields = {name: getattr(tiny_episode, name) for name in ("question", "video_path", "video_id", "options")}
        episodes = [Episode(id=f"q{n}", dataset="Tiny", split=split, **fields) for n in range(count)]
        keys = {episode.id: key for episode in episodes}
        return Dataset(name="Tiny", split=split, episodes=episodes, keys=keys, root=tiny_video.parent)

    return make


@pytest.fixture
def tiny(make_tiny: MakeDataset) -> Dataset:
    return make_tiny()


@pytest.fixture
def env(tiny: Dataset) -> VideoZoomEnv:
    """An environment in which episode q0 has just begun, with four overview frames."""
    made = VideoZoomEnv(tiny, budget=Budget(overview_frames=4, max_frames=60))
    made.reset(seed=0, options={"episode_id": "q0"})
    return made


@pytest.fixture
def play() -> Callable[..., Any]:
    """Play episode q0 from its beginning: `play(env, *actions)` returns what the last step did."""

    def run(env: VideoZoomEnv, *actions: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        env.reset(seed=0, options={"episode_id": "q0"})
        results = [env.step(action) for action in actions]
        assert all(env.observation_space.contains(result[0]) for result in results)
        return results[-1]

    return run


@pytest.fixture
def fresh_words() -> None:
    """Forget every description before the test."""
    forget_words()


TINY_NEEDLE = {"videos": {"test": 1}, "spacings_seconds": (10,)}
IDS = {
    "VZ/TinyTest-v0": {},
    "VZ/Needle-v0": {"split": "test", "dataset_options": {"config": TINY_NEEDLE}},
}
ZOOM, ANSWER = format_zoom((12, 14), 8), "<answer>B</answer>"
SCRIPT = (ZOOM, "hm", format_zoom((3, 9), 1.5), ZOOM, format_zoom((15, 99), 0.2), ANSWER)
EYES_SCRIPT = (
    format_zoom((12, 14), 4, (0.25, 0.25, 0.75, 0.75)),
    format_subtitle_search("red card"),
    format_zoom((1, 2), 2) + format_zoom((3, 4), 2),
    '<tool_call>{"name":"crop_video","arguments":{"start_time":4,"end_time":7}}</tool_call>',
    format_zoom((15, 18), 2),
    ANSWER,
)
VARIANTS = {
    "strict": ({}, SCRIPT),
    "videozoomer": (
        {"protocol": "videozoomer"},
        (ZOOM, "<video_zoom>hm</video_zoom>", format_zoom((5, 5.2), 2), format_zoom((15, 99), 0.2), ANSWER),
    ),
    "eyes": (
        {
            "eyes": ["crop", "subtitle_search", "several_zooms", "aliases"],
            "budget": {"max_seconds": 40, "min_overview_frames": 8, "max_searches": 2},
        },
        EYES_SCRIPT,
    ),
    "forced": ({"zoom_mode": "forced", "zoom_fps": 2.0, "reward": "videozoomer"}, (ANSWER, *SCRIPT[:-2], ANSWER)),
}
"""Ways to play: the arguments that switch each on, and a script whose last action ends the episode."""


@pytest.fixture
def checked_ids(make_tiny: MakeDataset) -> Iterator[dict[str, dict[str, Any]]]:
    """The ids that every check is run for, one of them registered as a user does, and what each wants to be made."""

    def load(*, split: str = "test") -> Dataset:
        return make_tiny(split=split)

    known = register_loader.__globals__["_LOADERS"]
    known.pop("TinyTest", None)
    register_loader("TinyTest", load)
    yield IDS
    known.pop("TinyTest")
    gym.registry.pop("VZ/TinyTest-v0")


@pytest.fixture(params=[(name, variant) for name in IDS for variant in VARIANTS], ids="-".join)
def make(request: pytest.FixtureRequest, checked_ids: dict[str, dict[str, Any]]) -> Any:
    """Make the environment of each id in each variant; `make.script` plays it to the end."""
    name, variant = request.param
    arguments, script = VARIANTS[variant]

    def make_env(**changes: Any) -> gym.Env:
        given = {**checked_ids[name], **arguments, **changes}
        if "budget" in arguments and "budget" in changes:
            given["budget"] = {**arguments["budget"], **changes["budget"]}
        return gym.make(name, **given)

    make_env.script, make_env.arguments = script, arguments
    return make_env
