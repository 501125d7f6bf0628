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

_ASKED: Final = ("Which card", "What colour", "What", "How many", "How many times", "Which one", "What comes first")
_SHARES: Final = {"new": 6, "then": 2, "last": 1, "saw": 2}
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
    question, note = _ask(random, listed)
    options = "".join(f"{letter}. {random.choice(VIVID)}\n" for letter in "ABCD")
    turns = [(f"{question}\n{options}Video: {listed.end}s\n{listed.text}{left_line(random)}", note)]
    for _ in range(random.randint(1, 4)):
        text, seen = draw_close_look(random, random.randint(*_CLOSE_LINES))
        turns.append((text.removesuffix("\n"), f"<think>I saw{seen}</think>"))
    return turns + [_ask(random, listed) for _ in range(_LATER_QUESTIONS)]


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
                    f"In the {scene} scene, {asked.lower()} after the {other} one?",
                )
            )
            return f"Question: {where}", f"<think>in the {scene}: new {scene},{found.split(',')[0]}</think>"
        case "then":
            note = f"<think>after the {scene}: then {scene}{found}</think>"
            return f"Question: {asked} after the {scene} scene?", note
        case "last":
            return f"Question: {asked} is the last one?", f"<think>the last{found}</think>"
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
