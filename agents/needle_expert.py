"""Scripted experts for the needle dataset: they read an observation's text, never the answer key.

`NeedleExpert` finds the scene that the question names in the overview, zooms into its slots one after the other, notes
what it sees, and answers once the question is settled. It may be wrong (a short event slips between the frames of a
zoom), so exemplars are kept only when they were graded right. Its note in `<think>` is the scratch pad that the tiny
model learns to use.

`HastyExpert` is the teacher of the cold start: most of the time it gives up after two looks and guesses. Whoever
imitates it learns the grammar, to look where the question points and to read what is there, but not that it pays to go
on looking: that is left to reinforcement learning.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vz_env.actions import format_answer, format_number, format_zoom

from .policy import Observation

__all__ = ["FrameLine", "HastyExpert", "NeedleExpert", "conclude", "read_frame_lines"]

_LINE: Final = re.compile(r"^(\d+(?:\.\d+)?)s: (?:new )?(.+)$", re.MULTILINE)
_SCENE: Final = re.compile(r"(?:the|the right after the) (\w+) scene")
_AFTER: Final = re.compile(r"right after the (\w+) one")
_DURATION: Final = re.compile(r"^Video: (\d+(?:\.\d+)?)s$", re.MULTILINE)
_ZOOM_CAP: Final = re.compile(r"^Left: \d+ zooms?, (\d+) frames", re.MULTILINE)
_JOINERS: Final = {"changes colour": " to ", "right after": " then "}
_NOTHING: Final = "none"
_UNKNOWN: Final = "unknown"  # never right, but legal: an empty answer is a mistake


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One described frame: its time and the colours in it, largest first."""

    time_seconds: float
    colors: tuple[str, ...]


def conclude(note: str, answer: str) -> str:
    """A note that ends in the answer, and the answer: whatever the question, the answer copies what follows `so`.

    The space before the answer makes a word the same token here as in notes and options, to most tokenizers; without it
    a tiny model cannot copy, but must learn for each word that there are two tokens of it.
    """
    return f"<think>{note}, so {answer}</think>{format_answer(f' {answer}')}"


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
        question = observation.episode.question
        search = _Search.read([observation.text, observation.text], question)
        return _order_note(*_read_order(observation.text, question)) if search is None else search.note()

    def reply(self, observation: Observation) -> str:
        """The next action, with its note before it."""
        texts = [*(past.observation_text for past in observation.history), observation.text]
        search = _Search.read(texts, observation.episode.question)
        if search is None:
            scene, answer = _read_order(texts[0], observation.episode.question)
            return conclude(_order_note(scene, answer), answer or _UNKNOWN)
        note = search.note()
        looks = min(observation.budget["zooms"], self.patience(observation) - search.zooms)
        if not search.is_settled() and search.slots_left() and looks > 0:
            start, end = search.slots[search.zooms]
            # As many frames as the cap allows, rounded down to one decimal; at least one frame.
            fps = max(
                math.floor(10 * search.frames_per_zoom / (end - start)) / 10, math.ceil(100 / (end - start)) / 100
            )
            return f"<think>{note}</think>{format_zoom((start, end), fps)}"
        return conclude(note, search.answer() or self.guess(observation, search.seen))

    def patience(self, observation: Observation) -> int:
        """Most looks that this expert takes in this episode."""
        return observation.budget["zooms"] + len(observation.history)

    def guess(self, observation: Observation, seen: Sequence[str] = ()) -> str:
        """What it answers when what it has seen settles nothing; it is legal, and never right."""
        return _UNKNOWN


class HastyExpert(NeedleExpert):
    """Gives up after `looks` zooms in most episodes, and then takes the first option that may be right.

    In which episodes is drawn from their ids and texts, so `act` stays stateless and the same episode is played alike.
    """

    name = "HastyExpert"

    def __init__(self, *, looks: int = 2, patient_share: float = 0.1) -> None:
        """Take how soon it gives up.

        Args:
            looks: zooms after which it does.
            patient_share: share of the episodes in which it looks everywhere all the same.
        """
        self.looks = looks
        self.patient_share = patient_share

    def patience(self, observation: Observation) -> int:
        """As many looks as the budget allows in `patient_share` of the episodes, else `looks`."""
        is_patient = _draw(observation) < self.patient_share
        return super().patience(observation) if is_patient else self.looks

    def guess(self, observation: Observation, seen: Sequence[str] = ()) -> str:
        """The first option, or the first that begins with what was seen; options are shuffled, so this is chance."""
        options = observation.episode.options
        likely = [option for option in options if seen and option.split()[0] == seen[0]] or options
        return likely[0] if likely else super().guess(observation)


def _draw(observation: Observation) -> float:
    """A number in [0, 1) that is the same at every turn of an episode."""
    digest = hashlib.sha256(f"{observation.episode.id} {observation.episode.question}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


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
        """Card colours in order of time over all zooms; where colours are asked for, each once."""
        colors = [color for sighting in self.sightings for color in sighting]
        return colors if self.is_count else list(dict.fromkeys(colors))

    @property
    def joiner(self) -> str:
        """What the note puts between colours whose order matters; empty where one colour is asked for, or a count."""
        return next((joiner for words, joiner in _JOINERS.items() if words in self.question), "")

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
        return len(self.seen) >= (2 if self.joiner else 1)

    def note(self) -> str:
        """The scene before the first zoom; then what the last zoom showed, and all so far where one look may not do.

        The answer stands in the note, or what it is copied from does: a small model copies well and infers badly.
        """
        if not self.sightings:
            if not self.slots:
                return f"no {self.scene}"
            return f"in the {self.scene}: new {self.scene},{format_number(self.slots[0][0])}"
        saw = f"I saw {' '.join(self.sightings[-1]) or _NOTHING}"
        if self.is_count:
            new, total = len(self.sightings[-1]), len(self.seen)
            return f"{saw}, {total - new}+{new}={total}"
        return f"{saw}: {self.joiner.join(self.seen) or _NOTHING}" if self.joiner else saw

    def answer(self) -> str:
        """The answer that what was seen gives; empty when nothing was."""
        seen = self.seen
        if self.is_count:
            return str(len(seen)) if seen else ""
        if "changes colour" in self.question:
            return " to ".join(seen[:2]) if len(seen) > 1 else ""
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


def _read_order(overview: str, question: str) -> tuple[str, str]:
    """The scene that the question names, "" for none, and the scene that comes right after it, or last."""
    scenes: list[str] = []
    for line in read_frame_lines(overview):
        if line.colors and line.colors[0] not in scenes[-1:]:
            scenes.append(line.colors[0])
    found = _SCENE.search(question)
    if found:
        later = scenes[scenes.index(found[1]) + 1 :] if found[1] in scenes else []
        return found[1], later[0] if later else ""
    return "", scenes[-1] if scenes else ""


def _order_note(scene: str, answer: str) -> str:
    """The note of a question about the order of scenes."""
    return f"after the {scene}: then {scene} {answer}" if scene else f"the last {answer}"
