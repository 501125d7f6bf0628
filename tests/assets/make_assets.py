"""Tiny videos whose every frame carries its own number as a bit pattern, so that a decoded frame says which it is.

Written with PyAV, from nothing: no video is checked in. `read_number` reads the pattern back from a frame of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 96
COLUMNS, ROWS = 4, 3  # twelve bits: up to 4096 frames


def numbered_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Paint a number: one block a bit, dark for 0 and light for 1; uint8 (height, width, 3)."""
    bits = (number >> np.arange(COLUMNS * ROWS)) & 1
    blocks = np.where(bits.reshape(ROWS, COLUMNS), 215, 40).astype(np.uint8)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    return np.repeat(blocks[rows][:, columns, None], 3, axis=2)


def read_number(frame: NDArray[np.uint8]) -> int:
    """Read the number back from a frame of any size."""
    height, width = frame.shape[:2]
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        middle_y, middle_x = (2 * row + 1) * height // (2 * ROWS), (2 * column + 1) * width // (2 * COLUMNS)
        patch = frame[middle_y - 2 : middle_y + 3, middle_x - 2 : middle_x + 3]
        number |= int(patch.mean() > 128) << bit
    return number


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A recipe for one numbered video.

    `ticks` are the presentation times of frames 0, 1, 2... in units of `time_base`.
    """

    file: str
    ticks: Sequence[int]
    time_base: Fraction = Fraction(1, 30)
    codec: str = "libx264"
    gop: int = 30
    options: Mapping[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "bf": "0"})
    container_options: Mapping[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (WIDTH, HEIGHT)
    prepare: Callable[[Any], None] | None = None
    with_audio: bool = False
    with_second: bool = False  # another moving picture, smaller, whose numbers are 1000 higher

    def write(self, folder: Path) -> Path:
        """Encode it, and return where it lies."""
        path = folder / self.file
        with av.open(str(path), "w", container_options=dict(self.container_options)) as container:
            stream = container.add_stream(self.codec, rate=round(1 / self.time_base))
            stream.width, stream.height = self.size
            stream.pix_fmt = self.pixel_format
            stream.codec_context.time_base = self.time_base
            stream.codec_context.gop_size = self.gop
            stream.codec_context.thread_count = 1
            stream.options = dict(self.options)
            if self.prepare is not None:
                self.prepare(stream)
            sound = container.add_stream("aac", rate=16000) if self.with_audio else None
            second = self._second_stream(container) if self.with_second else None
            for number, tick in enumerate(self.ticks):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number, *self.size), format="rgb24")
                frame.pts, frame.time_base = tick, self.time_base
                container.mux(stream.encode(frame))
                if second is not None:
                    other = av.VideoFrame.from_ndarray(numbered_picture(number + 1000, 80, 48), format="rgb24")
                    other.pts, other.time_base = tick, self.time_base
                    container.mux(second.encode(other))
            container.mux(stream.encode(None))
            if second is not None:
                container.mux(second.encode(None))
            if sound is not None:
                _write_sound(container, sound, float(self.ticks[-1] * self.time_base))
        return path

    def _second_stream(self, container: Any) -> Any:
        """Add a stream beside the one that counts."""
        stream = container.add_stream("libx264", rate=round(1 / self.time_base))
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "7"}
        return stream


def _write_sound(container: Any, stream: Any, seconds: float) -> None:
    """Add a quiet hum of about the given length."""
    for start in range(0, int(seconds * 16000), 1024):
        wave = (np.sin(np.arange(start, start + 1024) / 20.0) * 3000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio_only(path: Path) -> Path:
    """Write a file that holds sound and no picture."""
    with av.open(str(path), "w") as container:
        _write_sound(container, container.add_stream("aac", rate=16000), 2.0)
    return path


def decode_all(path: Path) -> tuple[NDArray[np.float64], list[int]]:
    """Decode a whole file from its start in one pass: the reference that random access is held against.

    Returns:
        The times of the frames in seconds from the first one, and the numbers they carry.
    """
    ticks, numbers = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            ticks.append(frame.pts)
            numbers.append(read_number(frame.to_ndarray(format="rgb24")))
        times = (np.array(ticks, dtype=np.float64) - ticks[0]) * float(stream.time_base)
    return times, numbers


def _steps(steps: Sequence[int], count: int, start: int = 0) -> list[int]:
    """Ticks that rise by the given steps, over and over."""
    ticks = [start]
    while len(ticks) < count:
        ticks.append(ticks[-1] + steps[len(ticks) % len(steps)])
    return ticks


_BFRAMES = {"preset": "veryfast", "bf": "3", "b-pyramid": "normal"}
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
_MILLI = Fraction(1, 1000)
_BROADCAST = Fraction(1, 90000)

ASSETS: tuple[Asset, ...] = (
    Asset(file="cfr.mp4", ticks=range(300)),
    Asset(file="bframes.mp4", ticks=range(300), options=_BFRAMES, gop=48),
    Asset(file="faststart.mp4", ticks=range(200), options=_BFRAMES, container_options={"movflags": "faststart"}),
    Asset(file="ntsc.mp4", ticks=range(300), time_base=Fraction(1001, 30000), options=_BFRAMES, gop=60),
    Asset(file="slow.mp4", ticks=range(60), time_base=Fraction(1, 2), gop=12),
    Asset(file="intra.mov", ticks=range(120), gop=1),
    Asset(file="one_keyframe.mp4", ticks=range(400), options=_BFRAMES, gop=100000),
    Asset(file="variable.mp4", ticks=_steps([10, 33, 800, 40, 5, 250], 300), time_base=_MILLI, options=_BFRAMES),
    Asset(file="cut.mp4", ticks=range(-20, 280), options={"preset": "veryfast", "bf": "2"}, gop=60),
    Asset(file="late.mp4", ticks=range(150, 400), options=_BFRAMES),
    Asset(file="fragmented.mp4", ticks=range(300), options=_BFRAMES, container_options=_FRAGMENTED),
    Asset(file="sound.mp4", ticks=range(200), options=_BFRAMES, with_audio=True),
    Asset(file="cfr.mkv", ticks=range(300), options=_BFRAMES, gop=48),
    Asset(file="late.mkv", ticks=range(150, 450), options=_BFRAMES),
    Asset(file="variable.mkv", ticks=_steps([41, 7, 503, 90], 300), time_base=_MILLI, options=_BFRAMES),
    Asset(file="cfr.ts", ticks=range(300), options=_BFRAMES, gop=48),
    Asset(file="long_gop.ts", ticks=range(400), options=_BFRAMES, gop=250),
    Asset(file="variable.ts", ticks=_steps([3000, 90000, 4500], 150), time_base=_BROADCAST, options=_BFRAMES),
    Asset(file="open_gop.mkv", ticks=range(300), options={**_BFRAMES, "x264-params": "open-gop=1"}, gop=24),
    Asset(file="open_gop.ts", ticks=range(300), options={**_BFRAMES, "x264-params": "open-gop=1"}, gop=24),
    Asset(
        file="hevc.mp4",
        ticks=range(120),
        codec="libx265",
        options={"preset": "ultrafast", "bf": "3", "x265-params": "log-level=none:pools=none:frame-threads=1"},
        gop=40,
    ),
    Asset(
        file="hevc.ts",
        ticks=range(120),
        codec="libx265",
        options={
            "preset": "ultrafast",
            "x265-params": "log-level=none:pools=none:frame-threads=1:open-gop=1:bframes=3",
        },
        gop=40,
    ),
    Asset(file="vp9.webm", ticks=range(120), codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    Asset(
        file="av1.mp4", ticks=range(60), codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}, gop=20
    ),
    Asset(file="mpeg4.avi", ticks=range(200), codec="mpeg4", options={}, gop=12),
    Asset(file="mpeg4_bframes.mp4", ticks=range(200), codec="mpeg4", options={"bf": "2"}, gop=12),
    Asset(file="mjpeg.avi", ticks=range(90), codec="mjpeg", options={}, pixel_format="yuvj420p"),
    Asset(
        file="images.mkv",
        ticks=_steps([500, 2000], 40),
        time_base=_MILLI,
        codec="mjpeg",
        options={},
        pixel_format="yuvj420p",
    ),
    Asset(file="two_streams.mkv", ticks=range(200), options=_BFRAMES, gop=48, with_second=True),
    Asset(file="two_streams.ts", ticks=range(200), options=_BFRAMES, gop=48, with_second=True, with_audio=True),
    Asset(
        file="early.mp4",
        ticks=range(-25, 200),
        options=_BFRAMES,
        container_options={"use_editlist": "0", "avoid_negative_ts": "disabled"},
    ),
    Asset(file="interlaced.ts", ticks=range(200), options={**_BFRAMES, "x264-params": "tff=1:interlaced=1"}, gop=48),
    Asset(file="pyramid.mp4", ticks=range(250), options={"preset": "medium", "bf": "8", "refs": "4"}, gop=120),
    Asset(
        file="ten_bits.mp4",
        ticks=range(120),
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=4"},
        pixel_format="yuv420p10le",
        gop=40,
    ),
    Asset(
        file="altref.webm",
        ticks=range(150),
        codec="libvpx-vp9",
        options={"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"},
        gop=60,
    ),
    Asset(
        file="av1.mkv",
        ticks=range(60),
        codec="libsvtav1",
        options={"preset": "12", "svtav1-params": "lp=1"},
        gop=20,
    ),
)
"""The numbered videos that the reader's truth tests go through."""


