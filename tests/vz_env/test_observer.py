"""Looking at a video: one decode for many episodes, and none at all when the words are known."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace

import numpy as np
import pytest

from vz_env import observer as observer_module
from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.episode import SubtitleFile
from vz_env.look import VideoClock
from vz_env.observer import Observer, forget_words
from vz_env.recent_cache import RecentCache
from vz_env.video.describe import describe_palette

pytestmark = pytest.mark.usefixtures("fresh_words")


def make_observer(**changes):
    plain = {"describe": "palette", "root": None, "max_pixels": 100_352, "frame_size": None, "with_frames": False}
    return Observer(**{**plain, **changes})


@pytest.fixture
def opened(monkeypatch):
    """Every video that was opened since the test began."""
    names = []
    real = observer_module.open_reader
    monkeypatch.setattr(observer_module, "open_reader", lambda path, root=None: names.append(path) or real(path, root))
    return names


def shape_of(frame, time, episode):
    return str(frame.shape)


def test_observer_with_a_callable_can_be_pickled(tiny_episode):
    again = pickle.loads(pickle.dumps(make_observer(describe=shape_of)))

    assert again.look(tiny_episode, np.array([1.0])).descriptions == ("(64, 96, 3)",)


def test_known_words_open_no_video(tiny, opened):
    env = VideoZoomEnv(tiny, with_frames=False)
    env.reset(options={"episode_id": "q0"})
    env.step(format_zoom((12, 14), 8))
    opened.clear()
    other = VideoZoomEnv(tiny, with_frames=False)
    other.reset(options={"episode_id": "q1"})
    observation = other.step(format_zoom((12, 14), 8))[0]

    assert opened == []
    assert "12.5s: purple 75%, red 25%" in observation["text"]


def test_partly_known_words_decode_only_the_rest(tiny_episode, opened, monkeypatch):
    observer = make_observer()
    observer.look(tiny_episode, np.array([1.0, 6.0]))
    asked = []
    real = Observer.frames
    monkeypatch.setattr(Observer, "frames", lambda self, e, times: asked.append(times.tolist()) or real(self, e, times))
    look = observer.look(tiny_episode, np.array([1.0, 6.0, 11.0, 1.0]))

    assert asked == [[11.0]]
    assert look.descriptions == ("new teal 100%", "new gold 100%", "new purple 100%", "new teal 100%")


def test_palette_marks_changes_within_a_look_whether_its_words_were_known_or_not(tiny_episode):
    times, expected = np.array([6.0, 1.0, 2.0, 6.0]), ("new gold 100%", "new teal 100%", "teal 100%", "new gold 100%")
    for with_frames in (True, False):
        observer = make_observer(with_frames=with_frames)
        assert observer.look(tiny_episode, times).descriptions == expected
        assert observer.look(tiny_episode, times[2:]).descriptions == ("new teal 100%", "new gold 100%")


def test_marks_do_not_begin_again_with_every_piece_of_a_long_look(tiny_episode):
    look = make_observer().look(tiny_episode, np.linspace(0, 4.9, 300))

    assert look.descriptions == ("new teal 100%", *["teal 100%"] * 299)


def test_a_describer_of_ones_own_is_not_marked(tiny_episode):
    look = make_observer(describe=describe_palette).look(tiny_episode, np.array([1.0, 6.0]))

    assert look.descriptions == ("teal 100%", "gold 100%")


@pytest.mark.parametrize("describe", ["none", "captions"])
def test_words_without_pixels_decode_nothing(tiny_episode, opened, tmp_path, describe):
    track = tmp_path / "a.srt"
    track.write_text("1\n00:00:05,000 --> 00:00:07,000\nA card\nis shown\n", encoding="utf-8")
    episode = replace(tiny_episode, subtitles=SubtitleFile(track, "srt"))
    look = make_observer(describe=describe).look(episode, np.array([1.0, 6.0]))

    assert opened == []
    assert look.descriptions == (("", "A card is shown") if describe == "captions" else ("", ""))


def test_words_are_forgotten_when_the_file_changes(tiny_episode, tiny_video, tmp_path, opened):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(tiny_video.read_bytes())
    episode, observer = replace(tiny_episode, video_path=copy), make_observer()
    observer.look(episode, np.array([1.0]))
    opened.clear()
    os.utime(copy, ns=(1, 1))
    observer.look(episode, np.array([1.0]))

    assert opened == [copy]


def test_long_looks_are_read_in_pieces(tiny_episode):
    look = make_observer(with_frames=True).look(tiny_episode, np.linspace(0, 19.9, 300))

    assert look.frames.shape == (300, 64, 96, 3)
    assert len(look.descriptions) == 300


@pytest.mark.parametrize(
    ("annotated", "expected"), [(None, 20.0), (20.0, 20.0), (19.5, 19.5), (300.0, 20.0), (3.0, 20.0)]
)
def test_duration_of_the_annotation_or_the_file(tiny_episode, annotated, expected):
    episode = replace(tiny_episode, duration_seconds=annotated)

    assert make_observer().duration_seconds(episode) == pytest.approx(expected, abs=0.05)


def test_cache_is_bounded_and_keeps_what_was_used_last():
    cache = RecentCache(max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)


def test_forget_words(tiny_episode):
    make_observer().look(tiny_episode, np.array([1.0]))
    assert len(observer_module._words) == 1
    forget_words()

    assert len(observer_module._words) == 0


def test_reset_and_step_with_known_words_are_fast(tiny):
    env = VideoZoomEnv(tiny, with_frames=False)
    seconds = []
    for _ in range(30):
        started = time.perf_counter()
        env.reset(options={"episode_id": "q0"})
        env.step(format_zoom((12, 14), 8))
        seconds.append(time.perf_counter() - started)

    assert sorted(seconds)[len(seconds) // 2] < 0.003


def test_clock_counts_the_frames_of_the_file(tiny_episode, opened):
    observer = make_observer()
    longer = replace(tiny_episode, duration_seconds=19.5)

    assert observer.clock(tiny_episode) == VideoClock(20.0, 500, 25.0)
    assert observer.clock(longer) == VideoClock(19.5, 500, 25.0)  # the annotation is for people, frames are counted
    assert len(opened) == 1


def test_a_crop_has_words_of_its_own(tiny_episode):
    observer = make_observer()
    whole = observer.look(tiny_episode, np.array([12.5]))
    part = observer.look(tiny_episode, np.array([12.5]), (0.25, 0.25, 0.75, 0.75))

    assert whole.descriptions == ("new purple 75%, red 25%",)
    assert part.descriptions == ("new red 100%",)
    assert observer.look(tiny_episode, np.array([12.5])).descriptions == whole.descriptions


def test_track_is_empty_without_subtitles(tiny_episode):
    assert len(make_observer().track(tiny_episode)) == 0
