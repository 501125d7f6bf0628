"""Colours: what is tagged is believed, and pictures of a high dynamic range are shown as a screen would show them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from vz_env.video import scaling
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

WIDTH, HEIGHT = 192, 64


def write(path: Path, planes: list[np.ndarray], pixel_format: str, codec: str, options: dict[str, str]) -> Path:
    """A film of three equal frames, given as its planes."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, pixel_format, options
        for number in range(3):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.frombuffer(memoryview(plane), values.dtype).reshape(plane.height, -1)
                rows[:, : plane.width] = values
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first_row(path: Path) -> np.ndarray:
    with VideoReader(path, cache=FrameCache(0)) as reader:
        row: np.ndarray = reader.frames_at([0.1]).frames[0, HEIGHT // 2].astype(int)
    return row


def perceptual_quantiser(nits: float) -> float:
    """SMPTE ST 2084: the code, from 0 to 1, of a luminance in cd/m2."""
    power = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def test_a_film_of_a_high_dynamic_range_does_not_look_grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nits = [0, 5, 50, 100, 203, 1000]
    luma = np.repeat([round(64 + 876 * perceptual_quantiser(n)) for n in nits], WIDTH // len(nits)).astype("<u2")
    grey = np.full(WIDTH // 2, 512, "<u2")
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"
    options = {"preset": "ultrafast", "x265-params": f"log-level=none:pools=none:frame-threads=1:lossless=1:{tags}"}
    path = write(tmp_path / "hdr.mp4", [luma, grey, grey], "yuv420p10le", "libx265", options)
    shown = first_row(path)[16::32]
    assert (np.ptp(shown, axis=1) <= 2).all()  # grey stays grey
    levels = shown.mean(axis=1)
    assert levels[0] <= 1
    assert (np.diff(levels[:5]) > 15).all()
    assert levels[4] >= 250  # diffuse white is white; as the codes stand it would be 148
    assert levels[5] == 255
    assert 110 < levels[2] < 160  # a quarter of white's light is a middle grey

    # The table of this conversion takes seconds to make: another reader of another file shares it.
    made: list[object] = []
    monkeypatch.setattr(scaling, "VideoReformatter", lambda: made.append(1) or VideoReformatter())
    np.testing.assert_array_equal(first_row(path.rename(tmp_path / "other.mp4"))[16::32], shown)
    assert len(made) == 1  # the one for usual colours


@pytest.mark.parametrize(
    ("matrix", "red"), [("bt709", (63, 102, 240)), ("smpte170m", (81, 90, 240))], ids=["BT.709", "BT.601"]
)
def test_the_tagged_matrix_is_used(matrix: str, red: tuple[int, int, int], tmp_path: Path) -> None:
    planes = [np.full(WIDTH if i == 0 else WIDTH // 2, value, np.uint8) for i, value in enumerate(red)]
    options = {"preset": "ultrafast", "qp": "0", "x264-params": f"colormatrix={matrix}"}
    shown = first_row(write(tmp_path / "red.mp4", planes, "yuv420p", "libx264", options))[::16]
    assert (abs(shown - [255, 0, 0]) <= 4).all(), shown[0]


def test_full_range_is_not_stretched(tmp_path: Path) -> None:
    luma = np.repeat(np.array([0, 16, 128, 235, 255, 255], np.uint8), WIDTH // 6)
    grey = np.full(WIDTH // 2, 128, np.uint8)
    path = write(tmp_path / "full.mkv", [luma, grey, grey], "yuvj420p", "mjpeg", {"qmin": "1", "qmax": "1"})
    np.testing.assert_allclose(first_row(path)[16::32].mean(axis=1), [0, 16, 128, 235, 255, 255], atol=3)


@pytest.mark.parametrize(("tag", "red", "blue"), [("bt709", 0.2126, 0.0722), ("smpte170m", 0.299, 0.114)])
@pytest.mark.parametrize("coded", [(16, 128, 128), (120, 90, 170), (180, 150, 100), (235, 128, 128)])
def test_a_shrunk_picture_has_the_colours_of_its_matrix(
    coded: tuple[int, int, int], tag: str, red: float, blue: float, tmp_path: Path
) -> None:
    shapes = [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)]
    planes = [np.full(shape, value, np.uint8) for value, shape in zip(coded, shapes, strict=True)]
    options = {"preset": "ultrafast", "qp": "0", "colorspace": tag, "color_range": "tv"}
    path = write(tmp_path / "flat.mp4", planes, "yuv420p", "libx264", options)
    with VideoReader(path, cache=FrameCache(0)) as reader:
        shown = reader.frames_at([0.1], size=(WIDTH * 2 // 3, HEIGHT * 2 // 3)).frames

    luma, to_blue, to_red = (coded[0] - 16) / 219, (coded[1] - 128) / 112, (coded[2] - 128) / 112
    r, b = luma + (1 - red) * to_red, luma + (1 - blue) * to_blue
    g = (luma - red * r - blue * b) / (1 - red - blue)
    assert np.abs(shown - np.clip(np.array([r, g, b]) * 255, 0, 255)).max() <= 1  # three levels off, interleaved
