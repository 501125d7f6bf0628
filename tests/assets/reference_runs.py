"""Small streams whose pictures refer to several others, and whether what is chosen of them decodes to the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vz_env.video.decode import another_context
from vz_env.video.references import ReferenceFinder, find_references
from vz_env.video.references.bits import UnknownSyntax

__all__ = ["FRAMES", "check_choices", "check_spoilt", "decoded", "encode"]

WIDTH, HEIGHT, FRAMES = 96, 64, 60


def _pictures() -> list[np.ndarray]:
    """A texture that moves, fades and now and then turns over: something to predict from several pictures."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (30, 30, 3)), np.ones((8, 8, 1)))
    made = []
    for n in range(FRAMES):
        x, y = int(50 + 40 * np.sin(n / 9)), int(50 + 40 * np.cos(n / 7))
        picture = texture[y : y + HEIGHT, x : x + WIDTH] * (0.4 + 0.6 * abs(np.sin(n / 20)))
        if n % 24 >= 18:
            picture[20:40, n % 24 : n % 24 + 30] = 255 - picture[20:40, n % 24 : n % 24 + 30]
        made.append((picture + rng.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8))
    return made


_PICTURES = _pictures()


def encode(path: Path, codec: str, options: Mapping[str, str], pixel_format: str = "yuv420p") -> Path:
    """Write the pictures, 30 a second, a keyframe every 32."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.codec_context.gop_size, stream.codec_context.thread_count = 32, 1
        stream.options = dict(options)
        for number, picture in enumerate(_PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(stream: Any, packets: list[Any]) -> dict[int, str]:
    """A hash of each picture as it comes out of a fresh decoder, before any conversion."""
    context = another_context(stream)
    found = {}
    for packet in [*packets, None]:
        for frame in context.decode(packet):
            assert not frame.is_corrupt
            found[frame.pts] = hashlib.sha256(
                b"".join(map(_visible, frame.planes, frame.format.components))
            ).hexdigest()
    return found


def _visible(plane: Any, component: Any) -> bytes:
    """A plane without what pads its lines, which nobody writes."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width * (component.bits + 7 >> 3)].tobytes()


def check_choices(path: Path, *, tries: int = 25, has_hidden: bool = False) -> float:
    """Choose for random pictures of random runs, and hold what comes out against the whole stream's.

    Args:
        path: the stream.
        tries: how many runs.
        has_hidden: not every packet that is decoded presents a picture (AV1).

    Returns:
        The share of packets that were chosen.
    """
    rng = np.random.default_rng(1)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size and p.pts is not None]
        finder = find_references(stream)
        assert finder is not None
        whole = decoded(stream, packets)
        assert len(whole) == FRAMES
        begin = {0: packets[0].pts} | {i: p.pts for i, p in enumerate(packets) if p.is_keyframe}
        count = of = 0
        for _ in range(tries):
            start = int(rng.choice(list(begin)))
            end = min([i for i in begin if i > start], default=len(packets))
            run = packets[start : min(end, start + int(rng.integers(2, 40)))]
            # Pictures before their keyframe cannot be wanted of a run that begins with it.
            wanted = {run[i].pts for i in rng.integers(0, len(run), 2) if run[i].pts >= begin[start]}
            if not wanted:
                continue
            run = run[: max(i for i, packet in enumerate(run) if packet.pts in wanted) + 1]
            chosen = finder.choose(run, wanted)
            assert chosen is not None
            found = decoded(stream, chosen)
            assert wanted <= found.keys()
            assert found.items() <= whole.items()  # nothing that was missing was made up
            assert has_hidden or len(found) == len(chosen)
            count, of = count + len(chosen), of + len(run)
    return count / of


def check_spoilt(finder_of: Callable[[bytes], ReferenceFinder], path: Path) -> None:
    """Flip bits of a stream's header and packets: they are not understood, or chosen from, and nothing is raised."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        header = stream.codec_context.extradata
        packets = [p for p in container.demux(stream) if p.size][:12]
    outcomes = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        try:
            finder = finder_of(_flipped(header, rng, int(rng.integers(0, 3)) * (seed % 3 == 0)))
        except (UnknownSyntax, IndexError):
            outcomes.add("header")
            continue
        spoilt = [_spoilt(packet, rng, int(rng.integers(0, 2)) * (seed % 3)) for packet in packets]
        chosen = finder.choose(spoilt, {packets[-1].pts})
        outcomes.add("nothing" if chosen is None else "some")
        assert chosen is None or len(chosen) <= len(packets)
    assert outcomes == {"header", "nothing", "some"}


def _flipped(content: bytes, rng: np.random.Generator, count: int) -> bytes:
    """Content with some bits of its beginning flipped."""
    spoilt = bytearray(content)
    for _ in range(count):
        spoilt[int(rng.integers(min(60, len(spoilt))))] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


def _spoilt(packet: Any, rng: np.random.Generator, count: int) -> Any:
    """A packet with some bits of its beginning flipped."""
    copy = av.Packet(_flipped(bytes(packet), rng, count))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    return copy
