from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_assets import read_number

from vz_env.errors import VideoDecodeError, VideoError, VideoTimeout
from vz_env.video.cache import FrameCache
from vz_env.video.crew import POOL_NAME
from vz_env.video.decode import PictureDecoder
from vz_env.video.gather import Found, Gathering
from vz_env.video.limits import Deadline
from vz_env.video.reader import VideoReader

Numbered = Callable[[str], Path]
PICTURE = np.zeros((2, 2, 3), np.uint8)


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """Run calls side by side; what they return or raise, in order."""
    results: list[object] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(position: int) -> None:
        barrier.wait()
        try:
            results[position] = calls[position]()
        except VideoError as error:
            results[position] = error

    threads = [threading.Thread(target=run, args=(position,)) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@pytest.mark.parametrize("file", ["bframes.mp4", "long_gop.ts", "hevc.mp4"])
def test_sixteen_overlapping_zooms_cost_one_pass_over_their_union(
    file: str, numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[object] = []
    feed = PictureDecoder.feed
    monkeypatch.setattr(PictureDecoder, "feed", lambda self, packet: fed.append(packet) or feed(self, packet))
    zooms = [np.arange(8) / 8 + 1.0 + shift / 16 for shift in range(16)]
    with VideoReader(numbered(file), cache=FrameCache(0)) as reader:
        fed.clear()
        reader.frames_at(np.unique(np.concatenate(zooms)), size=(80, 48))
        union = len(fed)
    costs = []
    while not costs or (min(costs) > 1.1 * union and len(costs) < 5):  # a busy machine may tear one moment apart
        with VideoReader(numbered(file), cache=FrameCache()) as reader:
            fed.clear()
            batches = at_once([lambda zoom=zoom: reader.frames_at(zoom, size=(80, 48)) for zoom in zooms])
            costs.append(len(fed))
        for zoom, batch in zip(zooms, batches, strict=True):
            assert [read_number(frame) for frame in batch.frames] == [int(t * 30 + 1e-6) for t in zoom]

    assert min(costs) <= 1.1 * union


def test_one_request_s_trouble_is_not_the_others() -> None:
    turn = threading.Lock()
    gathering = Gathering(turn, max_ticks=100)

    def decode(ticks: set[int], size: tuple[int, int], deadline: Deadline) -> Found:
        if 13 in ticks:
            raise VideoDecodeError("13 is damaged")
        return {tick: (tick, PICTURE) for tick in ticks}

    results = at_once([lambda n=n: gathering.ask(decode, {n}, (2, 2), Deadline(20, "a")) for n in range(10, 17)])
    assert [n for n, result in zip(range(10, 17), results, strict=True) if isinstance(result, VideoDecodeError)] == [13]
    assert all(set(result) == {n} for n, result in zip(range(10, 17), results, strict=True) if n != 13)


def test_one_pass_is_bounded_and_of_one_size() -> None:
    passes: list[tuple[set[int], tuple[int, int]]] = []

    def decode(ticks: set[int], size: tuple[int, int], deadline: Deadline) -> Found:
        passes.append((ticks, size))
        time.sleep(0.05)
        return {tick: (tick, PICTURE) for tick in ticks}

    gathering = Gathering(threading.Lock(), max_ticks=4)
    at_once([lambda n=n: gathering.ask(decode, {n}, (2, 2 + n % 2), Deadline(20, "a")) for n in range(12)])
    assert all(len(ticks) <= 4 and {2 + n % 2 for n in ticks} == {size[1]} for ticks, size in passes)
    assert sorted(n for ticks, _ in passes for n in ticks) == list(range(12))


def test_a_waiter_gives_up_at_its_deadline() -> None:
    turn = threading.Lock()
    gathering = Gathering(turn, max_ticks=4)
    with turn, pytest.raises(VideoTimeout, match="waiting for another call"):
        gathering.ask(lambda *args: {}, {1}, (2, 2), Deadline(0.05, "a.mp4"))
    assert gathering.ask(lambda ticks, *rest: {t: (t, PICTURE) for t in ticks}, {2}, (2, 2), Deadline(1, "a"))


def test_a_caller_alone_does_not_wait_for_the_reader_s_own_threads(
    numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    glances: list[float] = []
    with VideoReader(numbered("bframes.mp4"), workers=2, cache=FrameCache(0)) as reader:
        reader.frames_at([1.0, 4.0])  # the threads that decode are up
        decoding = [thread for thread in threading.enumerate() if thread.name.startswith(POOL_NAME)]
        assert decoding
        monkeypatch.setattr(Gathering, "_let_others_come", lambda self: glances.append(0.0))
        for others, expected in (([], 0), ([threading.Thread(name="a rollout")], 1)):
            running = [threading.current_thread(), *decoding, *others]
            monkeypatch.setattr(threading, "enumerate", lambda running=running: running)
            reader.frames_at([2.0])
            assert len(glances) == expected
