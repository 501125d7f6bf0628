"""Named parsers against replies written out by hand, and against second implementations of the official rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vz_benchmarks.parsers import PARSERS, find_parser, mmmu_open_is_right, reply_text
from vz_env.errors import ConfigError

FOUR = ("red", "green", "blue", "grey")
EIGHT = ("1", "2", "3", "4", "5", "6", "7", "8")


@pytest.mark.parametrize(
    ("name", "reply", "found"),
    [
        ("strict", "<think>A or B</think><answer>(B)</answer>", (1,)),
        ("strict", "<answer>A</answer> no, <answer>C.</answer>", (2,)),
        ("strict", "The answer might be B", ()),
        ("strict", "blue", (2,)),
        ("letter", "B", (1,)),
        ("letter", "B.", ()),
        ("letter", "<answer>D</answer>", (3,)),
        ("letter", "E", ()),
        ("mlvu_official", "B) green", (1,)),
        ("mlvu_official", "(C) blue (A)", (2,)),
        ("mlvu_official", "D", (3,)),
        ("mlvu_official", "green", ()),
        ("mlvu_official", "I think (as always) B)", ()),  # the character before the first bracket is an s
        ("videozoomer_openr1", "<answer>B</answer>", (1,)),
        ("videozoomer_openr1", "<answer>(B)</answer>", ()),
        ("videozoomer_openr1", "<answer>B) green</answer>", ()),
        ("videozoomer_openr1", "<answer>B: green</answer>", ()),
        ("videozoomer_openr1", r"<answer>\boxed{C}</answer>", (2,)),
        ("videozoomer_openr1", "<answer>B. John D. Grey</answer>", (3,)),
        ("videozoomer_openr1", "<answer>B. John F. Grey</answer>", ()),
        ("videozoomer_openr1", "B", ()),
        ("videozoomer_openr1", "<answer>A</answer><answer>B</answer>", (1,)),
        ("cgbench_official", '```json\n{"result": "C"}\n```', (2,)),
        ("cgbench_official", "It is A, or maybe C", (0, 2)),
        ("cgbench_official", "no idea", ()),
        ("cgbench_official", '{"result": 3} B', (1,)),
        ("vnbench_official", "Answer: C", (0,)),
        ("vnbench_official", "c", ()),
        ("vnbench_official", "D", (3,)),
        ("videoholmes_official", "B: green", (1,)),
        ("videoholmes_official", "[D]", (3,)),
        ("videoholmes_official", "it is C", (2,)),
        ("videoholmes_official", "none", ()),
        ("mmmu", "(A) no, (B)", (1,)),
        ("mmmu", "The answer is D", (3,)),
        ("mmmu", "It must be the blue one in the end", (2,)),
        ("mmmu", "nothing fits", ()),
        ("lmms_mcq", "B", (1,)),
        ("lmms_mcq", "B. green", (1,)),
        ("lmms_mcq", "so it is C", (2,)),
        ("lmms_mcq", "The answer is (D) because", (3,)),
        ("lmms_mcq", "The best one", ()),  # not T
        ("lmms_mcq", "Based on this", ()),  # not B
        ("lmms_mcq", "", ()),
    ],
)
def test_replies_are_read_as_the_rules_say(name: str, reply: str, found: tuple[int, ...]) -> None:
    assert find_parser(name)(reply, FOUR) == found


def test_letters_go_as_far_as_the_options() -> None:
    fourteen = tuple(f"value {number}" for number in range(14))
    assert [find_parser(name)("N", fourteen) for name in ("strict", "letter", "lmms_mcq")] == [(13,)] * 3
    assert find_parser("cgbench_official")("H", EIGHT) == (7,)
    assert find_parser("cgbench_official")("H", FOUR) == ()


REPLIES = st.text(alphabet=st.sampled_from(list("ABCDEF()[].: \nabt<>/answer{}\"'")), max_size=40)


@settings(max_examples=300, deadline=None)
@given(reply=st.one_of(REPLIES, st.text(max_size=200)), count=st.integers(2, 14))
def test_every_parser_is_total_and_names_options_only(reply: str, count: int) -> None:
    options = tuple(f"option {number}" for number in range(count))
    for parser in PARSERS.values():
        found = parser(reply, options)
        assert isinstance(found, tuple)
        assert all(0 <= index < count for index in found)


@settings(max_examples=300, deadline=None)
@given(REPLIES)
def test_the_official_rules_written_a_second_time_agree(reply: str) -> None:
    """Right or wrong for each gold letter, by the words of the rules and with nothing of the parsers."""
    text = reply_text(reply)
    for index, gold in enumerate("ABCD"):
        before = text.split(")")[0][-1:] if ")" in text else text
        assert (index in find_parser("mlvu_official")(reply, FOUR)) == (before == gold)
        first = [letter for letter in "ABCD" if letter in text][:1]
        assert (index in find_parser("vnbench_official")(reply, FOUR)) == (first == [gold])
        if "{" not in text:
            anywhere = re.search(rf"(?<!\w){gold}(?!\w)", text) is not None
            assert (index in find_parser("cgbench_official")(reply, FOUR)) == anywhere
        assert (index in find_parser("letter")(reply, FOUR)) == (text == gold)


def test_long_replies_are_read_in_linear_time() -> None:
    for name, parser in PARSERS.items():
        for reply in ("<answer>" * 20_000, "(A) " * 50_000, "\\boxed{" * 20_000, "{" * 60_000):
            assert isinstance(parser(reply, FOUR), tuple), name


@pytest.mark.parametrize(
    ("reply", "is_right"),
    [
        ("12.97 g", True),
        ("about 12.974", True),
        ("13", False),
        ("three quarters (3/4)", True),
        ("It is 1,200", True),
        ("", False),
    ],
)
def test_open_answers_hold_the_number_or_the_text(reply: str, is_right: bool) -> None:
    assert mmmu_open_is_right(reply, ["12.97", "3/4", "1200"]) == is_right


def test_an_unknown_parser_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no parser is called 'gpt'; there are strict, letter"):
        find_parser("gpt")
