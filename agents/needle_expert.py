"""Scripted experts for the needle dataset: they read an observation's text, never the answer key.

`NeedleExpert` finds the scene that the question names in the overview, zooms into its slots one after the other, notes
what it sees, and answers once the question is settled. It may be wrong (a short event slips between the frames of a
zoom), so exemplars are kept only when they were graded right. Its note in `<think>` is the scratch pad that the tiny
model learns to use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vz_env.actions import format_answer, format_number, format_zoom

from .policy import Observation

__all__ = ["FrameLine", "NeedleExpert", "read_frame_lines"]

_LINE: Final = re.compile(r"^(\d+(?:\.\d+)?)s: (?:new )?(.+)$", re.MULTILINE)
_SCENE: Final = re.compile(r"(?:the|the right after the) (\w+) scene")
_AFTER: Final = re.compile(r"right after the (\w+) one")
_DURATION: Final = re.compile(r"^Video: (\d+(?:\.\d+)?)s$", re.MULTILINE)
_ZOOM_CAP: Final = re.compile(r"^Left: \d+ zooms?, (\d+) frames", re.MULTILINE)
_NOTHING: Final = "none"
_UNKNOWN: Final = "unknown"  # never right, but legal: an empty answer is a mistake


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One described frame: its time and the colours in it, largest first."""

    time_seconds: float
    colors: tuple[str, ...]


def read_frame_lines(text: str) -> list[FrameLine]:
    """The described frames of a message, in its order."""
    return [
        FrameLine(float(time), tuple(part.rsplit(" ", 1)[0] for part in words.split(", ")))
        for time, words in _LINE.findall(text)
    ]


class NeedleExpert:
    """Zooms slot by slot through the scene in question; `act` is stateless, all it needs is in the observation."""

    name = "NeedleExpert"
    needs_frames = False
    batch_size = 16

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """One action text for each observation."""
        return [self.reply(observation) for observation in observations]

    def overview_note(self, observation: Observation) -> str:
        """What the first message shows of the events in question, for a policy that sees nothing else."""
        search = _Search.read([observation.text, observation.text], observation.episode.question)
        return "" if search is None else search.note()

    def reply(self, observation: Observation) -> str:
        """The next action, with its note before it."""
        texts = [*(past.observation_text for past in observation.history), observation.text]
        search = _Search.read(texts, observation.episode.question)
        if search is None:
            order = _read_order(texts[0], observation.episode.question)
            return _with_note("", format_answer(order or _UNKNOWN))
        note = search.note()
        if not search.is_settled() and search.slots_left() and observation.budget["zooms"] > 0:
            start, end = search.slots[search.zooms]
            # As many frames as the cap allows, rounded down to one decimal; at least one frame.
            fps = max(
                math.floor(10 * search.frames_per_zoom / (end - start)) / 10, math.ceil(100 / (end - start)) / 100
            )
            return _with_note(note, format_zoom((start, end), fps))
        return _with_note(note, format_answer(search.answer() or _UNKNOWN))


@dataclass(slots=True)
class _Search:
    """What a question about one scene asks for and what the zooms so far have shown."""

    scene: str
    question: str
    slots: list[tuple[float, float]]
    frames_per_zoom: int
    zooms: int
    sightings: list[list[str]]  # per zoom: the card colours in order, one entry a run

    @classmethod
    def read(cls, texts: list[str], question: str) -> _Search | None:
        """Read the texts so far; None when the question is about the order of scenes, which no zoom settles."""
        found = _SCENE.search(question)
        if question.startswith("Which scene") or found is None:
            return None
        scene, lines = found[1], read_frame_lines(texts[0])
        duration, cap = _DURATION.search(texts[0]), _ZOOM_CAP.search(texts[-1])
        times = [line.time_seconds for line in lines] + ([float(duration[1])] if duration else [])
        slots = [
            (line.time_seconds, end) for line, end in zip(lines, times[1:], strict=False) if line.colors[0] == scene
        ]
        sightings = [_cards(text, scene) for text in texts[1:]]
        return cls(scene, question, slots, int(cap[1]) if cap else 16, len(sightings), sightings)

    @property
    def seen(self) -> list[str]:
        """Card colours in order of time over all zooms."""
        return [color for sighting in self.sightings for color in sighting]

    @property
    def is_count(self) -> bool:
        """Whether every slot of the scene must be looked at."""
        return self.question.startswith("How many")

    def slots_left(self) -> bool:
        """Whether a slot of the scene has not been looked at."""
        return self.zooms < len(self.slots)

    def is_settled(self) -> bool:
        """Whether what was seen is enough to answer."""
        if self.is_count:
            return False
        needed = 2 if "right after" in self.question or "changes colour" in self.question else 1
        return len(self.seen) >= needed

    def note(self) -> str:
        """The scene before the first zoom; then what the last zoom showed, or the count so far."""
        if not self.sightings:
            return f"first new {self.scene},{format_number(self.slots[0][0])}" if self.slots else f"no {self.scene}"
        if self.is_count:
            return f"saw {len(self.seen)}"
        return f"saw {' '.join(self.sightings[-1]) or _NOTHING}"

    def answer(self) -> str:
        """The answer that what was seen gives; empty when nothing was."""
        seen = self.seen
        if self.is_count:
            return str(len(seen))
        if "changes colour" in self.question:
            return " to ".join(seen[:2])
        after = _AFTER.search(self.question)
        if after:
            later = seen[seen.index(after[1]) + 1 :] if after[1] in seen else seen
            return later[0] if later else ""
        return seen[0] if seen else ""


def _cards(text: str, scene: str) -> list[str]:
    """The card colours of a zoom in order, each run of frames once; neutrals are clutter."""
    runs: list[str] = []
    previous = ""
    for line in read_frame_lines(text):
        vivid = [color for color in line.colors if color not in (scene, "black", "gray", "silver", "white")]
        current = vivid[0] if scene in line.colors and vivid else ""
        if current and current != previous:
            runs.append(current)
        previous = current
    return runs


def _read_order(overview: str, question: str) -> str:
    """Which scene is last, or comes right after the one named."""
    scenes: list[str] = []
    for line in read_frame_lines(overview):
        if line.colors and line.colors[0] not in scenes[-1:]:
            scenes.append(line.colors[0])
    found = _SCENE.search(question)
    if found and found[1] in scenes[:-1]:
        return scenes[scenes.index(found[1]) + 1]
    return scenes[-1] if scenes else ""


def _with_note(note: str, action: str) -> str:
    return f"<think>{note}</think>{action}"
