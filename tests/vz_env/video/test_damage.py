from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_assets import decode_all, read_number

from vz_env.errors import VideoDecodeError, VideoError
from vz_env.video.cache import FrameCache
from vz_env.video.limits import DecodeLimits
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
SECONDS = 5.0
FLIPPED_FILES = 400 if os.environ.get("VZ_LONG_TESTS") else 60


@pytest.mark.parametrize("file", ["faststart.mp4", "fragmented.mp4", "cfr.mkv", "cfr.ts", "mpeg4.avi", "hevc.ts"])
@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.75, 0.9, 0.97, 0.999])
def test_truncated_files_give_true_frames_or_a_typed_error(
    file: str, share: float, numbered: Numbered, tmp_path: Path
) -> None:
    whole = numbered(file)
    times, numbers = decode_all(whole)
    content = whole.read_bytes()
    path = tmp_path / file
    path.write_bytes(content[: int(len(content) * share)])
    try:
        reader = VideoReader(path, cache=FrameCache(0))
    except VideoDecodeError:
        return
    with reader:
        asked = np.linspace(0, reader.info.duration_seconds - 1e-5, 30)
        batch = reader.frames_at(asked)

    expected = np.searchsorted(times, asked + 1e-6, side="right") - 1
    assert [read_number(frame) for frame in batch.frames] == [numbers[i] for i in expected]
    assert reader.info.duration_seconds <= times[-1] + 0.04


@pytest.mark.parametrize("file", ["faststart.mp4", "cfr.mkv", "cfr.ts", "mpeg4.avi"])
def test_truncated_files_are_flagged_and_their_timeline_is_cut(file: str, numbered: Numbered, tmp_path: Path) -> None:
    content = numbered(file).read_bytes()
    path = tmp_path / file
    path.write_bytes(content[: len(content) * 3 // 4 + 1])
    with VideoReader(path) as reader, VideoReader(numbered(file)) as whole:
        assert reader.info.is_truncated
        assert not whole.info.is_truncated
        assert 0.4 * whole.info.duration_seconds < reader.info.duration_seconds < 0.9 * whole.info.duration_seconds


@pytest.mark.parametrize("seed", range(FLIPPED_FILES))
def test_flipped_bits_raise_nothing_but_our_errors(seed: int, numbered: Numbered, tmp_path: Path) -> None:
    files = ("bframes.mp4", "cfr.mkv", "cfr.ts", "mpeg4.avi", "vp9.webm", "hevc.mp4", "fragmented.mp4", "av1.mp4")
    source = numbered(files[seed % len(files)])
    rng = np.random.default_rng(seed)
    content = bytearray(source.read_bytes())
    for _ in range(int(rng.integers(1, 12))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path = tmp_path / source.name
    path.write_bytes(content)

    start = time.monotonic()
    try:
        with VideoReader(path, cache=FrameCache(0), limits=DecodeLimits(timeout_seconds=SECONDS)) as reader:
            batch = reader.frames_at(np.linspace(0, reader.info.duration_seconds, 20))
    except VideoError:
        pass
    else:
        assert len(batch) == 20
        assert np.isfinite(batch.timestamps_seconds).all()
    assert time.monotonic() - start < 2 * SECONDS + 1


def test_a_damaged_group_names_its_time_and_the_others_are_read(numbered: Numbered, tmp_path: Path) -> None:
    import av

    source = numbered("bframes.mp4")
    with av.open(str(source)) as container:
        packets = [p for p in container.demux(video=0) if p.pos is not None and p.pos >= 0]
        tick = next(p for p in packets if p.is_keyframe and p.pts * p.time_base > 3)
        at, size, seconds = tick.pos, tick.size, float(tick.pts * tick.time_base)
    content = bytearray(source.read_bytes())
    content[at + 8 : at + size] = b"\x55" * (size - 8)
    path = tmp_path / "hurt.mp4"
    path.write_bytes(content)

    with VideoReader(path, cache=FrameCache(0)) as reader:
        assert [read_number(f) for f in reader.frames_at([0.5, 9.9]).frames] == [15, 297]
        with pytest.raises(VideoDecodeError, match=rf"the picture at {seconds + 0.1:.1f}\d* s cannot be decoded"):
            reader.frames_at([0.5, seconds + 0.1])
        assert read_number(reader.frames_at([0.5]).frames[0]) == 15
