from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_assets import decode_all, read_number

from vz_env.errors import ConfigError
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
IS_INSTALLED = importlib.util.find_spec("torchcodec") is not None


@pytest.mark.skipif(not IS_INSTALLED, reason="torchcodec is not installed")
@pytest.mark.parametrize(
    "file", ["bframes.mp4", "ntsc.mp4", "cut.mp4", "variable.mp4", "variable.mkv", "cfr.ts", "variable.ts", "vp9.webm"]
)
def test_the_frames_are_those_of_the_rule(file: str, numbered: Numbered) -> None:
    path = numbered(file)
    times, numbers = decode_all(path)
    asked = np.random.default_rng(0).uniform(0, times[-1], 40)
    expected = np.searchsorted(times, asked + 1e-6, side="right") - 1
    with VideoReader(path, backend="torchcodec", cache=FrameCache(0)) as reader:
        batch = reader.frames_at(asked, size=(80, 48))
    assert [read_number(frame) for frame in batch.frames] == [numbers[i] for i in expected]
    np.testing.assert_allclose(batch.timestamps_seconds, times[expected], atol=1e-9)


@pytest.mark.skipif(IS_INSTALLED, reason="torchcodec is installed")
def test_without_torchcodec_there_is_one_clear_message(numbered: Numbered) -> None:
    with pytest.raises(ConfigError, match="wants torchcodec"):
        VideoReader(numbered("cfr.mp4"), backend="torchcodec")


def test_a_backend_has_to_be_known(numbered: Numbered) -> None:
    with pytest.raises(ConfigError, match="backend must be one of pyav, torchcodec"):
        VideoReader(numbered("cfr.mp4"), backend="decord")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="for files one does not trust"):
        VideoReader(numbered("cfr.mp4"), backend="torchcodec", isolation="process")
