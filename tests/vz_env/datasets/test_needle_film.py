from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vz_env.datasets.needle import NeedleConfig, load_needle, make_needle, needle_script
from vz_env.datasets.needle_film import FilmBackdrop, read_film
from vz_env.datasets.needle_paint import paint_pictures
from vz_env.errors import VideoDecodeError, VideoError
from vz_env.video.palette import PALETTE, name_pixels

NAMES = tuple(PALETTE)
FILM_SECONDS, FILM_FPS = 24, 25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film whose grey grows with its time, so that a picture says where it comes from."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, FILM_SECONDS)
    return path


def write_film(path: Path, seconds: float) -> None:
    frames = round(seconds * FILM_FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FILM_FPS, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        for number in range(frames):
            shade = 20 + 200 * number // frames
            frame = av.VideoFrame.from_ndarray(np.full((108, 192, 3), shade, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FILM_FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def config_of(film: Path) -> NeedleConfig:
    return NeedleConfig(
        videos={"train": 1, "validation": 1, "test": 1}, overview_frames=6, spacings_seconds=(8,), haystack=film
    )


def test_film_is_read_twelve_times_a_second(film: Path) -> None:
    pictures = read_film(config_of(film))
    assert pictures.shape == (FILM_SECONDS * 12, 96 * 3 // 2, 160)
    luma = pictures[:, 40, 80].astype(int)
    shown = np.arange(len(pictures)) * FILM_FPS // 12  # the last frame at or before each moment
    wanted = 16 + (20 + 200 * shown // (FILM_SECONDS * FILM_FPS)) * 219 / 255
    assert np.abs(luma - wanted).max() <= 3


def test_splits_show_disjoint_parts_in_order(film: Path) -> None:
    config = config_of(film)
    pictures = read_film(config)
    ranges = {}
    for split in ("train", "validation", "test"):
        script = needle_script(config, split, 0).script
        plain = [
            picture.planes.y[48, 80]
            for picture in paint_pictures(script, config, FilmBackdrop(config, pictures, split))
            if script.card_at(picture.first_frame / 24) is None
        ]
        ranges[split] = (min(plain), max(plain))
    border = [16 + (20 + 200 * share) * 219 / 255 for share in (0.60, 0.75)]
    assert ranges["train"][1] <= border[0] + 3
    assert border[0] - 3 <= ranges["validation"][0] <= ranges["validation"][1] <= border[1] + 3
    assert ranges["test"][0] >= border[1] - 3


def check_descriptions(root: Path, config: NeedleConfig, split: str) -> None:
    """The border, the largest colour, names the scene in every frame, and a card is named whenever it is on."""
    script = needle_script(config, split, 0).script
    with av.open(str(root / split / f"{split}-000.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            card = script.card_at(frame.time)
            if card is None and number % 24:
                continue
            counts = np.bincount(name_pixels(frame.to_ndarray(format="rgb24")).ravel(), minlength=len(NAMES))
            shown = {NAMES[i] for i in np.argsort(-counts)[:3] if counts[i] >= 0.08 * counts.sum()}
            assert NAMES[counts.argmax()] == script.scene_at(frame.time).color  # the expert and `new` marks build on it
            assert card is None or card.color in shown


def test_needles_over_a_film_are_made_and_described(film: Path, tmp_path: Path) -> None:
    config = config_of(film)
    make_needle(tmp_path, config)
    episode = load_needle(split="test", root=tmp_path).episodes[0]
    assert episode.groups["haystack"] == "film"
    check_descriptions(tmp_path, config, "test")


def test_same_film_gives_the_same_bytes(film: Path, tmp_path: Path) -> None:
    folders = [make_needle(tmp_path / name, config_of(film)) for name in "ab"]
    first, second = ((folder / "train" / "train-000.mp4").read_bytes() for folder in folders)
    assert first == second


def test_film_that_is_too_short_is_refused(tmp_path: Path) -> None:
    write_film(tmp_path / "short.mp4", 3.0)
    with pytest.raises(VideoDecodeError, match=r"wants at least 7 s, got 3\.0 s"):
        read_film(config_of(tmp_path / "short.mp4"))


def test_film_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a film")
    with pytest.raises(VideoError, match=r"notes\.mp4"):
        make_needle(tmp_path / "out", config_of(tmp_path / "notes.mp4"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif("VZ_TEST_FILM" not in os.environ, reason="set VZ_TEST_FILM to a video of some minutes")
def test_real_film_makes_a_haystack(tmp_path: Path) -> None:
    config = NeedleConfig(videos={"test": 1}, haystack=Path(os.environ["VZ_TEST_FILM"]))
    make_needle(tmp_path, config)
    check_descriptions(tmp_path, config, "test")
