"""The frames of the published tool, row by row of what was executed of it, on 500 frames at 25 fps, 16 a zoom."""

from __future__ import annotations

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_env.action_types import InvalidAction
from vz_env.protocols.published_clip import Clip, find_zoom, overview_indices, plan_clip, read_request, spoken

VIDEO = {"frame_count": 500, "average_fps": 25.0, "most": 16}
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def times_of(start: float, end: float, fps: float) -> list[float] | str:
    clip = plan_clip(start, end, fps, **VIDEO)
    return clip.code if isinstance(clip, InvalidAction) else [round(index / 25, 2) for index in clip.indices.tolist()]


@pytest.mark.parametrize(
    ("start", "end", "fps", "expected"),
    [
        (4, 6, 2, [4.0, 4.64, 5.32, 6.0]),  # both ends, so the spacing is not 1/fps
        (4, 6, 0.5, [4.0]),  # a single frame is the first
        (5, 5.2, 2, []),  # fewer than one frame is none
        (4, 6, 0, []),
        (6, 4, 2, "BAD_RANGE"),
        (6, 4, -4, [6.0] * 8),  # both turned round: one frame, eight times
        (30, 38, 2, [19.96] * 16),  # wholly past the end
        (-2, 2, 2, [0.0, 0.28, 0.56, 0.84, 1.12, 1.4, 1.68, 2.0]),  # counted from the length that was asked for
        (0, 20, 1, "OVER_BUDGET"),
        (0, 1, 16.9, 16),  # 16.9 frames count as 16
        (4.3, 4.6, 10, 2),  # 3 in mathematics, 2 in floats
        (9.4, 12.6, 5, 15),  # 16 in mathematics
        (0, 0.2, 50, 10),  # faster than the video: frames repeat
        (float("nan"), 6, 2, "BAD_RANGE"),
        (4, float("inf"), 2, "BAD_RANGE"),
        (float("-inf"), 6, 0, "BAD_RANGE"),
        (0, 1, 1e308, "OVER_BUDGET"),
        (0, 10, 1e308, "BAD_RANGE"),
        (1e308, 1e308, 1, "BAD_RANGE"),
    ],
)
def test_clips(start, end, fps, expected):
    found = times_of(start, end, fps)

    assert (len(found) if isinstance(expected, int) else found) == expected


def test_a_clip_partly_past_the_end_is_denser_than_asked_for():
    found = times_of(18, 24, 2)

    assert len(found) == 12
    assert (found[0], found[-1]) == (18.0, 19.96)


def test_a_rate_above_the_videos_repeats_frames():
    found = times_of(0, 0.2, 50)

    assert len(set(found)) == 6


@given(ANY_FLOAT, ANY_FLOAT, ANY_FLOAT)
def test_any_request_is_a_clip_within_the_video_or_an_error(start, end, fps):
    clip = plan_clip(start, end, fps, **VIDEO)

    if isinstance(clip, Clip):
        assert len(clip.indices) <= 16
        assert all(0 <= index < 500 for index in clip.indices.tolist())
        assert 0 <= clip.first <= clip.last < 500


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"segment":[4,6],"fps":2}', (4.0, 6.0, 2.0)),
        ('go on {"segment":[4,6],"fps":2} please', (4.0, 6.0, 2.0)),
        ('{"segment":"12","fps":2}', (1.0, 2.0, 2.0)),
        ('{"segment":["4","6"],"fps":"2"}', (4.0, 6.0, 2.0)),
        ('{"segment":[4,6,9],"fps":2,"why":"x"}', (4.0, 6.0, 2.0)),
        ('{"segment":[4,6],\n"fps":2}', ("BAD_JSON", True)),  # no object on one line
        ("", ("BAD_JSON", True)),
        ("4 to 6", ("BAD_JSON", True)),
        ('{"segment":[4,6],"fps":2}{"segment":[4,6],"fps":2}', ("BAD_JSON", True)),
        ('{"segment":[4,6],"fps":2', ("BAD_JSON", True)),
        ('{"zoom":{"segment":[4,6],"fps":2}}', ("BAD_JSON", False)),  # the shortest object is not closed within
        ("{segment:[4,6]}", ("BAD_JSON", False)),
        ('{"segment":[4,6]}', ("BAD_TYPE", False)),
        ('{"segment":[4],"fps":2}', ("BAD_TYPE", False)),
        ('{"segment":4,"fps":2}', ("BAD_TYPE", False)),
        ('{"segment":[4,"later"],"fps":2}', ("BAD_TYPE", False)),
        ('{"segment":{"0":4},"fps":2}', ("BAD_JSON", False)),
        ('{"segment":[4,1' + "0" * 400 + '],"fps":2}', ("BAD_TYPE", False)),
        ('{"segment":[4,1' + "0" * 5000 + '],"fps":2}', ("BAD_JSON", False)),
    ],
)
def test_requests(body, expected):
    found = read_request(body)

    assert ((found.code, found.message == "") if isinstance(found, InvalidAction) else found) == expected


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("<video_zoom>a</video_zoom>", "a"),
        ("<think><video_zoom>a</video_zoom></think>", "a"),
        ("<video_zoom>a</video_zoom><video_zoom>b</video_zoom>", "a"),
        ("<answer>B</answer><video_zoom>a</video_zoom>", "a"),
        ("<video_zoom>a<video_zoom>b</video_zoom>", "a<video_zoom>b"),
        ("<video_zoom>a", None),
        ("a</video_zoom>", None),
        ("a</video_zoom><video_zoom>b</video_zoom>", None),  # nothing comes after the first closing tag
        ("", None),
    ],
)
def test_zooms_are_found_anywhere(text, body):
    assert find_zoom(text) == body


def test_spoken_ends_with_the_first_zoom():
    assert spoken("x<video_zoom>a</video_zoom><answer>B</answer>") == "x<video_zoom>a</video_zoom>"
    assert spoken("<answer>B</answer>") == "<answer>B</answer>"


@pytest.mark.parametrize(
    ("frame_count", "fps", "expected"),
    [
        (500, 25.0, [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]),
        (3, 25.0, [0]),
        (64 * 50, 25.0, list(range(0, 3200, 50))),
        (10, 0.2, list(range(10))),  # slower than the overview: every frame
    ],
)
def test_overview_of_short_videos_has_a_rate(frame_count, fps, expected):
    assert overview_indices(frame_count, fps, 64).tolist() == expected


def test_overview_of_long_videos_is_spread_from_the_first_to_the_last_frame():
    found = overview_indices(15_000, 25.0, 64).tolist()

    assert (len(found), found[0], found[1], found[-1]) == (64, 0, 238, 14_999)


@pytest.mark.parametrize("unit", ["<video_zoom>", "{", "{}", "{\n", "}"])
def test_hostile_text_takes_linear_time(unit):
    text = "<video_zoom>" + unit * 20_000 + "</video_zoom>"
    gc.disable()  # a collection of the whole test process may fall into this thread's time
    try:
        started = time.thread_time()
        read_request(find_zoom(text) or "")
        taken = time.thread_time() - started
    finally:
        gc.enable()
    assert taken < 0.05
