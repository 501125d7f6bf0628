"""Text of a dataset stays text: what could be read as a role or an image token is broken by an invisible character.

Trainers that read these formats look for `<image>` in the text and tokenise what spells a special token as one. A word
joiner (U+2060) after the bracket breaks it, and is taken out again on import. Only our own action tags pass unbroken.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["IMAGE", "escape_tokens", "unescape_tokens"]

IMAGE: Final = "<image>"
"""The placeholder of a picture in the formats that keep pictures beside the text."""

_JOINER: Final = "\u2060"
_OWN: Final = r"/?(?:think|answer|video_zoom|subtitle_search|tool_call|tool_response)>|frame\d{1,9}_time[\d.]{1,16}s>"
# Possessive: the joiners that are there are counted once, so that adding one and taking one out undo each other.
_TAG: Final = re.compile(rf"<({_JOINER}*+)(?!{_OWN})(?=[|\uff5c]|[^\s<>]{{1,128}}>)")
_MARK: Final = re.compile(rf"\[({_JOINER}*+)(?=/?[a-z]?[A-Z_]{{2,32}}\])")


def escape_tokens(text: str) -> str:
    """Break whatever a tokenizer or a trainer could take for a token of its own.

    Lone surrogates, which UTF-8 cannot carry, become question marks; everything else comes back by `unescape_tokens`.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _MARK.sub(rf"[\1{_JOINER}", _TAG.sub(rf"<\1{_JOINER}", text))


def unescape_tokens(text: str) -> str:
    """Take out what `escape_tokens` put in."""
    for pattern, bracket in ((_MARK, "["), (_TAG, "<")):
        text = pattern.sub(lambda match, bracket=bracket: bracket + match[1][1:], text)
    return text
