"""The tokenizer of the tiny language model: a byte-level BPE that is trained on the train split's own text.

Whole numbers up to 999, words and the pieces of the action grammar come out as single tokens, because copying a
timestamp is then one look-up instead of several; any other text still round-trips through bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

__all__ = ["CHAT_TEMPLATE", "PAD_TOKEN", "TURN_END", "TURN_START", "PieceEncoder", "train_tokenizer"]

PAD_TOKEN: Final = "<|pad|>"
TURN_START: Final = "<|im_start|>"
TURN_END: Final = "<|im_end|>"

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# One alternative a line: action tags with the JSON they open, JSON between numbers, the tag that closes it, the unit
# behind a timestamp, words, percentages (a fill is read, never copied digit by digit), whole numbers, punctuation,
# single white space.
_PIECES: Final = "|".join(
    (
        r"</?\w+>(?:\{\"segment\":\[)?",
        r"\],\"fps\":",
        r"\}</\w+>",
        r"s:",
        r" ?[A-Za-z]+",
        r" ?\d{1,3}%",
        r"\d{1,3}",
        r"[^\sA-Za-z0-9<]+",
        r"\s",
        r"<",
    )
)


_SPLIT: Final = re.compile(_PIECES)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Train the tokenizer on texts of the train split.

    Every whole number from 0 to 999 is added to the training text often enough to earn a token of its own, so the
    vocabulary holds at least 1,300 entries whatever the text.

    Args:
        texts: observation and action texts; read once.
        vocab_size: upper bound of the vocabulary, special tokens included.

    Returns:
        A fast tokenizer with a ChatML template, left padding and `<|im_end|>` as its end-of-turn token.
    """
    core = Tokenizer(models.BPE(unk_token=None, byte_fallback=False))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=4,
        special_tokens=[PAD_TOKEN, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_with_numbers(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD_TOKEN,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _with_numbers(texts: Iterable[str]) -> Iterable[str]:
    """The texts, then all numbers under 1,000, all percentages and the roles, weighted above any rare word."""
    yield from texts
    numbers = "\n".join(str(number) for number in range(1000))
    percentages = "\n".join(f" {number}%" for number in range(101))
    for _ in range(50):
        yield numbers
        yield percentages
        yield "system\nuser\nassistant\n"


class PieceEncoder:
    """Encodes text of the tiny tokenizer piece by piece with a memory: the same ids, some fifty times faster.

    Merges never cross the pieces that text is first cut into, so the ids of a text are those of its pieces. Generated
    documents repeat a few thousand pieces.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Serve one tokenizer, made by `train_tokenizer`."""
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """Token ids of a text without special tokens."""
        ids: list[int] = []
        for piece in _SPLIT.findall(text):
            known = self._known.get(piece)
            if known is None:
                known = self._known[piece] = list(self._tokenizer(piece, add_special_tokens=False).input_ids)
            ids += known
        return ids
