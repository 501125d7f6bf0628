r"""How official scorers read a reply, quirks and all, beside our own strict reading: parsers by name, and no guess.

Each takes what the policy said and the options, and returns the indices it reads: usually one, none when the reply
names no option, several where the official scorer accepts any of several. They are written anew from the rules' words:

- `strict`: the last `<answer>`, else the whole reply: a letter, a boxed one, or exactly one option's text;
- `letter`: the reply is the letter and nothing else;
- `mlvu_official`: the character before the first `)`, else the whole reply;
- `videozoomer_openr1`: inside the last tags a letter, a boxed one, else the last capital before a period;
- `cgbench_official`: a JSON block with `result`, else every capital A to H standing alone, any of which may be right;
- `vnbench_official`: the first of A, B, C, D that the reply contains anywhere, so that "Answer: C" is A;
- `videoholmes_official`: `A:`, `[A` and the like inside the tags or anywhere, else the first capital contained;
- `mmmu`: letters in brackets, then letters alone, then an option's text; the last place wins;
- `lmms_mcq`: start, end, "answer is X", `(A)`, `A.`, `A:`, `A)`, any letter alone; the last place wins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vz_env.errors import ConfigError
from vz_env.scoring import extract_choice

__all__ = ["PARSERS", "PARSER_VERSION", "Parser", "find_parser", "mmmu_open_is_right", "reply_text"]

Parser = Callable[[str, Sequence[str]], tuple[int, ...]]

PARSER_VERSION: Final = 1
"""Grows whenever a parser here may read a reply otherwise."""

MAX_REPLY_CHARS: Final = 65_536
_BOXED: Final = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}")
_NUMBER: Final = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|-?\.\d+")


def reply_text(reply: str) -> str:
    """What a one-shot scorer would have seen of a reply: inside the last closed `<answer>`, else after the thinking."""
    reply = reply[-MAX_REPLY_CHARS:]
    end = reply.rfind("</answer>")
    start = reply.rfind("<answer>", 0, end) if end >= 0 else -1
    if start >= 0:
        return reply[start + len("<answer>") : end].strip()
    return reply.rpartition("</think>")[2].strip()


def find_parser(name: str) -> Parser:
    """The parser of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PARSERS:
        raise ConfigError(f"no parser is called {name!r}; there are {', '.join(PARSERS)}")
    return PARSERS[name]


def _letters(options: Sequence[str]) -> str:
    return "".join(chr(ord("A") + index) for index in range(len(options)))


def _indices(letters: str, options: Sequence[str]) -> tuple[int, ...]:
    """Letters as indices, in order, without those beyond the options."""
    offered = _letters(options)
    return tuple(dict.fromkeys(offered.index(letter) for letter in letters if letter in offered))


def _strict(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    index = extract_choice(reply_text(reply), options)
    return () if index is None else (index,)


def _letter(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    return _indices(text, options) if len(text) == 1 else ()


def _mlvu(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    place = text.find(")")
    text = text[max(0, place - 1) : place] if place >= 0 else text
    return _indices(text, options) if len(text) == 1 else ()


def _openr1(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    reply = reply[-MAX_REPLY_CHARS:]
    end = reply.rfind("</answer>")
    start = reply.rfind("<answer>", 0, end) if end >= 0 else -1
    if start < 0:
        return ()
    text = reply[start + len("<answer>") : end].strip()
    if len(text) == 1:
        return _indices(text, options)
    boxed = _BOXED.findall(text)
    if boxed:
        return _indices(boxed[-1].strip(), options) if len(boxed[-1].strip()) == 1 else ()
    named = re.findall(r"([A-Z])\.", text)
    return _indices(named[-1], options) if named else ()


def _cgbench(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            value = json.loads(text[start : end + 1])
            result = value.get("result") if isinstance(value, dict) else None
        except (ValueError, RecursionError):
            result = None
        if isinstance(result, str) and result.strip():
            return _indices("".join(re.findall(r"\b[A-H]\b", result)), options)
    return _indices("".join(re.findall(r"\b[A-H]\b", text)), options)


def _vnbench(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    return _indices(next((letter for letter in "ABCD" if letter in text), ""), options)


def _videoholmes(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    offered = _letters(options)
    for form in ("{} ", "{}:", "{}.", "[{}", "({}"):
        for letter in offered:
            if form.format(letter) in text:
                return _indices(letter, options)
    return _indices(next((letter for letter in offered if letter in text), ""), options)


def _mmmu(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply).strip(",.!?;:'")
    padded = f" {text} "
    offered = _letters(options)
    for form in ("({})", " {} ", " {}. ", " {}, "):
        places = {letter: padded.rfind(form.format(letter)) for letter in offered}
        if max(places.values(), default=-1) >= 0:
            return _indices(max(places, key=lambda letter: places[letter]), options)
    if len(text.split()) > 5 or len(text) > 1:
        low = text.lower()
        found = {index: low.rfind(option.lower()) for index, option in enumerate(options) if option.strip()}
        if max(found.values(), default=-1) >= 0:
            return (max(found, key=lambda index: found[index]),)
    return ()


def _lmms(reply: str, options: Sequence[str]) -> tuple[int, ...]:
    text = reply_text(reply)
    one = f"[{_letters(options)}]" if options else "[]"
    patterns = (
        rf"^\s*\(?({one})(?:\)|\.|:)?(?:\s|$)",
        rf"(?:^|[\s(])({one})\)?\.?\s*$",
        rf"(?i:answer|option|choice)(?i:\s+is)?\s*:?\s*\(?({one})\b",
        rf"\(({one})\)",
        rf"\b({one})\.",
        rf"\b({one}):",
        rf"\b({one})\)",
        rf"\b({one})\s",
        rf"\b({one})\b",
    )
    for pattern in patterns:
        found = re.findall(pattern, text)
        if found:
            return _indices(found[-1], options)
    return ()


PARSERS: Final[Mapping[str, Parser]] = {
    "strict": _strict,
    "letter": _letter,
    "mlvu_official": _mlvu,
    "videozoomer_openr1": _openr1,
    "cgbench_official": _cgbench,
    "vnbench_official": _vnbench,
    "videoholmes_official": _videoholmes,
    "mmmu": _mmmu,
    "lmms_mcq": _lmms,
}


def mmmu_open_is_right(reply: str, truths: Sequence[str]) -> bool:
    """Whether a free answer holds a right one: the same number to two decimals, or a right text within it."""
    text = reply_text(reply).lower()
    numbers = {round(float(match.replace(",", "")), 2) for match in _NUMBER.findall(text)}
    for truth in truths:
        bare = truth.strip().lower()
        if _NUMBER.fullmatch(bare):
            if round(float(bare.replace(",", "")), 2) in numbers:
                return True
        elif bare and bare in text:
            return True
    return False
