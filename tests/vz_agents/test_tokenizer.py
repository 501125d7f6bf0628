from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.tokenizer import PAD_TOKEN, TURN_END, TURN_START, PieceEncoder, train_tokenizer
from vz_env.actions import format_answer, format_zoom


@pytest.fixture(scope="module")
def round_trip(tokenizer):
    return lambda text: tokenizer.decode(tokenizer(text, split_special_tokens=True).input_ids)


@given(text=st.text(max_size=80))
def test_any_text_round_trips(round_trip, text):
    assert round_trip(text) == text


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", " a  b ", "é 漢字 🎥", "1000%", "12.5s: x", "<|im_end|>", "<<a>>", "it 's . , !"]
)
def test_awkward_text_round_trips(round_trip, text):
    assert round_trip(text) == text


def test_whole_numbers_and_percentages_are_one_token_each(tokenizer):
    for number in range(1000):
        assert len(tokenizer(str(number)).input_ids) == 1
    for number in range(101):
        assert len(tokenizer(f" {number}%").input_ids) == 1


def test_an_action_is_a_few_tokens_and_its_numbers_stand_alone(tokenizer):
    pieces = [tokenizer.decode([token]) for token in tokenizer(format_zoom((130, 140), 1.6)).input_ids]
    assert pieces == ['<video_zoom>{"segment":[', "130", ",", "140", '],"fps":', "1", ".", "6", "}</video_zoom>"]
    assert len(tokenizer(format_answer("B")).input_ids) == 3


def test_the_same_number_is_the_same_token_in_a_line_and_in_an_action(tokenizer):
    (number,) = tokenizer("130").input_ids
    assert tokenizer("130s: teal 88%").input_ids[0] == number
    assert number in tokenizer("Zoom 130s to 140s").input_ids[2:] or number in tokenizer("\n130s").input_ids
    assert number in tokenizer(format_zoom((130, 140), 2)).input_ids


def test_special_tokens_have_their_roles(tokenizer):
    assert (tokenizer.eos_token, tokenizer.pad_token) == (TURN_END, PAD_TOKEN)
    assert {PAD_TOKEN, TURN_START, TURN_END} <= set(tokenizer.all_special_tokens)
    assert tokenizer.padding_side == "left"


def test_the_vocabulary_is_bounded_and_large_enough_whatever_the_text():
    for texts in ([], ["a b c"], [f"word{number} " * 5 for number in range(3000)]):
        made = train_tokenizer(texts, vocab_size=1700)
        assert 1300 <= len(made) <= 1700


def test_training_is_deterministic(tokenizer):
    texts = ["In the teal scene a card appears.", "gold 88%"] * 4
    one, two = train_tokenizer(texts), train_tokenizer(iter(texts))
    assert one.backend_tokenizer.to_str() == two.backend_tokenizer.to_str()


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)

    text = "<think>teal</think>" + format_zoom((8, 16.5), 2)
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.chat_template == tokenizer.chat_template
    assert loaded.decode(loaded(text).input_ids) == text


@given(text=st.text(max_size=40) | st.text(' \n0123456789abs%:<>/,.{}[]|_"', max_size=40))
def test_the_piece_encoder_is_the_tokenizer(tokenizer, text):
    encode = PieceEncoder(tokenizer)
    expected = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert encode(text) == encode(text) == expected
