"""The pictures that test videos are made of: clips of real footage and drawn ones, or patterns where there is no clip.

How much work a video is depends on its pictures: on how many of them an encoder makes B-frames that nobody refers to,
and on how much each holds. So the scenes are of a film, a street, a face, a zoom into a fractal and a test card, all
with the grain that a camera has.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from vz_env.video.access import create_video, open_video, video_stream

__all__ = ["FPS", "film_of_clips", "looped_frames", "pattern_frames"]

FPS: Final = 30
PATTERN_FRAMES: Final = 10 * FPS

Filters = Sequence[tuple[str, str]]

_GRAIN: Final = ("noise", "alls=6:allf=t")
_SIDEWAYS: Final = ("scale", "1694:720"), ("crop", "1280:720:(iw-ow)/2+150*sin(n/40):0")
_FILM_SCENES: Final[tuple[tuple[str, float, Filters], ...]] = (
    ("bigbuckbunny.mp4", 0.0, [("scale", "1280:720")]),
    ("bikes.mp4", 0.0, _SIDEWAYS),
    ("mandelbrot", 12.0, [("mandelbrot", f"s=1280x720:r={FPS}:start_scale=0.05:end_scale=0.0005:end_pts=500")]),
    ("bigbuckbunny.mp4", 0.0, [("hflip", ""), ("scale", "1600:900"), ("crop", "1280:720:n:n/2")]),
    ("carphone_pristine.mp4", 0.0, [("scale", "1280:-2"), ("crop", "1280:720")]),
    ("bikes.mp4", 0.0, [("hflip", ""), *_SIDEWAYS]),
    ("testsrc2", 5.0, [("testsrc2", f"s=1280x720:r={FPS}")]),
)
"""Clip, or where pictures are drawn how many seconds of them; and what is done to them."""


def film_of_clips(clips: Path, path: Path, say: Callable[[str], None] = lambda words: None) -> Path:
    """Put the clips together to a film of 720p, nearly lossless, unless it is there; returns its path.

    Args:
        clips: folder with `bigbuckbunny.mp4`, `bikes.mp4` and `carphone_pristine.mp4`.
        path: the film, an mkv.
        say: told what is being made.
    """
    if path.exists():
        return path
    say(f"putting clips together to {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with create_video(path) as container:
        options = {"preset": "ultrafast", "crf": "16", "g": "60"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, frame in enumerate(_film_frames(clips)):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, FPS), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _film_frames(clips: Path) -> Iterator[VideoFrame]:
    """Yield the frames of all scenes, one after the other."""
    for name, seconds, filters in _FILM_SCENES:
        if seconds:
            yield from itertools.islice(_drawn(filters), round(seconds * FPS))
        else:
            yield from _filtered(clips / name, [("fps", str(FPS)), *filters])


def _chain(graph: Graph, filters: Filters) -> list[Any]:
    """Add filters and a sink to a graph, linked one after the other."""
    chain = [graph.add(name, arguments) for name, arguments in [*filters, ("setsar", "1"), _GRAIN]]
    chain += [graph.add("format", "yuv420p"), graph.add("buffersink")]
    for earlier, later in itertools.pairwise(chain):
        earlier.link_to(later)
    return chain


def _drawn(filters: Filters) -> Iterator[VideoFrame]:
    """Yield what a chain of filters draws, without end."""
    graph = Graph()
    _chain(graph, filters)
    graph.configure()
    while True:
        yield graph.vpull()


def _filtered(clip: Path, filters: Filters) -> Iterator[VideoFrame]:
    """Yield the frames of a clip as filters make them."""
    container, _ = open_video(clip)
    with closing(container):
        stream = video_stream(container, str(clip))
        graph = Graph()
        source = graph.add_buffer(template=stream)
        source.link_to(_chain(graph, filters)[0])
        graph.configure()
        for frame in itertools.chain(container.decode(stream), [None]):
            graph.vpush(frame)
            yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    """Yield what comes out of a graph by now."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def looped_frames(film: Path, start: int) -> Iterator[VideoFrame]:
    """Yield the frames of a film over and over, from frame `start` of all that on."""
    container, _ = open_video(film)
    with closing(container):
        length = sum(packet.size > 0 for packet in container.demux(video_stream(container, str(film))))
    again = itertools.chain.from_iterable(_frames_of(film) for _ in itertools.count())
    return itertools.islice(again, start % length, None)


def _frames_of(film: Path) -> Iterator[VideoFrame]:
    """Yield the frames of a film."""
    container, _ = open_video(film)
    with closing(container):
        stream = video_stream(container, str(film))
        stream.thread_type = "AUTO"
        yield from container.decode(stream)


def pattern_frames(size: tuple[int, int]) -> Iterator[VideoFrame]:
    """Yield ten-second scenes of moving patterns over and over."""
    width, height = size
    sources = (
        ("testsrc2", f"s={width}x{height}:r={FPS}"),
        ("mandelbrot", f"s={width}x{height}:r={FPS}:start_scale=0.05:end_scale=0.0005:end_pts=500"),
        ("gradients", f"s={width}x{height}:r={FPS}:n=6:speed=0.05:seed=3"),
        ("life", f"s={width // 8}x{height // 8}:r={FPS}:mold=10:ratio=0.1:death_color=#404080:life_color=white:seed=5"),
    )
    for source in itertools.cycle(sources):
        yield from itertools.islice(_drawn([source, ("scale", f"{width}:{height}")]), PATTERN_FRAMES)
