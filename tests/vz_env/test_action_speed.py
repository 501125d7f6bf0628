"""How long the action parser takes, in processor time of this thread, which a busy machine leaves alone."""

from __future__ import annotations

import time

import pytest

from vz_env.actions import MAX_ACTION_CHARS, Grammar, parse_action

GOOD = '{"segment":[4,6],"fps":2}'
EVERYTHING = Grammar(crop=True, subtitle_search=True, several_zooms=True, aliases=True)
UNITS = [
    "<video_zoom>",
    "</video_zoom>",
    "<think>",
    "</think>",
    "<answer><video_zoom>",
    "<",
    "<video_zoom>{</video_zoom>",
    f"<video_zoom>{GOOD}</video_zoom>",
    "<tool_call>",
    "<subtitle_search>a",
]


def seconds_of(text: str, grammar: Grammar, repeats: int = 5) -> float:
    """The fastest of several runs."""
    taken = []
    for _ in range(repeats):
        started = time.thread_time()
        parse_action(text, grammar)
        taken.append(time.thread_time() - started)
    return min(taken)


@pytest.mark.parametrize("grammar", [Grammar(), EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("unit", UNITS)
def test_a_text_four_times_as_long_takes_four_times_as_long(unit, grammar):
    text = (unit * MAX_ACTION_CHARS)[:MAX_ACTION_CHARS]

    assert len(text) == 64 * 1024
    # A parser that goes back takes sixteen times as long. It was 0.2 to 6 ms; machines have slow moments.
    assert seconds_of(text, grammar) < max(0.001, 10 * seconds_of(text[: len(text) // 4], grammar))
    assert seconds_of(text, grammar) < 0.025


def test_234_kb_of_unclosed_tags_are_not_read_again_and_again():
    text = "<video_zoom>" * 20_000

    assert len(text) > 234_000
    assert seconds_of(text, Grammar()) < 0.05


def test_a_typical_action_takes_microseconds():
    text = (
        "<think>The overview shows a purple scene from about 128 s on, and the card must appear in it.</think>\n"
        '<video_zoom>{"segment":[128,136],"fps":2}</video_zoom>'
    )

    assert seconds_of(text, Grammar(), repeats=200) < 250e-6  # about 5
