"""Answer extraction against a golden file, and grading of every answer kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.scoring import (
    describe_parsed,
    extract_choice,
    extract_number,
    extract_segments,
    normalise_text,
    score_answer,
    segment_iou,
    total_seconds,
    union_segments,
)

COLOURS = ("red", "blue", "gold", "pink")
ANSWERS = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))
GOLDEN = [(text, tuple(ANSWERS["options"][name]), index) for text, name, index in ANSWERS["cases"]]


def episode(kind: str, options: tuple[str, ...] = ()) -> Episode:
    return Episode(id="q", question="Which?", video_path=Path("a.mp4"), options=options, answer_kind=kind)


@pytest.mark.parametrize(("text", "options", "expected"), GOLDEN, ids=range(len(GOLDEN)))
def test_extract_choice_of_the_golden_table(text, options, expected):
    assert extract_choice(text, options) == expected


def test_golden_table_is_large_enough():
    assert len(GOLDEN) >= 120


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=st.characters(codec=None)))
def test_extractors_never_raise(text):
    choice = extract_choice(text, COLOURS)

    assert choice is None or 0 <= choice < len(COLOURS)
    assert extract_number(text) is None or isinstance(extract_number(text), float)
    assert extract_segments(text) is None or extract_segments(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3.0),
        ("3.", 3.0),
        ("3 times", 3.0),
        ("It appears 3 times.", 3.0),
        ("-2.5", -2.5),
        ("1,234,567.5", 1234567.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("3 and 3", 3.0),
        ("3 or 4", None),
        ("three", None),
        ("", None),
        ("1e999", None),
        ("9" * 5000, None),
    ],
)
def test_extract_number(text, expected):
    assert extract_number(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[12, 15.5]", (Segment(12.0, 15.5),)),
        ("[[12, 15.5], [20, 21]]", (Segment(12.0, 15.5), Segment(20.0, 21.0))),
        ("12-15.5", (Segment(12.0, 15.5),)),
        ("12s - 15.5s", (Segment(12.0, 15.5),)),
        ("from 12 to 15.5 seconds", (Segment(12.0, 15.5),)),
        ("[15, 12]", None),
        ("[12, 12]", None),
        ("[12]", None),
        ("[]", None),
        ("[[]]", None),
        ("[[12, 15], 3]", None),
        ('["12", "15"]', None),
        ("[true, 15]", None),
        ("[NaN, 15]", None),
        ("[0, Infinity]", None),
        ("[0, 1e308]", None),
        ("12, 15, 18", None),
        ("nowhere", None),
        ("[" * 4_000, None),
        ("null", None),
        ('{"segment": [12, 15]}', None),
    ],
)
def test_extract_segments(text, expected):
    assert extract_segments(text) == expected


def test_normalise_text_unifies_what_should_not_decide():
    assert normalise_text(" “Red  TO\nblue.” ") == "red to blue"


def test_union_segments_merges_touching_ones():
    spans = [Segment(5.0, 6.0), Segment(0.0, 2.0), Segment(1.0, 3.0), Segment(3.0, 4.0)]

    assert union_segments(spans) == (Segment(0.0, 4.0), Segment(5.0, 6.0))
    assert total_seconds(spans) == 5.0


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ([Segment(0.0, 10.0)], [Segment(0.0, 10.0)], 1.0),
        ([Segment(0.0, 10.0)], [Segment(5.0, 15.0)], 1 / 3),
        ([Segment(0.0, 1.0)], [Segment(1.0, 2.0)], 0.0),
        ([Segment(0.0, 1.0), Segment(0.5, 2.0)], [Segment(0.0, 2.0)], 1.0),
        ([], [Segment(0.0, 2.0)], 0.0),
        ([], [], 0.0),
    ],
)
def test_segment_iou(predicted, truth, expected):
    assert segment_iou(predicted, truth) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "key", "answer", "value", "parsed"),
    [
        ("choice", AnswerKey(answer_indices=(1,)), "B", 1.0, "B"),
        ("choice", AnswerKey(answer_indices=(1,)), "red", 0.0, "A"),
        ("choice", AnswerKey(answer_indices=(1, 2)), "C", 1.0, "C"),
        ("choice", AnswerKey(answer_indices=(1,)), "no idea", 0.0, None),
        ("choice", AnswerKey(answer_indices=(1,)), None, 0.0, None),
        ("choice", AnswerKey(answer_texts=("blue",)), "B", None, "B"),
        ("text", AnswerKey(answer_texts=("Blue card.", "card")), "blue  card", 1.0, "blue card"),
        ("text", AnswerKey(answer_texts=("blue",)), "red", 0.0, "red"),
        ("text", AnswerKey(answer_texts=("blue",)), None, 0.0, None),
        ("text", AnswerKey(answer_indices=(0,)), "blue", None, "blue"),
        ("number", AnswerKey(answer_texts=("3",)), "3 times", 1.0, "3"),
        ("number", AnswerKey(answer_texts=("3",)), "4", 0.0, "4"),
        ("number", AnswerKey(answer_texts=("1000",)), "1009", 1.0, "1009"),
        ("number", AnswerKey(answer_texts=("1000",)), "1020", 0.0, "1020"),
        ("number", AnswerKey(answer_texts=("0",)), "0", 1.0, "0"),
        ("number", AnswerKey(answer_texts=("many",)), "3", None, "3"),
        ("spans", AnswerKey(answer_segments=(Segment(0.0, 10.0),)), "[0, 5]", 0.5, "0-5"),
        ("spans", AnswerKey(answer_segments=(Segment(0.0, 10.0),)), "[20, 30]", 0.0, "20-30"),
        ("spans", AnswerKey(answer_segments=(Segment(0.0, 10.0),)), "never", 0.0, None),
        ("spans", AnswerKey(answer_indices=(0,)), "[0, 5]", None, "0-5"),
    ],
)
def test_score_answer(kind, key, answer, value, parsed):
    question = episode(kind, COLOURS if kind == "choice" else ())
    score = score_answer(answer, question, key)

    assert score.value == value
    assert describe_parsed(score.parsed, question) == parsed
    assert score.is_correct == (value is not None and value >= 0.5)


def test_an_answer_that_needs_a_judge_is_not_graded_even_when_it_is_the_same_words():
    episode = Episode(id="q", question="Tell it.", video_path=Path("/v.mp4"), answer_kind="text")
    score = score_answer("A man walks.", episode, AnswerKey(answer_texts=("A man walks.",), needs_judge=True))
    assert (score.value, score.parsed, score.is_correct) == (None, "a man walks", False)
