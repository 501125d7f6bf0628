"""The scripted teacher of reflection on the needle dataset: it finds what a wrong search missed, and looks there.

It reads texts alone, never the answer key, and leans on `NeedleExpert` for where a scene's slots are and what a zoom
shows. What it adds is to judge looks that another policy took: whether they lie on the scene in question, whether a
slot was left out, or whether all was seen and misread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from vz_env.actions import Zoom, format_zoom, parse_action

from .needle_expert import NeedleExpert
from .policy import Observation, PastTurn
from .repairs import is_request

__all__ = ["NeedleReflector"]

Stretch = tuple[float, float]
"""Start and end in seconds."""

_LEFT: Final = re.compile(r"^Left: .*$", re.MULTILINE)
_MOST_SLOTS: Final = 32
_ELSEWHERE: Final = "not there"
_UNSEEN: Final = "not all seen"
_MISREAD: Final = "look again"


@dataclass(frozen=True, slots=True)
class _Look:
    """A zoom that was taken: where, and the message that it got."""

    stretch: Stretch
    text: str


class NeedleReflector:
    """Names the flaw, zooms `looks` times where it matters, and answers; stateless, as `NeedleExpert` is."""

    name = "NeedleReflector"
    needs_frames = False
    batch_size = 16

    def __init__(self, *, looks: int = 1) -> None:
        """Take how many zooms a repair may take; the published system's takes one."""
        self.looks = looks
        self._expert = NeedleExpert()

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """One action text for each observation."""
        return [self.reply(observation) for observation in observations]

    def reply(self, observation: Observation) -> str:
        """The next action: a look with the flaw before it, or the answer that all looks together give."""
        texts = [*(past.observation_text for past in observation.history), observation.text]
        begun = next((turn for turn, text in enumerate(texts) if is_request(text)), 0)
        slots = self._slots(observation, texts[0])
        looks = _looks(observation.history, texts)
        helpful = sorted(
            (look for look in looks if any(_is_on(look, slot) for slot in slots)), key=lambda one: one.stretch
        )
        unseen = [slot for slot in slots if not any(_is_on(look, slot) for look in helpful)]
        answer = self._answer(observation, texts[0], helpful, is_open=bool(unseen))
        taken = len(texts) - 1 - begun
        is_due = taken == 0 or (taken < self.looks and answer is None)
        if not (is_due and slots and observation.budget["zooms"] > 0):
            return answer or self._answer(observation, texts[0], helpful, is_open=False) or ""
        if not unseen:
            return f"<think>{_MISREAD}</think>{_closer(slots, looks)}"
        flaw = _UNSEEN if looks and looks[-1] in helpful else _ELSEWHERE
        return f"<think>{flaw}</think>{self._look_at(observation, texts[0], slots.index(unseen[0]))}"

    def _slots(self, observation: Observation, overview: str) -> list[Stretch]:
        """The stretches of the scene in question, one a look; none where no zoom helps."""
        slots: list[Stretch] = []
        while len(slots) < _MOST_SLOTS:
            action = parse_action(self._look_at(observation, overview, len(slots)))
            if not isinstance(action, Zoom):
                break
            slots.append(action.segment)
        return slots

    def _look_at(self, observation: Observation, overview: str, number: int) -> str:
        """The zoom, without a note, that the expert takes after so many looks that showed nothing."""
        left = _LEFT.search(observation.text)
        empty = left[0] if left else ""
        return self._ask(observation, [overview, *[empty] * number], zooms=1)

    def _answer(self, observation: Observation, overview: str, looks: list[_Look], *, is_open: bool) -> str | None:
        """The expert's note and answer after these looks; None when it would rather look on, and may."""
        texts = [overview, *(look.text for look in looks)]
        if is_open and isinstance(parse_action(self._ask(observation, texts, zooms=1)), Zoom):
            return None
        return self._ask(observation, texts, zooms=0, is_noted=True)

    def _ask(self, observation: Observation, texts: list[str], *, zooms: int, is_noted: bool = False) -> str:
        """What the expert does when these messages are all that it was shown."""
        history = tuple(PastTurn(text, "") for text in texts[:-1])
        budget = {**observation.budget, "zooms": zooms}
        reply = self._expert.reply(replace(observation, text=texts[-1], history=history, budget=budget))
        return reply if is_noted else reply.rpartition("</think>")[2]


def _looks(history: Sequence[PastTurn], texts: Sequence[str]) -> list[_Look]:
    """The zooms so far that were given frames, in order."""
    found = []
    for past, text in zip(history, texts[1:], strict=True):
        action = parse_action(past.action)
        if isinstance(action, Zoom) and text.startswith("Zoom "):
            found.append(_Look(action.segment, text))
    return found


def _is_on(look: _Look, slot: Stretch) -> bool:
    """Whether a look shows most of a slot."""
    (start, end), (first, last) = look.stretch, slot
    return min(end, last) - max(start, first) > 0.5 * (last - first)


def _closer(slots: Sequence[Stretch], looks: Sequence[_Look]) -> str:
    """A look into the first half of the slot that was looked at last: about as many frames, twice as close."""
    start, end = next((slot for look in reversed(looks) for slot in slots if _is_on(look, slot)), slots[0])
    half = (end - start) / 2
    return format_zoom((start, start + half), max(1, int(10 * 15 / half)) / 10)
