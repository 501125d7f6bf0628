from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from make_assets import ASSETS, MORE_ASSETS, Asset, decode_all, read_number

from vz_env.errors import ConfigError
from vz_env.video.cache import FrameCache
from vz_env.video.decode import PictureDecoder
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
RECIPES = (*ASSETS, *MORE_ASSETS) if os.environ.get("VZ_LONG_TESTS") else ASSETS


def keyframe_times(path: Path, times: np.ndarray) -> np.ndarray:
    """Times of the keyframes that are presented, from a plain pass over the packets."""
    with av.open(str(path), options={"fflags": "genpts"}) as container:
        stream = container.streams.video[0]
        first = next(frame.pts for frame in container.decode(stream))
    with av.open(str(path), options={"fflags": "genpts"}) as container:
        stream = container.streams.video[0]
        ticks = [p.pts if p.pts is not None else p.dts for p in container.demux(stream) if p.size and p.is_keyframe]
        seconds = (np.array(ticks, dtype=np.float64) - first) * float(stream.time_base)
    return np.unique(np.clip(seconds, 0.0, times[-1]))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.file)
def test_a_keyframe_time_is_the_last_one_before(recipe: Asset, numbered: Numbered) -> None:
    path = numbered(recipe.file)
    times, numbers = decode_all(path)
    truth = keyframe_times(path, times)
    asked = np.sort(np.random.default_rng(0).uniform(0, times[-1], 40))
    expected = truth[np.maximum(0, np.searchsorted(truth, asked + 1e-6, side="right") - 1)]

    with VideoReader(path, cache=FrameCache(0)) as reader:
        found = reader.keyframe_times(asked)
        batch = reader.frames_at(found, size=(80, 48))

    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(batch.timestamps_seconds, found, atol=1e-9)
    shown = np.searchsorted(times, found + 1e-6, side="right") - 1
    assert [read_number(frame) for frame in batch.frames] == [numbers[i] for i in shown]


def test_an_overview_of_keyframes_decodes_nothing_else(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed
    reader = VideoReader(numbered("bframes.mp4"), cache=FrameCache(0))  # a keyframe every 48
    monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
    times = reader.keyframe_times(np.arange(8) * 10 / 8)
    reader.frames_at(times)

    assert len(set(times)) == 7
    assert sum(packet is not None for packet in fed) == 7


def test_times_must_be_numbers(numbered: Numbered) -> None:
    with VideoReader(numbered("cfr.mp4")) as reader:
        assert reader.keyframe_times([]).shape == (0,)
        assert reader.keyframe_times([-5.0, 1e9]).tolist() == [0.0, 9.0]
        with pytest.raises(ConfigError, match="one dimension"):
            reader.keyframe_times([float("nan")])
