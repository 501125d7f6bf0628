"""Actions beyond the plain grammar: crops, searches, several zooms, and the tool calls of other systems."""

from __future__ import annotations

import json

import pytest

from vz_env.actions import Answer, Grammar, InvalidAction, SubtitleSearch, Zoom, Zooms, format_zoom, parse_action

CROP, SEARCH = Grammar(crop=True), Grammar(subtitle_search=True)
SEVERAL, ALIASES = Grammar(several_zooms=True), Grammar(aliases=True)
FIRST, SECOND = format_zoom((4, 6), 2), format_zoom((8, 9), 4)
FIRST_ZOOM, SECOND_ZOOM = Zoom((4.0, 6.0), 2.0), Zoom((8.0, 9.0), 4.0)


def cropped(crop: str) -> str:
    return f'<video_zoom>{{"segment":[4,6],"fps":2,"crop":{crop}}}</video_zoom>'


def called(name: str, **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def outcome(text: str, grammar: Grammar) -> object:
    parsed = parse_action(text, grammar)
    return parsed.code if isinstance(parsed, InvalidAction) else parsed


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        ("[0.25,0,0.75,0.5]", Zoom((4.0, 6.0), 2.0, (0.25, 0.0, 0.75, 0.5))),
        ("[0,0,1,1]", FIRST_ZOOM),
        ("[-0.0,0,0.5,1]", Zoom((4.0, 6.0), 2.0, (0.0, 0.0, 0.5, 1.0))),
        ("[0.5,0,0.5,1]", "BAD_RANGE"),
        ("[0.7,0,0.2,1]", "BAD_RANGE"),
        ("[-0.1,0,0.5,1]", "BAD_RANGE"),
        ("[0,0,0.5,1.01]", "BAD_RANGE"),
        ("[0,0,1e999,1]", "BAD_RANGE"),
        ("[0,0,1]", "BAD_TYPE"),
        ("[0,0,1,1,1]", "BAD_TYPE"),
        ('[0,0,1,"1"]', "BAD_TYPE"),
        ("[0,0,1,true]", "BAD_TYPE"),
        ("[[0,0],[1,1]]", "BAD_TYPE"),
        ('"0,0,1,1"', "BAD_TYPE"),
        ("null", "BAD_TYPE"),
        ("{}", "BAD_TYPE"),
        ("[0,0,NaN,1]", "BAD_JSON"),
    ],
)
def test_crop(crop, expected):
    assert outcome(cropped(crop), CROP) == expected
    assert outcome(cropped(crop), Grammar()) in ("BAD_TYPE", "BAD_JSON")


def test_a_grammar_with_crops_still_refuses_other_keys():
    assert outcome('<video_zoom>{"segment":[4,6],"fps":2,"zoom":1}</video_zoom>', CROP) == "BAD_TYPE"
    assert outcome(FIRST, CROP) == FIRST_ZOOM


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<subtitle_search>red card</subtitle_search>", SubtitleSearch("red card")),
        ("<think>x</think><subtitle_search>\n red\n card </subtitle_search>", SubtitleSearch("red card")),
        ("<subtitle_search>漢</subtitle_search>", SubtitleSearch("漢")),
        ("<subtitle_search></subtitle_search>", "NO_ACTION"),
        ("<subtitle_search>?!</subtitle_search>", "NO_ACTION"),
        ("<subtitle_search>red card", "NO_ACTION"),
        (f"<subtitle_search>{'a' * 300}</subtitle_search>", "TOO_LONG"),
        ("<subtitle_search>a</subtitle_search>" * 2, "TWO_ACTIONS"),
        ("<subtitle_search>a</subtitle_search>" + FIRST, "TWO_ACTIONS"),
        ("<subtitle_search>a</subtitle_search><answer>B</answer>", "ANSWER_AND_ZOOM"),
        ("<answer>B</answer>", Answer("B")),
        (FIRST, FIRST_ZOOM),
    ],
)
def test_subtitle_search(text, expected):
    assert outcome(text, SEARCH) == expected


