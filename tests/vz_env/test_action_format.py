"""The canonical text of actions: what is written is read back as the same."""

from __future__ import annotations

import math

import pytest

from vz_env.action_types import as_grammar
from vz_env.actions import (
    MAX_ACTION_CHARS,
    Grammar,
    SubtitleSearch,
    Zoom,
    format_answer,
    format_number,
    format_subtitle_search,
    format_zoom,
    parse_action,
)
from vz_env.episode import Segment
from vz_env.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (130, "130"),
        (140.5, "140.5"),
        (1.6, "1.6"),
        (5 / 3, "1.67"),
        (0, "0"),
        (-0.001, "0"),
        (-2.5, "-2.5"),
        (100, "100"),
    ],
)
def test_format_number(value, expected):
    assert format_number(value) == expected


def test_format_zoom_is_canonical():
    expected = '<video_zoom>{"segment":[130,140.5],"fps":1.6}</video_zoom>'

    assert format_zoom((130, 140.5), 1.6) == expected
    assert format_zoom(Segment(130.0, 140.5), 1.6) == expected


@pytest.mark.parametrize(
    ("segment", "fps"),
    [((2, 1), 1), ((1, 1), 1), ((1, 1.001), 1), ((0, 1), 0), ((0, 1), 0.004), ((0, 1), math.nan), ((0, math.inf), 1)],
)
def test_format_zoom_refuses_what_would_not_parse(segment, fps):
    with pytest.raises(ConfigError, match="start < end and fps > 0"):
        format_zoom(segment, fps)


@pytest.mark.parametrize("text", ["", " ", "<answer>", "<video_zoom>", "a" * MAX_ACTION_CHARS])
def test_format_answer_refuses_what_would_not_parse(text):
    with pytest.raises(ConfigError, match="an answer wants text"):
        format_answer(text)


def test_format_zoom_with_a_crop():
    text = format_zoom((1, 2), 4, (0.25, 0, 0.5, 1))

    assert text == '<video_zoom>{"segment":[1,2],"fps":4,"crop":[0.25,0,0.5,1]}</video_zoom>'
    assert parse_action(text, Grammar(crop=True)) == Zoom((1.0, 2.0), 4.0, (0.25, 0.0, 0.5, 1.0))
    with pytest.raises(ConfigError, match=r"cropped to \[0.5, 0, 0.2, 1\]"):
        format_zoom((1, 2), 4, (0.5, 0, 0.2, 1))


def test_format_subtitle_search():
    text = format_subtitle_search("red card")

    assert text == "<subtitle_search>red card</subtitle_search>"
    assert parse_action(text, Grammar(subtitle_search=True)) == SubtitleSearch("red card")
    with pytest.raises(ConfigError, match="a search wants words"):
        format_subtitle_search("...")


@pytest.mark.parametrize(
    ("eyes", "expected"),
    [((), Grammar()), ("crop", Grammar(crop=True)), (["aliases", "crop"], Grammar(crop=True, aliases=True))],
)
def test_as_grammar_reads_names(eyes, expected):
    assert as_grammar(eyes) == expected == as_grammar(expected)


def test_as_grammar_refuses_unknown_names():
    with pytest.raises(ConfigError, match=r"eyes must be among .* got \['ears'\]"):
        as_grammar(["crop", "ears"])
