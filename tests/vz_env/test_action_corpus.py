"""The action parser against a corpus: what is legal, and what is not, each with the code it wants."""

from __future__ import annotations

import gc
import time

import pytest

from vz_env.actions import MAX_ACTION_CHARS, Answer, InvalidAction, Zoom, parse_action


def zoom(body: str) -> str:
    return f"<video_zoom>{body}</video_zoom>"


GOOD = '{"segment":[4,6],"fps":2}'
GOOD_ZOOM = Zoom((4.0, 6.0), 2.0)

LEGAL = [
    (zoom(GOOD), GOOD_ZOOM),
    (zoom('{"fps":2,"segment":[4,6]}'), GOOD_ZOOM),
    (zoom('{"segment": [4.0, 6.0], "fps": 2.0}'), GOOD_ZOOM),
    (zoom('\n{\n  "segment": [4,\n 6],\n  "fps": 2\n}\n'), GOOD_ZOOM),
    (zoom('\t{"segment":[4e0,60e-1],"fps":0.2e1} '), GOOD_ZOOM),
    (f"<think>a thought</think>{zoom(GOOD)}", GOOD_ZOOM),
    (f"  \n<think>a\nthought</think>\n\n{zoom(GOOD)}\n", GOOD_ZOOM),
    (f"<think></think>{zoom(GOOD)}", GOOD_ZOOM),
    (f"so I zoom: {zoom(GOOD)} and wait", GOOD_ZOOM),
    (f"```\n{zoom(GOOD)}\n```", GOOD_ZOOM),
    (f"<think><answer>B</answer></think>{zoom(GOOD)}", GOOD_ZOOM),
    (f"<think>{zoom(GOOD)}{zoom(GOOD)}</think><answer>B</answer>", Answer("B")),
    (f"<think>a</think><think>{zoom(GOOD)}</think><answer>B</answer>", Answer("B")),
    (f"<think><think>{zoom(GOOD)}</think><answer>B</answer>", Answer("B")),
    (f"the prompt opened the thought {zoom(GOOD)}</think><answer>B</answer>", Answer("B")),
    (f"<answer>A</answer></think>{zoom(GOOD)}", GOOD_ZOOM),
    (f"</think>{zoom(GOOD)}", GOOD_ZOOM),
    (f"{zoom(GOOD)}</video_zoom>", GOOD_ZOOM),
    (f"</answer>{zoom(GOOD)}", GOOD_ZOOM),
    (f"{zoom(GOOD)}<|im_end|>\n<|im_start|>assistant", GOOD_ZOOM),
    (zoom('{"segment":[-2,2],"fps":2}'), Zoom((-2.0, 2.0), 2.0)),
    (zoom('{"segment":[-5,-2],"fps":2}'), Zoom((-5.0, -2.0), 2.0)),
    (zoom('{"segment":[30,1e308],"fps":2}'), Zoom((30.0, 1e308), 2.0)),
    (zoom('{"segment":[0,1],"fps":1e308}'), Zoom((0.0, 1.0), 1e308)),
    (zoom('{"segment":[0,5e-324],"fps":5e-324}'), Zoom((0.0, 5e-324), 5e-324)),
    (zoom('{"segment":[-0.0,1],"fps":1}'), Zoom((0.0, 1.0), 1.0)),
    (
        zoom('{"segment":[9007199254740993,9007199254740996],"fps":1}'),
        Zoom((9007199254740992.0, 9007199254740996.0), 1.0),
    ),
    (zoom('{"\\u0073egment":[4,6],"fps":2}'), GOOD_ZOOM),
    ("<answer>B</answer>", Answer("B")),
    ("<answer>  B.\n</answer>", Answer("B.")),
    ("<answer>one\ntwo</answer>", Answer("one\ntwo")),
    ("<answer>\\boxed{B}</answer>", Answer("\\boxed{B}")),
    ("<answer>B</answer></answer>", Answer("B")),
    ("<answer>B</think></answer>", "NO_ACTION"),
    ("<answer><b>B</b></answer>", Answer("<b>B</b>")),
    ("<answer>\ud800B</answer>", Answer("?B")),
    ("<answer>ب漢🎬</answer>", Answer("ب漢🎬")),
    ("<answer>\x00</answer>", Answer("\x00")),
    ("<answer>a\u202eb</answer>", Answer("a\u202eb")),
    ("<answer>red to blue", "NO_ACTION"),
    ("<ANSWER>no</ANSWER><answer>B</answer>", Answer("B")),
]