def test_a_search_is_nothing_in_the_plain_grammar():
    assert outcome("<subtitle_search>red</subtitle_search>", Grammar()) == "NO_ACTION"
    assert outcome("<subtitle_search>red</subtitle_search><answer>B</answer>", Grammar()) == Answer("B")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FIRST + SECOND, Zooms((FIRST_ZOOM, SECOND_ZOOM))),
        (f"<think>{FIRST}</think>{FIRST}\n{SECOND}", Zooms((FIRST_ZOOM, SECOND_ZOOM))),
        (FIRST, FIRST_ZOOM),
        (FIRST * 8, Zooms((FIRST_ZOOM,) * 8)),
        (FIRST * 9, "TWO_ACTIONS"),
        ("<answer>A</answer><answer>B</answer>", "TWO_ACTIONS"),
        (FIRST + SECOND + "<answer>B</answer>", "ANSWER_AND_ZOOM"),
        (FIRST + '<video_zoom>{"segment":[9,8],"fps":2}</video_zoom>', "BAD_RANGE"),
        (FIRST + "<video_zoom>", "NO_ACTION"),
        (FIRST + "<video_zoom>{}</video_zoom>", "BAD_TYPE"),
    ],
)
def test_several_zooms(text, expected):
    assert outcome(text, SEVERAL) == expected


def test_the_first_bad_zoom_of_several_is_named():
    parsed = parse_action(FIRST + '<video_zoom>{"segment":[9,8],"fps":2}</video_zoom>', SEVERAL)

    assert parsed == InvalidAction("BAD_RANGE", "Zoom 2: The start of the segment must be less than its end.")


def test_zooms_of_one_turn_share_a_crop():
    both = Grammar(several_zooms=True, crop=True)
    left = format_zoom((4, 6), 2, (0, 0, 0.5, 1))

    assert outcome(left + FIRST, both) == "BAD_RANGE"
    assert outcome(left + format_zoom((8, 9), 4, (0, 0, 0.5, 1)), both) == Zooms(
        (Zoom((4.0, 6.0), 2.0, (0.0, 0.0, 0.5, 1.0)), Zoom((8.0, 9.0), 4.0, (0.0, 0.0, 0.5, 1.0)))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (called("crop_video", video_path="a.mp4", start_time=4, end_time=9.5), Zoom((4.0, 9.5), 1.0)),
        (called("crop_video", start_time=4, end_time=2), "BAD_RANGE"),
        (called("crop_video", start_time=4), "BAD_TYPE"),
        (called("crop_video", start_time="4", end_time="9"), "BAD_TYPE"),
        (called("seek_video_frames", start_time=4, end_time=8), Zoom((4.0, 8.0), 2.0)),
        (called("seek_video_frames", query="", start_time=4, end_time=8, num_frames=4), Zoom((4.0, 8.0), 1.0)),
        (called("seek_video_frames", query="a card", start_time=4, end_time=8), "BAD_TYPE"),
        (called("seek_video_frames", start_time=4, end_time=8, num_frames=0), "BAD_RANGE"),
        (called("seek_video_frames", start_time=4, end_time=8, num_frames=2.5), "BAD_RANGE"),
        (called("seek_video_frames", start_time=8, end_time=8), "BAD_RANGE"),
        (called("seek_video_frames", start_time=-1e308, end_time=1e308), "BAD_RANGE"),
        (called("delete_video", start_time=4, end_time=8), "BAD_TYPE"),
        ("<tool_call>[]</tool_call>", "BAD_TYPE"),
        ('<tool_call>{"name":"crop_video","arguments":[1,2]}</tool_call>', "BAD_TYPE"),
        ("<tool_call>{</tool_call>", "BAD_JSON"),
        ("<tool_call>" + "[" * 3000 + "</tool_call>", "BAD_JSON"),
        ("<tool_call>" + "x" * 5000 + "</tool_call>", "TOO_LONG"),
        ("<tool_call>{}", "NO_ACTION"),
        (called("crop_video", start_time=4, end_time=9) * 2, "TWO_ACTIONS"),
        (called("crop_video", start_time=4, end_time=9) + "<answer>B</answer>", "ANSWER_AND_ZOOM"),
        (FIRST, FIRST_ZOOM),
    ],
)
def test_aliases(text, expected):
    assert outcome(text, ALIASES) == expected


def test_several_calls_in_a_turn_are_several_zooms():
    text = called("crop_video", start_time=4, end_time=9) + FIRST

    assert outcome(text, Grammar(several_zooms=True, aliases=True)) == Zooms((Zoom((4.0, 9.0), 1.0), FIRST_ZOOM))
