"""What the published reward pays for, row by row of what was executed of it."""

from __future__ import annotations

import pytest

from vz_env.protocols.published_reward import (
    ZoomsAttempted,
    candidate_answer,
    count_zooms,
    is_format_right,
    is_right_choice,
)

ZOOM = '<think>a</think><video_zoom>{"segment":[4,6],"fps":2}</video_zoom>'
ANSWER = "<think>b</think><answer>B</answer>"


def zoom(body: str) -> str:
    return f"<think>a</think><video_zoom>{body}</video_zoom>"


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("<answer>B</answer>", True),
        ("<answer>B.</answer>", True),
        ("<answer> B </answer>", True),
        ("<answer>B. foo</answer>", True),
        (r"<answer>\boxed{B}</answer>", True),
        (r"<answer>it is \boxed{A}, no, \boxed{B}</answer>", True),
        ("<answer>(B)</answer>", False),
        ("<answer>B) foo</answer>", False),
        ("<answer>B: foo</answer>", False),
        ("<answer>b</answer>", False),
        ("<answer>A. or B.</answer>", True),  # the last one counts
        ("<answer>B. or A.</answer>", False),
        ("<think>It must be B.</think>", True),  # without a tag everything is read
        ("Plugged into the USB.", True),
        ("<answer>B", True),
        ("<answer>A</answer><answer>B</answer>", True),
        ("", False),
    ],
)
def test_multiple_choice(text, is_right):
    assert is_right_choice(candidate_answer([text]), "B") is is_right


def test_a_full_stop_after_the_letter_of_the_key_is_forgiven():
    assert is_right_choice("B", "B.")
    assert not is_right_choice("B", "B. foo")


def test_all_turns_are_one_text():
    assert candidate_answer(["<answer>A</answer>", "no", "<answer>B"]) == "B"
    assert candidate_answer(["I see A.", "I see B."]) == "I see A. I see B."


@pytest.mark.parametrize(
    ("turns", "is_right"),
    [
        ([ANSWER], True),
        ([f"\n{ANSWER}\n"], True),
        (["<answer>B</answer>"], False),
        ([f"so {ANSWER}"], False),
        ([f"{ANSWER} so"], False),
        (["<think>b<answer>B</answer>"], False),
        ([ANSWER + "<answer>B</answer>"], False),
        (["<think>b</think><video_zoom><answer>B</answer>"], False),
        (["<think>b</think> then <think>c</think> so <answer>B</answer>"], True),
        ([ZOOM, ANSWER], True),
        ([f"\n{ZOOM}\n", ANSWER], True),
        ([ZOOM, f"\n{ANSWER}"], False),  # the last of several turns is not stripped
        ([ZOOM, f"{ANSWER}\n"], True),
        ([ZOOM, f"{ANSWER}\n\n"], False),
        ([ZOOM, ZOOM, ANSWER], True),
        ([ZOOM, ZOOM], False),
        (["hm", ANSWER], False),
        ([zoom('{"segment":[4,\n6],"fps":2}'), ANSWER], True),  # the tool's own reader refuses this one
        ([zoom("4 to 6"), ANSWER], False),
        ([zoom('{"segment":[0,20],"fps":1}'), ANSWER], False),
        ([zoom('{"segment":[0,1],"fps":16.9}'), ANSWER], True),
        ([zoom('{"segment":[5,5.2],"fps":2}'), ANSWER], True),  # no frame at all
        ([zoom('{"segment":[6,4],"fps":2}'), ANSWER], True),  # turned round
        ([zoom('{"segment":[4,6],"fps":-5}'), ANSWER], True),
        ([zoom('{"segment":[100,101],"fps":5}'), ANSWER], True),  # outside of any video
        ([zoom('{"segment":[4,6],"fps":2}<answer>B</answer>'), ANSWER], False),
        ([], False),
    ],
)
def test_format(turns, is_right):
    assert is_format_right(turns, 16) is is_right


@pytest.mark.parametrize(
    ("turns", "count", "frames"),
    [
        ([ANSWER], 0, 0),
        ([ZOOM, ANSWER], 1, 4),
        ([ZOOM, ZOOM, ANSWER], 2, 8),
        ([ZOOM, zoom("hm"), ZOOM, ANSWER], 2, 4),  # up to the first that is wrong, and with it
        ([zoom("hm"), ANSWER, "<video_zoom>{"], 1, 0),
        ([zoom('{"segment":[0,20],"fps":1}'), ZOOM, ANSWER], 1, 0),  # too many frames
        ([ZOOM.removeprefix("<think>a</think>"), ZOOM, ANSWER], 1, 0),  # no thought before it
        ([zoom('{"segment":[5,5.2],"fps":2}'), ANSWER], 1, 0),
        ([zoom('{"segment":[4,6],"fps":-5}'), ZOOM, ANSWER], 2, -6),  # asked for, not shown
        ([zoom('{"segment":[4,\n6],"fps":2}'), ANSWER], 1, 4),  # the tool shows nothing
    ],
)
def test_zooms_are_counted_by_attempt(turns, count, frames):
    assert count_zooms(turns, 16) == ZoomsAttempted(count, frames)
