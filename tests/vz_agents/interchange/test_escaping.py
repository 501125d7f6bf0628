from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.interchange.escaping import IMAGE, escape_tokens, unescape_tokens

TOKENS = [
    "<image>", "<video>", "<audio>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<s>", "</s>",
    "<bos>", "<start_of_turn>", "<end_of_turn>", "<image_soft_token>", "<IMG_CONTEXT>", "</img>", "<<SYS>>", "[INST]",
    "[/INST]", "[IMG]", "[gMASK]", "[TOOL_CALLS]", "<\uff5cUser\uff5c>", "<|endoftext|>", "<unk>", "<0x0A>",
]  # fmt: skip
PIECES = [
    *TOKENS,
    "\u2060",
    "<",
    ">",
    "[",
    "]",
    "|",
    "image",
    "a",
    " ",
    "\n",
    "<think>",
    "</answer>",
    "<frame0_time1.5s>",
]


@pytest.mark.parametrize("token", TOKENS)
def test_no_special_token_stays_whole(token):
    assert token not in escape_tokens(f"before{token}after")
    assert unescape_tokens(escape_tokens(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        '<think>a < b</think><video_zoom>{"segment":[8,16],"fps":2}</video_zoom>',
        "<answer>B</answer>",
        "<frame0_time0.00s> teal",
        "<tool_response>\n</tool_response>",
        "A. [8, 16] and [a] 3 > 2",
    ],
)
def test_actions_and_labels_pass_unbroken(text):
    assert escape_tokens(text) == text


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=60))
def test_escaping_can_be_undone_and_leaves_no_placeholder(text):
    escaped = escape_tokens(text)
    assert unescape_tokens(escaped) == text.encode("utf-8", "replace").decode()
    assert IMAGE not in escaped
    assert not re.search(r"<\|", escaped)


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), min_size=1, max_size=4))
def test_pieces_come_back_from_between_placeholders(texts):
    joined = IMAGE.join(map(escape_tokens, texts))
    assert [unescape_tokens(piece) for piece in joined.split(IMAGE)] == texts


def test_a_lone_surrogate_can_be_written():
    assert escape_tokens("a\ud800b") == "a?b"
