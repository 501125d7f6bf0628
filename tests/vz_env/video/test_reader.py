from __future__ import annotations

import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from make_assets import ASSETS, MORE_ASSETS, Asset, decode_all, hard_times, on_at, read_number

from vz_env.errors import ConfigError, VideoDecodeError, VideoTimeout
from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder
from vz_env.video.limits import DecodeLimits
from vz_env.video.opening import open_reader
from vz_env.video.reader import VideoReader
from vz_env.video.source import LocalSource

Numbered = Callable[[str], Path]
RECIPES = (*ASSETS, *MORE_ASSETS) if os.environ.get("VZ_LONG_TESTS") else ASSETS
BFRAMES = {"preset": "veryfast", "bf": "3"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.file)
@pytest.mark.parametrize("workers", [1, 2])
def test_every_frame_is_the_one_that_is_on(recipe: Asset, workers: int, numbered: Numbered) -> None:
    path = numbered(recipe.file)
    times, numbers = decode_all(path)
    asked = hard_times(times)
    expected = on_at(times, asked)

    with VideoReader(path, workers=workers, cache=FrameCache(0)) as reader:
        batch = reader.frames_at(asked, size=(80, 48))

    assert len(asked) >= 80
    assert [read_number(frame) for frame in batch.frames] == [numbers[i] for i in expected]
    np.testing.assert_allclose(batch.timestamps_seconds, times[expected], atol=1e-9)


@pytest.mark.parametrize("file", ["bframes.mp4", "cut.mp4", "late.mkv", "variable.ts", "open_gop.ts", "vp9.webm"])
def test_one_at_a_time_gives_the_same_as_all_at_once(file: str, numbered: Numbered) -> None:
    with VideoReader(numbered(file), cache=FrameCache(0)) as reader:
        asked = np.random.default_rng(1).uniform(0, reader.info.duration_seconds, 20)
        together = reader.frames_at(asked)
        alone = [reader.frames_at([time]) for time in asked]

    for position, batch in enumerate(alone):
        np.testing.assert_array_equal(batch.frames[0], together.frames[position])
        assert batch.timestamps_seconds[0] == together.timestamps_seconds[position]


def test_reference_agrees_with_what_was_written(numbered: Numbered) -> None:
    for file in ("bframes.mp4", "variable.mp4", "late.mkv", "variable.ts", "hevc.mp4"):
        recipe = next(r for r in ASSETS if r.file == file)
        written = [float((tick - recipe.ticks[0]) * recipe.time_base) for tick in recipe.ticks]
        times, numbers = decode_all(numbered(file))
        assert numbers == list(range(len(written)))
        np.testing.assert_allclose(times, written, atol=1.1e-3)  # mkv keeps whole milliseconds


def test_edit_list_hides_what_was_cut(numbered: Numbered) -> None:
    with VideoReader(numbered("cut.mp4")) as reader:
        assert read_number(reader.frames_at([0.0]).frames[0]) == 20
        assert reader.info.duration_seconds == pytest.approx(280 / 30)


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        ("cfr.mp4", 10),
        ("ntsc.mp4", 10.01),
        ("late.mp4", 250 / 30),
        ("late.mkv", 10),
        ("cfr.ts", 10),
        ("mpeg4.avi", 20 / 3),
    ],
)
def test_duration_runs_from_first_frame_to_end_of_last(file: str, seconds: float, numbered: Numbered) -> None:
    with VideoReader(numbered(file)) as reader:
        assert reader.info.duration_seconds == pytest.approx(seconds, abs=2e-3)
        assert not reader.info.is_truncated


