from __future__ import annotations

import threading

import numpy as np
import pytest

from vz_env.errors import ConfigError
from vz_env.video.cache import FrameCache, frame_cache


def picture(size: int = 100) -> np.ndarray:
    return np.zeros((1, size, 1), dtype=np.uint8)


def test_bytes_are_bounded_and_the_least_recent_goes_first() -> None:
    cache = FrameCache(300)
    for name in "abc":
        cache.put(name, picture())
    assert cache.get("a") is not None
    cache.put("d", picture())

    assert cache.get("b") is None
    assert all(cache.get(name) is not None for name in "acd")
    assert cache.metrics.bytes == 300
    assert cache.metrics.evictions == 1


def test_too_large_is_not_kept() -> None:
    cache = FrameCache(50)
    cache.put("a", picture())
    assert cache.get("a") is None
    assert cache.metrics.bytes == 0


def test_replacing_counts_bytes_once() -> None:
    cache = FrameCache(1000)
    cache.put("a", picture(100))
    cache.put("a", picture(40))
    assert cache.metrics.bytes == 40
    assert cache.metrics.frames == 1


def test_pictures_are_shared_and_read_only() -> None:
    cache = FrameCache()
    kept = picture()
    cache.put("a", kept)
    assert cache.get("a") is kept
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0, 0] = 1


def test_metrics_and_clear() -> None:
    cache = FrameCache()
    assert cache.metrics.hit_rate == 0
    cache.put("a", picture())
    cache.get("a")
    cache.get("b")
    assert cache.metrics.hit_rate == 0.5
    cache.clear()
    assert cache.metrics.frames == 0
    assert "0 frames" in repr(cache)
    assert frame_cache() is frame_cache()


def test_negative_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_bytes"):
        FrameCache(-1)


def test_threads_keep_the_count_straight() -> None:
    cache = FrameCache(5000)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(500):
            key = int(rng.integers(100))
            if cache.get(key) is None:
                cache.put(key, picture(int(rng.integers(1, 200))))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.metrics.bytes == sum(frame.nbytes for frame in cache._frames.values()) <= 5000
