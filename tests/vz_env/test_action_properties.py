"""Properties of the action parser that hold for any text."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.actions import (
    INVALID_CODES,
    MAX_ZOOMS_A_TURN,
    Answer,
    Grammar,
    InvalidAction,
    SubtitleSearch,
    Zoom,
    Zooms,
    format_answer,
    format_zoom,
    parse_action,
)

GOOD = '{"segment":[4,6],"fps":2}'


def zoom(body: str) -> str:
    return f"<video_zoom>{body}</video_zoom>"


fragments = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<video_zoom>",
        "</video_zoom>",
        "<answer>",
        "</answer>",
        GOOD,
        "{",
        "}",
        "[",
        "]",
        '"fps":',
    ]
)
any_text = st.text(alphabet=st.characters(codec=None))
mixed_text = st.lists(st.one_of(fragments, any_text), max_size=12).map("".join)
hundredths = st.integers(min_value=-(10**7), max_value=10**7).map(lambda n: n / 100)
rates = st.integers(min_value=1, max_value=10**5).map(lambda n: n / 100)
# A machine that is busy with other work draws slowly; that says nothing about the code.
many = settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(any_text)
def test_parse_action_is_total(text):
    assert isinstance(parse_action(text), Zoom | Answer | InvalidAction)


@many
@given(mixed_text)
def test_parse_action_is_total_on_pieces_of_the_grammar(text):
    parsed = parse_action(text)

    if isinstance(parsed, Answer):
        assert parsed.text == parsed.text.strip() != ""
        parsed.text.encode("utf-8")
    elif isinstance(parsed, Zoom):
        start, end = parsed.segment
        assert -math.inf < start < end < math.inf
        assert 0 < parsed.fps < math.inf
    else:
        assert parsed.code in INVALID_CODES
        assert "\n" not in parsed.message


@many
@given(hundredths, hundredths, rates)
def test_format_zoom_round_trips(start, end, fps):
    if start >= end:
        start, end = end, start + 0.01
    parsed = parse_action(format_zoom((start, end), fps))

    assert isinstance(parsed, Zoom)
    assert parsed.segment == pytest.approx((start, end), abs=0.0051)
    assert parsed.fps == pytest.approx(fps)
    assert parse_action(format_zoom(parsed.segment, parsed.fps)) == parsed


@many
@given(any_text.filter(lambda text: text.strip() and "<" not in text))
def test_format_answer_round_trips(text):
    parsed = parse_action(format_answer(text))

    assert parsed == Answer(text.encode("utf-8", "replace").decode("utf-8").strip())


@many
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4), rates)
def test_parse_action_takes_no_segment_but_two_numbers(value, fps):
    parsed = parse_action(zoom(json.dumps({"segment": value, "fps": fps})))

    if isinstance(parsed, Zoom):
        assert isinstance(value, list)
        assert [float(item) for item in value] == list(parsed.segment)


@many
@given(mixed_text, st.sampled_from([zoom(GOOD), "<answer>B</answer>"]))
def test_parse_action_ignores_the_thought(thought, action):
    thought = thought.replace("</think>", "")

    assert parse_action(f"<think>{thought}</think>{action}") == parse_action(action)


everything = Grammar(crop=True, subtitle_search=True, several_zooms=True, aliases=True)
more_fragments = st.sampled_from(
    [
        "<subtitle_search>",
        "</subtitle_search>",
        "<tool_call>",
        "</tool_call>",
        '{"segment":[4,6],"fps":2,"crop":[0,0,1,0.5]}',
        '{"name":"crop_video","arguments":{"start_time":1,"end_time":2}}',
    ]
)


@many
@given(st.lists(st.one_of(fragments, more_fragments, st.text(max_size=3)), max_size=12).map("".join))
def test_parse_action_is_total_with_every_eye_open(text):
    parsed = parse_action(text, everything)
    plain = parse_action(text)

    assert isinstance(parsed, Zoom | Zooms | SubtitleSearch | Answer | InvalidAction)
    assert not isinstance(plain, Zooms | SubtitleSearch)
    if isinstance(parsed, Zooms):
        assert 2 <= len(parsed.zooms) <= MAX_ZOOMS_A_TURN
        assert len({one.crop for one in parsed.zooms}) == 1
    if isinstance(plain, Zoom):
        assert plain.crop is None