def test_order_and_repeats_are_kept(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        batch = reader.frames_at([5.0, 1.0, 5.0, 0.0])
    assert [read_number(frame) for frame in batch.frames] == [150, 30, 150, 0]


def test_six_decimals_name_a_frame(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        batch = reader.frames_at([round(k / 30, 6) for k in range(90)])
    assert [read_number(frame) for frame in batch.frames] == list(range(90))


def test_sizes(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        assert reader.frames_at([0.0]).frames.shape == (1, 96, 160, 3)
        assert reader.frames_at([0.0], max_pixels=4000).frames.shape == (1, 48, 80, 3)
        assert reader.frames_at([0.0], max_pixels=10**9).frames.shape == (1, 96, 160, 3)
        assert reader.frames_at([0.0], size=(30, 20)).frames.shape == (1, 20, 30, 3)
        assert reader.frames_at([]).frames.shape == (0, 96, 160, 3)


def test_pictures_are_read_only(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        batch = reader.frames_at([0.0])
    with pytest.raises(ValueError, match="read-only"):
        batch.frames[0, 0, 0, 0] = 1


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(degrees: int, tmp_path: Path) -> None:
    signed = degrees if degrees <= 180 else degrees - 360
    recipe = Asset(
        file="turned.mp4", ticks=range(6), options=BFRAMES, prepare=lambda stream: stream.set_display_rotation(signed)
    )
    with VideoReader(recipe.write(tmp_path)) as reader:
        batch = reader.frames_at([0.1])
        upright = np.rot90(batch.frames[0], -degrees // 90)

    assert reader.info.rotation_degrees == degrees
    assert read_number(upright) == 3
    assert batch.frames.shape[1:3] == ((96, 160) if degrees == 180 else (160, 96))


def test_pixel_aspect_shrinks_one_side(tmp_path: Path) -> None:
    def wide(stream: object) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)  # type: ignore[attr-defined]

    path = Asset(file="wide.mp4", ticks=range(4), options=BFRAMES, prepare=wide).write(tmp_path)
    with VideoReader(path) as reader:
        assert (reader.info.width, reader.info.height) == (160, 72)


@pytest.mark.parametrize("count", [1, 2])
def test_a_few_frames_are_a_video(count: int, tmp_path: Path) -> None:
    path = Asset(file="short.mp4", ticks=range(count), options=BFRAMES).write(tmp_path)
    with VideoReader(path) as reader:
        batch = reader.frames_at([0.0, 0.5, 99.0])
    assert reader.info.duration_seconds == pytest.approx(count / 30)
    assert [read_number(frame) for frame in batch.frames] == [0, count - 1, count - 1]


def test_ten_bits(tmp_path: Path) -> None:
    path = Asset(file="ten.mkv", ticks=range(30), options=BFRAMES, pixel_format="yuv420p10le").write(tmp_path)
    with VideoReader(path) as reader:
        assert [read_number(f) for f in reader.frames_at([0.0, 0.5, 0.9]).frames] == [0, 15, 27]


@pytest.mark.parametrize("times", [[float("nan")], [[0.0]], 1.0])
def test_times_must_be_numbers_in_a_row(times: object, numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader, pytest.raises(ConfigError, match="one dimension"):
        reader.frames_at(times)  # type: ignore[arg-type]


def test_calls_are_bounded(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4"), limits=DecodeLimits(max_frames_per_call=4)) as reader:
        with pytest.raises(ConfigError, match="max_frames_per_call"):
            reader.frames_at(np.zeros(5))
        with pytest.raises(ConfigError, match="not both"):
            reader.frames_at([0.0], size=(8, 8), max_pixels=64)
        with pytest.raises(ConfigError, match="at least one pixel"):
            reader.frames_at([0.0], size=(0, 8))
    with (
        VideoReader(numbered("cfr.mp4"), limits=DecodeLimits(max_output_bytes=1000)) as reader,
        pytest.raises(ConfigError, match="1000 bytes"),
    ):
        reader.frames_at([0.0])
    with pytest.raises(ConfigError, match="workers"):
        VideoReader(numbered("cfr.mp4"), workers=0)


def test_deadline_is_kept_and_the_reader_lives_on(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = VideoReader(numbered("one_keyframe.mp4"), cache=FrameCache(0))
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_limits", DecodeLimits(timeout_seconds=1e-4))
        with pytest.raises(VideoTimeout, match="timeout_seconds"):
            reader.frames_at([13.0])
    assert read_number(reader.frames_at([13.0]).frames[0]) == 390


def test_a_closed_reader_says_so(numbered: Numbered) -> None:
    reader = VideoReader(numbered("cfr.mp4"), cache=FrameCache(0))
    reader.close()
    reader.close()
    assert reader.is_closed
    with pytest.raises(VideoDecodeError, match="closed"):
        reader.frames_at([0.0])


def test_a_file_deleted_while_open_can_be_read(numbered: Numbered, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(numbered("cfr.mp4").read_bytes())
    with VideoReader(path) as reader:
        path.unlink()
        assert read_number(reader.frames_at([5.0]).frames[0]) == 150


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_that_ask_at_once_get_their_own_frames(workers: int, numbered: Numbered) -> None:
    cache = FrameCache(1 << 20)
    reader = VideoReader(numbered("bframes.mp4"), workers=workers, cache=cache)
    wrong: list[object] = []

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(6):
            numbers = rng.integers(0, 300, 5)
            got = [read_number(f) for f in reader.frames_at((numbers + 0.5) / 30, size=(80, 48)).frames]
            if got != numbers.tolist():
                wrong.append((numbers, got))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not wrong
    assert cache.metrics.bytes <= 1 << 20


def test_a_second_look_comes_from_the_cache(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FrameCache()
    with VideoReader(numbered("cfr.ts"), cache=cache) as reader:
        first = reader.frames_at([1.0, 2.0])
        monkeypatch.setattr(LocalSource, "decode", lambda *args: pytest.fail("decoded again"))
        again = reader.frames_at([2.0, 1.0])
    np.testing.assert_array_equal(again.frames, first.frames[::-1])
    assert cache.metrics.hits == 2


def test_sixteen_askers_of_one_place_decode_it_once(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed
    reader = VideoReader(numbered("bframes.mp4"), cache=FrameCache())
    monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
    times = np.arange(16) / 8 + 2
    reader.frames_at(times)
    alone = len(fed)

    threads = [threading.Thread(target=reader.frames_at, args=(times + 4,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(fed) - alone <= 1.5 * alone


def test_pool_shares_readers_and_notices_a_new_file(numbered: Numbered, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(numbered("cfr.mp4").read_bytes())
    reader = open_reader("a.mp4", root=tmp_path)

    assert open_reader(path) is reader

    path.unlink()
    path.write_bytes(numbered("slow.mp4").read_bytes())
    assert open_reader(path) is not reader
    assert open_reader(path).info.duration_seconds == pytest.approx(30)
    reader = open_reader(path)
    reader.close()
    assert open_reader(path) is not reader


def test_repr_shows_what_it_is(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        assert "10.000s, 160x96 h264" in repr(reader)
        assert reader.path.endswith("cfr.mp4")
        assert reader.identity.size == reader.info.file_bytes