HOSTILE = [
    # nothing that counts
    ("", "NO_ACTION"),
    (" \n\t", "NO_ACTION"),
    ("B", "NO_ACTION"),
    ("The answer is B.", "NO_ACTION"),
    (GOOD, "NO_ACTION"),
    ("<answer></answer>", "NO_ACTION"),
    ("<answer> \n </answer>", "NO_ACTION"),
    ("<answer>B", "NO_ACTION"),
    ("B</answer>", "NO_ACTION"),
    ("<answer/>", "NO_ACTION"),
    ("<answer >B</answer>", "NO_ACTION"),
    ("< answer>B</answer>", "NO_ACTION"),
    ("<Answer>B</Answer>", "NO_ACTION"),
    ("<answer>B</ answer>", "NO_ACTION"),
    ("&lt;answer&gt;B&lt;/answer&gt;", "NO_ACTION"),
    ("＜answer＞B＜/answer＞", "NO_ACTION"),
    ("<аnswer>B</аnswer>", "NO_ACTION"),  # a Cyrillic letter
    ("<ans\u200bwer>B</ans\u200bwer>", "NO_ACTION"),
    ("<think>B</think>", "NO_ACTION"),
    ("<think><answer>B</answer>", "NO_ACTION"),
    (f"<think>{zoom(GOOD)}", "NO_ACTION"),
    (f"<think>{zoom(GOOD)}</think>", "NO_ACTION"),
    ("<think>a</think><think><answer>B</answer>", "NO_ACTION"),
    ("<answer>B</answer></think>", "NO_ACTION"),
    (f"<video_zoom>{GOOD}", "NO_ACTION"),
    (f"{GOOD}</video_zoom>", "NO_ACTION"),
    (f"<video_zoom>{GOOD}<video_zoom/>", "NO_ACTION"),
    (f"<video-zoom>{GOOD}</video-zoom>", "NO_ACTION"),
    (f"<zoom>{GOOD}</zoom>", "NO_ACTION"),
    (f"<tool_call>{GOOD}</tool_call>", "NO_ACTION"),
    ("\ufeff", "NO_ACTION"),
    ("\x00" * 100, "NO_ACTION"),
    ("\ud800\udfff", "NO_ACTION"),
    ("<" * 60_000, "NO_ACTION"),
    ("<think>" * 9_000, "NO_ACTION"),
    ("</think>" * 8_000, "NO_ACTION"),
    ("</answer>" * 7_000, "NO_ACTION"),
    # more than one
    (zoom(GOOD) * 2, "TWO_ACTIONS"),
    (zoom(GOOD) + "<video_zoom>", "TWO_ACTIONS"),
    ("<video_zoom>" + zoom(GOOD), "TWO_ACTIONS"),
    ("<answer>A</answer><answer>A</answer>", "TWO_ACTIONS"),
    ("<answer>A</answer> or <answer>B</answer>", "TWO_ACTIONS"),
    ("<answer><answer>B</answer></answer>", "TWO_ACTIONS"),
    ("<video_zoom>" * 5_000, "TWO_ACTIONS"),
    ("<answer>" * 8_000, "TWO_ACTIONS"),
    ("<video_zoom>{" * 5_000, "TWO_ACTIONS"),
    (zoom(GOOD) + "<answer>B</answer>", "ANSWER_AND_ZOOM"),
    ("<answer>B</answer>" + zoom(GOOD), "ANSWER_AND_ZOOM"),
    (zoom("<answer>B</answer>"), "ANSWER_AND_ZOOM"),
    (f"<answer>{zoom(GOOD)}</answer>", "ANSWER_AND_ZOOM"),
    ("<answer>B</video_zoom><video_zoom>", "ANSWER_AND_ZOOM"),
    (f"<video_zoom>{GOOD}<answer>B</answer>", "ANSWER_AND_ZOOM"),
    (zoom(GOOD) + "<answer>B", "ANSWER_AND_ZOOM"),
    ("<answer><video_zoom>" * 3_000, "ANSWER_AND_ZOOM"),
    # no JSON
    (zoom(""), "BAD_JSON"),
    (zoom(" "), "BAD_JSON"),
    (zoom("4-6"), "BAD_JSON"),
    (zoom("segment=[4,6], fps=2"), "BAD_JSON"),
    (zoom("{'segment':[4,6],'fps':2}"), "BAD_JSON"),
    (zoom("{segment:[4,6],fps:2}"), "BAD_JSON"),
    (zoom('{"segment":[4,6],"fps":2,}'), "BAD_JSON"),
    (zoom('{"segment":[4,6,],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4,6],"fps":2'), "BAD_JSON"),
    (zoom('"segment":[4,6],"fps":2'), "BAD_JSON"),
    (zoom(GOOD + GOOD), "BAD_JSON"),
    (zoom(GOOD + " // why"), "BAD_JSON"),
    (zoom(f"```json\n{GOOD}\n```"), "BAD_JSON"),
    (zoom('{"segment":[4,6] "fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[NaN,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4,Infinity],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[-Infinity,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4,6],"fps":NaN}'), "BAD_JSON"),
    (zoom('{"segment":[4,6],"fps":nan}'), "BAD_JSON"),
    (zoom('{"segment":[04,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[+4,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[.5,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4.,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[0x4,6],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[1_0,60],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4,5,6],"fps":1,5}'), "BAD_JSON"),
    (zoom('{"segment":[٤,٦],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[４,６],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[0:04,0:06],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4s,6s],"fps":2}'), "BAD_JSON"),
    (zoom('{"segment":[4,6],"fps":2,"fps":3}'), "BAD_JSON"),
    (zoom('{"segment":[4,6],"segment":[4,6],"fps":2}'), "BAD_JSON"),
    (zoom("\ufeff" + GOOD), "BAD_JSON"),
    (zoom("\u200b" + GOOD), "BAD_JSON"),
    (zoom("\u202e" + GOOD), "BAD_JSON"),
    (zoom("\x00" + GOOD), "BAD_JSON"),
    (zoom(GOOD.replace('"', "“")), "BAD_JSON"),
    (zoom('{"segment":[' + "9" * 4_000 + "," + "1],"), "BAD_JSON"),
    (zoom("[" * 2_000), "BAD_JSON"),
    (zoom('{"segment":' * 300), "BAD_JSON"),
    (zoom("<think>a</think>" + GOOD), "BAD_JSON"),
    # the wrong types
    (zoom("[]"), "BAD_TYPE"),
    (zoom("{}"), "BAD_TYPE"),
    (zoom("null"), "BAD_TYPE"),
    (zoom("2"), "BAD_TYPE"),
    (zoom('"zoom"'), "BAD_TYPE"),
    (zoom("[4,6,2]"), "BAD_TYPE"),
    (zoom(f"[{GOOD}]"), "BAD_TYPE"),
    (zoom('{"segment":[4,6]}'), "BAD_TYPE"),
    (zoom('{"fps":2}'), "BAD_TYPE"),
    (zoom('{"Segment":[4,6],"FPS":2}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":2,"answer":"B"}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":2,"crop":null}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":2,"":0}'), "BAD_TYPE"),
    (zoom('{"start":4,"end":6,"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":"12","fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":"[4,6]","fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":4,"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":null,"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":true,"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":{},"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":{"0":4,"1":6},"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[4],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[4,5,6],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[[4,6]],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[[4],[6]],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":["4","6"],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[4,"6"],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[false,true],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[null,6],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":["NaN",6],"fps":2}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":"2"}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":true}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":null}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":[2]}'), "BAD_TYPE"),
    (zoom('{"segment":[4,6],"fps":{}}'), "BAD_TYPE"),
    (zoom("[" * 300 + "]" * 300), "BAD_TYPE"),
    (zoom('{"segment":"\\ud800","fps":2}'), "BAD_TYPE"),
    # numbers that mean nothing
    (zoom('{"segment":[6,4],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[4,4],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[0,0],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[-0.0,0.0],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[1e16,10000000000000001],"fps":2}'), "BAD_RANGE"),  # one float
    (zoom('{"segment":[4,6],"fps":0}'), "BAD_RANGE"),
    (zoom('{"segment":[4,6],"fps":-0.0}'), "BAD_RANGE"),
    (zoom('{"segment":[4,6],"fps":-5}'), "BAD_RANGE"),
    (zoom('{"segment":[6,4],"fps":-2}'), "BAD_RANGE"),
    (zoom('{"segment":[4,6],"fps":1e-999}'), "BAD_RANGE"),
    (zoom('{"segment":[4,1e309],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[-1e309,6],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[4,6],"fps":1e309}'), "BAD_RANGE"),
    (zoom('{"segment":[4,1' + "0" * 400 + '],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[-1' + "0" * 400 + ',6],"fps":2}'), "BAD_RANGE"),
    (zoom('{"segment":[4,6],"fps":' + "9" * 3_000 + "}"), "BAD_RANGE"),
    # too much
    ("a" * (MAX_ACTION_CHARS + 1), "TOO_LONG"),
    ("<video_zoom>" * 20_000, "TOO_LONG"),
    ("<answer>B</answer>" + " " * MAX_ACTION_CHARS, "TOO_LONG"),
    ("🎬" * (MAX_ACTION_CHARS + 1), "TOO_LONG"),
    (zoom(" " * 5_000 + GOOD), "TOO_LONG"),
    (zoom("[" * 50_000), "TOO_LONG"),
    (zoom('{"segment":[4,6],"fps":' + "9" * 5_000 + "}"), "TOO_LONG"),
    ("x" * 10_000_000, "TOO_LONG"),
]


@pytest.mark.parametrize(("text", "expected"), LEGAL, ids=range(len(LEGAL)))
def test_parse_action_of_the_grammar(text, expected):
    parsed = parse_action(text)

    assert (parsed.code if isinstance(parsed, InvalidAction) else parsed) == expected


@pytest.mark.parametrize(("text", "code"), HOSTILE, ids=range(len(HOSTILE)))
def test_parse_action_of_the_hostile_corpus(text, code):
    gc.disable()  # a collection of the whole test process may fall into this thread's time
    try:
        started = time.thread_time()  # of this thread alone: a busy machine takes nothing away
        parsed = parse_action(text)
        taken = time.thread_time() - started
    finally:
        gc.enable()

    assert isinstance(parsed, InvalidAction)
    assert parsed.code == code
    assert taken < 0.05


def test_hostile_corpus_is_large_enough():
    assert len({text for text, _ in HOSTILE}) >= 150
