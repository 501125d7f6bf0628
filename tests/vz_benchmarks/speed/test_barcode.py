"""The number on every frame of a test video: painted, read back, and doubted where an encoder smeared it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vz_benchmarks.speed.barcode import read_back, stamp

WIDTH, HEIGHT = 640, 360


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Numbers 0, 5 and 1000003; a frame whose last block is half light; one whose last block is half painted over."""
    path = tmp_path / "numbers.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for position, number in enumerate([0, 5, 1_000_003, 5, 5]):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT * 3 // 2, WIDTH), 90, np.uint8), format="yuv420p")
            stamp(frame, number)
            plane = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(HEIGHT, -1)
            if position == 3:
                plane[:16, WIDTH - 32 : WIDTH] = 120
            if position == 4:
                plane[:16, WIDTH - 16 : WIDTH] = 16
            frame.pts, frame.time_base = position, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_numbers_are_read_back_and_doubtful_ones_are_none(video: Path) -> None:
    assert read_back(video) == [0, 5, 1_000_003, None, None]
