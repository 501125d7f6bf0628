"""Rehearsals: conversations about generated lists, in which the model only takes notes.

After the look-up curriculum the model can look up, but not yet in a conversation: what to look up stands in a question
above the list, and what it finds goes into a `<think>` note. A rehearsal asks for such notes, many about one overview.
It holds no action: whether to zoom, for how long to go on and when to answer is left to the exemplars and to
reinforcement. Nothing in it comes from a video, a question or an answer of any dataset.
"""

from __future__ import annotations

from random import Random
from typing import Final

from vz_env.video.palette import VIVID

from .batching import Example
from .chat import ChatRenderer
from .look_ups import LookUpList, draw_close_look, draw_overview, left_line, look_up

__all__ = ["draw_rehearsal", "rehearsal_example"]

_ASKED: Final = ("Which card", "What colour", "What", "Which", "Which two", "Which one", "What comes first")
_SHARES: Final = {"new": 6, "then": 2, "last": 1, "saw": 2}
_MEMORIES: Final = {"": 2, "+": 1, " to ": 1, " then ": 1}
"""How a conversation's notes keep what earlier looks showed: not at all, as a sum, or in order; and how often."""
_FEWEST_LINES, _MOST_LINES = 12, 36
_LONG_LINES: Final = 72
_LONG_SHARE: Final = 0.1
_CLOSE_LINES: Final = (13, 16)
_LATER_QUESTIONS: Final = 5


def draw_rehearsal(random: Random) -> list[tuple[str, str]]:
    """A conversation: messages, and the note that answers each.

    The first message shows an overview below a question, as an episode does; then come close looks, then more questions
    about the overview.
    """
    lines = random.randint(_FEWEST_LINES, _MOST_LINES)
    listed = draw_overview(random, random.randint(lines, _LONG_LINES) if random.random() < _LONG_SHARE else lines)
    (memory,) = random.choices(tuple(_MEMORIES), tuple(_MEMORIES.values()))
    question, note = _ask_for_memory(random, listed, memory) if memory else _ask(random, listed)
    options = _draw_options(random, memory)
    lettered = "".join(f"{letter}. {option}\n" for letter, option in zip("ABCD", options, strict=True))
    turns = [(f"{question}\n{lettered}Video: {listed.end}s\n{listed.text}{left_line(random)}", note)]
    card = random.choice(VIVID) if memory == "+" else ""
    seen: list[str] = []
    looks = random.randint(1, 4)
    for look in range(1, looks + 1):
        text, shown = draw_close_look(random, random.randint(*_CLOSE_LINES), card=card)
        new = [color for color in shown.split() if color != "none"]
        seen = [*seen, *new] if memory == "+" else list(dict.fromkeys([*seen, *new]))
        note, conclusion = f"I saw{shown}{_remembered(memory, seen, len(new))}", _conclusion(memory, seen)
        is_last = look == looks or (conclusion and memory != "+")
        if is_last:
            note += f", so {conclusion or _first_likely(options, seen)}"
        turns.append((text.removesuffix("\n"), f"<think>{note}</think>"))
        if is_last:
            break
    return turns + [_ask(random, listed) for _ in range(_LATER_QUESTIONS)]


def _draw_options(random: Random, memory: str) -> list[str]:
    """Four options of the kind that a question has, the right one among them or not."""
    if memory == "+":
        return random.sample(["1", "2", "3", "4"], 4)
    firsts, seconds = random.sample(VIVID, 4), random.sample(VIVID, 4)
    return [memory.join(pair) for pair in zip(firsts, seconds, strict=True)] if memory == " to " else firsts


def _conclusion(memory: str, seen: list[str]) -> str:
    """What follows from all looks so far; empty where nothing does."""
    if memory == "+":
        return str(len(seen)) if seen else ""
    if memory == " to ":
        return memory.join(seen[:2]) if seen[1:] else ""
    if memory == " then ":
        return seen[1] if seen[1:] else ""
    return seen[0] if seen else ""


def _first_likely(options: list[str], seen: list[str]) -> str:
    """The first option, or the first that begins with what was seen."""
    return next((option for option in options if seen and option.split()[0] == seen[0]), options[0])


def _ask_for_memory(random: Random, listed: LookUpList, memory: str) -> tuple[str, str]:
    """A question that one close look may not settle, and the note of where to begin."""
    at = random.randrange(len(listed.times))
    scene, other = listed.scenes[at], random.choice(VIVID)
    where = {
        "+": f"How many {other} cards are in the {scene} scene?",
        " to ": f"In the {scene} scene, which changes are there, from what into what?",
        " then ": f"In the {scene} scene: what is right after the {other} one?",
    }[memory]
    return f"Question: {where}", _where_it_begins(listed, at)


def _remembered(memory: str, seen: list[str], new: int) -> str:
    """What the note of a close look says of all looks so far: a sum, or the colours in order, or nothing."""
    if memory == "+":
        return f", {len(seen) - new}+{new}={len(seen)}"
    return f": {memory.join(seen) or 'none'}" if memory else ""


def _where_it_begins(listed: LookUpList, at: int) -> str:
    """The note of where the scene of a line begins."""
    scene = listed.scenes[at]
    return f"<think>in the {scene}: new {scene},{look_up('new', listed, at).split(',')[0]}</think>"


def _ask(random: Random, listed: LookUpList) -> tuple[str, str]:
    """A question about the overview, and its note."""
    (kind,) = random.choices(tuple(_SHARES), tuple(_SHARES.values()))
    at = random.randrange(len(listed.times))
    scene, other, asked = listed.scenes[at], random.choice(VIVID), random.choice(_ASKED)
    found = look_up(kind, listed, at) if kind != "last" else f" {listed.scenes[-1]}"
    match kind:
        case "new":
            where = random.choice(
                (
                    f"In the {scene} scene: {asked.lower()}?",
                    f"{asked} in the {scene} scene?",
                    f"{asked} with the {other} card in the {scene} scene?",
                    f"In the {scene} scene, {asked.lower()} with the {other} one?",
                )
            )
            return f"Question: {where}", _where_it_begins(listed, at)
        case "then":
            note = f"<think>after the {scene}: then {scene}{found}, so{found}</think>"
            return f"Question: {asked} after the {scene} scene?", note
        case "last":
            return f"Question: {asked} is the last one?", f"<think>the last{found}, so{found}</think>"
        case _:
            return f"Question: {asked} was seen in the {scene} scene?", f"<think>I saw{found}</think>"


def rehearsal_example(random: Random, chat: ChatRenderer) -> Example:
    """A rehearsal as token ids, masked to its notes."""
    ids: list[int] = []
    mask: list[int] = []
    for number, (message, note) in enumerate(draw_rehearsal(random)):
        shown, written = chat.next(message) if number else chat.first(message), chat.reply_ids(note)
        ids += shown + written
        mask += [0] * len(shown) + [1] * len(written)
    return Example(ids, mask)