_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=3"}
_VPX = {"deadline": "realtime", "cpu-used": "8"}
_SVT = {"preset": "12", "svtav1-params": "lp=1"}

MORE_ASSETS: tuple[Asset, ...] = (
    Asset(file="bframes_mpeg4.avi", ticks=range(120), codec="mpeg4", options={"bf": "2"}, gop=12),
    Asset(file="plain.avi", ticks=range(120)),
    Asset(file="mjpeg.mov", ticks=range(60), codec="mjpeg", options={}, pixel_format="yuvj420p"),
    Asset(file="vp9.mp4", ticks=range(90), codec="libvpx-vp9", options=_VPX),
    Asset(file="vp9.mkv", ticks=_steps([40, 7, 300], 90), time_base=_MILLI, codec="libvpx-vp9", options=_VPX),
    Asset(file="vp8.webm", ticks=range(90), codec="libvpx", options=_VPX),
    Asset(file="ten_bits_av1.mp4", ticks=range(60), codec="libsvtav1", options=_SVT, pixel_format="yuv420p10le"),
    Asset(file="hevc.mkv", ticks=range(90), codec="libx265", options=_X265),
    Asset(file="hevc.mov", ticks=range(90), codec="libx265", options=_X265),
    Asset(
        file="variable_hevc.mp4",
        ticks=_steps([10, 33, 800, 40, 5], 90),
        time_base=_MILLI,
        codec="libx265",
        options=_X265,
    ),
    Asset(file="cut_hevc.mp4", ticks=range(-17, 90), codec="libx265", options=_X265, gop=40),
    Asset(file="fragmented_hevc.mp4", ticks=range(90), codec="libx265", options=_X265, container_options=_FRAGMENTED),
    Asset(file="one_keyframe_hevc.mp4", ticks=range(150), codec="libx265", options=_X265, gop=10_000),
    Asset(file="prores.mov", ticks=range(30), codec="prores_ks", options={}, pixel_format="yuv422p10le"),
    Asset(file="ffv1.mkv", ticks=range(60), codec="ffv1", options={}, gop=10),
    Asset(file="mpeg2.ts", ticks=range(120), codec="mpeg2video", options={"bf": "2"}, gop=12),
    Asset(file="mpeg4.mkv", ticks=range(120), codec="mpeg4", options={"bf": "2"}, gop=12),
    Asset(file="mpeg4.ts", ticks=range(120), codec="mpeg4", options={"bf": "2"}, gop=12),
    Asset(
        file="dash.mp4",
        ticks=range(200),
        options=_BFRAMES,
        gop=48,
        container_options={"movflags": "dash+global_sidx"},
    ),
    Asset(
        file="negative_offsets.mp4",
        ticks=range(200),
        options=_BFRAMES,
        container_options={"movflags": "negative_cts_offsets"},
    ),
    Asset(file="refresh.mp4", ticks=range(200), options={"preset": "veryfast", "x264-params": "intra-refresh=1"}),
    Asset(file="refresh.ts", ticks=range(200), options={"preset": "veryfast", "x264-params": "intra-refresh=1"}),
)
"""Rarer ones, for the long tests."""


def asset(file: str) -> Asset:
    """Return the recipe of that file name."""
    return next(recipe for recipe in (*ASSETS, *MORE_ASSETS) if recipe.file == file)


def hard_times(times: np.ndarray, seed: int = 0) -> np.ndarray:
    """At least 80 times where readers go wrong: random ones, on, just before and just after frames, and both ends."""
    rng = np.random.default_rng(seed)
    some = times[rng.integers(0, len(times), 16)]
    return np.concatenate(
        [
            rng.uniform(0, times[-1], 28),
            some,
            np.maximum(0, some - 1e-4),
            some + 1e-4,
            [0.0, times[-1], times[-1] + 1e-4, 1e9, -3.0],
        ]
    )


def on_at(times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The rule, spelled out: index of the last frame whose time is at or before each asked time."""
    return np.clip(np.searchsorted(times, asked + 1e-6, side="right") - 1, 0, len(times) - 1)
