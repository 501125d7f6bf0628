"""The videos that decoders are timed on: long, of ordinary coding, and every frame carries its own number.

The number is a barcode of twenty grey blocks in a strip at the top, which survives the resize: so a frame that a
library hands out says which one it is, and wrong ones are counted. A part is encoded in pieces of some seconds and
repeated by copying their packets; a piece, or a file, that is there is not made again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Protocol

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vz_env.video.access import create_video, open_video, video_stream

from .barcode import stamp
from .scenes import FPS, looped_frames, pattern_frames

__all__ = ["FOOTAGE", "QUICK_FOOTAGE", "Footage", "make_footage"]

PIECE_SECONDS: Final = 40
"""So much is encoded at a time, from one keyframe on: what a run that is killed loses. All patterns are seen once."""
SECONDS_OF_A_PIECE: Final = 60.0
"""What encoding one is supposed to take before one was encoded."""

_X264: Final = {"preset": "veryfast", "crf": "26", "x264-params": "keyint=250:bframes=3:scenecut=40"}
_X265: Final = {"preset": "ultrafast", "crf": "27", "x265-params": "keyint=250:bframes=3:log-level=none"}
_VP9: Final = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "tile-columns": "1", "g": "240"}
_AV1: Final = {"preset": "12", "crf": "38", "g": "240", "svtav1-params": "lp=2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """One video: a part of `part_seconds`, `repeats` times.

    With `smears`, the encoder does not always write what was painted: the numbers are read back from the file.
    """

    name: str
    file: str
    title: str
    size: tuple[int, int]
    part_seconds: int
    repeats: int = 1
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: dict(_X264))
    bit_rate: int = 0
    smears: bool = False

    @property
    def seconds(self) -> int:
        """Length of the whole."""
        return self.part_seconds * self.repeats


FOOTAGE: Final = (
    Footage(name="long", file="long720.mp4", title="60 min 720p H.264", size=(1280, 720), part_seconds=600, repeats=6),
    Footage(name="1080p", file="h1080.mp4", title="10 min 1080p H.264", size=(1920, 1080), part_seconds=150, repeats=4),
    Footage(
        name="hevc",
        file="hevc720.mp4",
        title="10 min 720p HEVC",
        size=(1280, 720),
        part_seconds=150,
        repeats=4,
        codec="libx265",
        options=_X265,
    ),
    Footage(
        name="medium",
        file="medium720.mp4",
        title="2 min 720p H.264, x264 medium",
        size=(1280, 720),
        part_seconds=120,
        options={"preset": "medium", "crf": "24"},
    ),
    Footage(
        name="vp9",
        file="vp9_360.webm",
        title="10 min 360p VP9",
        size=(640, 360),
        part_seconds=600,
        codec="libvpx-vp9",
        options=_VP9,
        bit_rate=700_000,
    ),
    Footage(
        name="av1",
        file="av1_360.mp4",
        title="2 min 360p AV1",
        size=(640, 360),
        part_seconds=120,
        codec="libsvtav1",
        options=_AV1,
        smears=True,
    ),
)
"""The files that the targets are about."""

QUICK_FOOTAGE: Final = (
    Footage(name="h264", file="q_h264.mp4", title="5 min 360p H.264", size=(640, 360), part_seconds=12, repeats=25),
    Footage(
        name="hevc",
        file="q_hevc.mp4",
        title="5 min 360p HEVC",
        size=(640, 360),
        part_seconds=9,
        repeats=33,
        codec="libx265",
        options=_X265,
    ),
)
"""Small ones, made in seconds, for a look at the ratios."""


class _Box(Protocol):
    def fits(self, seconds: float) -> bool: ...


def make_footage(
    footage: Footage,
    folder: Path,
    *,
    film: Path | None = None,
    say: Callable[[str], None] = lambda words: None,
    box: _Box | None = None,
) -> Path | None:
    """Encode a video, unless it is there.

    Args:
        footage: what to make.
        folder: where to; also holds the pieces it is put together from.
        film: a real film to take the pictures from; moving test patterns with noise without one.
        say: told what is being made.
        box: asked before every piece whether there is time for it; there always is without.

    Returns:
        The file, or None when the time was over before it was there.
    """
    path = folder / footage.file
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[tuple[Path, int]] = []
    longest = SECONDS_OF_A_PIECE
    for start in range(0, footage.part_seconds, PIECE_SECONDS):
        seconds = min(PIECE_SECONDS, footage.part_seconds - start)
        piece = folder / "pieces" / f"{path.stem}-{start}-{seconds}{path.suffix}"
        pieces.append((piece, seconds * FPS))
        if piece.exists():
            continue
        if box is not None and not box.fits(longest):
            return None
        say(f"encoding {path.name}: {start} to {start + seconds} of {footage.part_seconds} s")
        piece.parent.mkdir(exist_ok=True)
        begun = time.monotonic()
        _encode(footage, piece, film, start * FPS, seconds * FPS)
        longest = time.monotonic() - begun
    if box is not None and not box.fits(SECONDS_OF_A_PIECE / 4):
        return None
    _join(pieces * footage.repeats, path)
    return path


def _encode(footage: Footage, path: Path, film: Path | None, start: int, count: int) -> None:
    """Encode one piece; frame k of the part carries the number k."""
    width, height = footage.size
    with create_video(path) as container:
        stream = container.add_stream(footage.codec, rate=FPS, options=dict(footage.options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if footage.bit_rate:
            stream.bit_rate = footage.bit_rate
        if footage.codec == "libx265":
            stream.codec_context.codec_tag = "hvc1"
        for number, frame in enumerate(itertools.islice(_pictures(footage, film, start), count)):
            stamp(frame, start + number)
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, FPS), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(footage: Footage, film: Path | None, start: int) -> Iterator[VideoFrame]:
    """Yield frames of the right size for ever, a film or the patterns over and over, from frame `start` on."""
    scale = VideoReformatter()
    # A piece of patterns begins where they do.
    frames = pattern_frames(footage.size) if film is None else looped_frames(film, start)
    for frame in frames:
        yield scale.reformat(frame, *footage.size, format="yuv420p", interpolation="BICUBIC", threads=1)


def _join(pieces: list[tuple[Path, int]], path: Path) -> None:
    """Write pieces, of so many frames each, after each other by copying their packets."""
    with create_video(path, options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream: Any = None
        frames = 0
        for piece, count in pieces:
            source, _ = open_video(piece)
            with closing(source):
                template = video_stream(source, str(piece))
                stream = stream if stream is not None else container.add_stream_from_template(template, opaque=True)
                shift = round(Fraction(frames, FPS) / (template.time_base or Fraction(1, FPS)))
                for packet in source.demux(template):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    container.mux(packet)
                frames += count
