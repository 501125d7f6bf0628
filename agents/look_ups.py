"""Generated lists as an overview or a zoom shows them, and look-ups on them: what the look-up curriculum is made of.

Nothing here comes from a video, a question or an answer of any dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from vz_env.actions import format_number
from vz_env.video.palette import NEUTRALS, VIVID

__all__ = ["LookUpList", "draw_close_look", "draw_overview", "left_line", "look_up", "look_up_document"]

_MAX_NUMBER: Final = 999
_LOOK_UP_SHARES: Final = {"copy": 22, "at": 6, "next": 12, "new": 32, "saw": 8, "then": 16, "last": 4}
_LOOK_UPS: Final = 14
_MOST_LOOK_UPS: Final = 32
_CARD_SHARE: Final = 0.06  # of an overview's lines
_CLOSE_SHARE: Final = 0.35
_CLOSE_LINES: Final = 16
_CLOSE_LISTS: Final = 4


@dataclass(frozen=True, slots=True)
class LookUpList:
    """A generated overview: per line its time, scene and card (or ""), and the time after the last line."""

    times: list[int]
    scenes: list[str]
    beside: list[str]
    end: int
    text: str

    def following(self, at: int) -> int:
        """The time of the line after this one."""
        return [*self.times[1:], self.end][at]


def look_up_document(random: Random, lines: int) -> list[tuple[str, str]]:
    """One document as pieces of text; with each that the model is to write, the kind of look-up that it answers.

    Args:
        random: the generator to draw from.
        lines: lines of the list, at least 2.
    """
    if random.random() < _CLOSE_SHARE:
        looks = [draw_close_look(random, min(lines, _CLOSE_LINES)) for _ in range(_CLOSE_LISTS)]
        return [piece for text, answer in looks for piece in ((f"{text} saw", ""), (answer, "close"))]
    listed = draw_overview(random, lines)
    kind, asked, answer = _ask(random, listed)
    shown = f"Question:{asked}\nVideo: {listed.end}s\n{listed.text}{left_line(random)}\n{asked}"
    pieces = [(shown, ""), (answer, kind)]
    for _ in range(max(_LOOK_UPS, min(lines, _MOST_LOOK_UPS))):
        kind, asked, answer = _ask(random, listed)
        pieces += [(f"\n{asked}", ""), (answer, kind)]
    return pieces


def draw_overview(random: Random, lines: int) -> LookUpList:
    """An overview: scenes of a few lines of one colour, evenly spaced in time; some lines show a card or a neutral."""
    spacing = random.randint(3, 19)
    start = random.randint(0, max(0, _MAX_NUMBER - spacing * (lines + 1)))
    pool = random.sample(VIVID, len(VIVID))
    times, scenes, beside, text = [], [], [], []
    while len(times) < lines:
        scene = pool[len(set(scenes)) % len(pool)]
        card = random.choice([color for color in VIVID if color != scene])
        for position in range(random.randint(1 if lines < 12 else 2, max(4, lines // 6))):
            if len(times) == lines:
                break
            times.append(start + spacing * len(times))
            scenes.append(scene)
            beside.append(card if random.random() < _CARD_SHARE else "")
            text.append(f"{times[-1]}s: {'' if position else 'new '}{_line(random, scene, beside[-1])}\n")
    return LookUpList(times, scenes, beside, times[-1] + spacing, "".join(text))


def draw_close_look(random: Random, lines: int, *, card: str = "") -> tuple[str, str]:
    """A close look, and what it shows: one scene throughout, and up to two cards for a few lines each.

    Args:
        random: the generator to draw from.
        lines: frames of the look.
        card: the colour of all cards; empty: drawn.
    """
    start = random.randint(0, _MAX_NUMBER - lines)
    step = random.uniform(0.5, 1.0)
    scene, *cards = random.sample(VIVID, 3)
    if card:
        scene, cards = next(color for color in (scene, *cards) if color != card), [card, card]
    beside = [""] * lines
    at = random.randrange(lines)
    for color in cards[: random.choice((0, 1, 1, 2, 2))]:
        if random.random() < 0.5:  # else right after the last one
            at = random.randrange(lines)
        length = random.randint(1, 3)
        beside[at : at + length] = [color] * len(beside[at : at + length])
        at = min(lines - 1, at + length)
    text = [
        f"{format_number(start + step * position)}s: {'' if position else 'new '}{_line(random, scene, color)}\n"
        for position, color in enumerate(beside)
    ]
    span = f"Zoom {start}s to {format_number(start + step * lines)}s\n"
    return f"{span}{''.join(text)}{left_line(random)}\n", in_order(beside)


def left_line(random: Random) -> str:
    """How messages of the environment end."""
    return f"Left: {random.randint(1, 5)} zooms, 16 frames each"


def _line(random: Random, scene: str, card: str) -> str:
    """A described frame: the scene, the card if there is one, and a neutral or two or none."""
    shown = [f"{scene} {random.randint(40, 95)}%"]
    if card:
        shown.append(f"{card} {random.randint(20, 40)}%")
    neutrals = random.sample(NEUTRALS, random.choice((0, 1, 1, 2)))
    return ", ".join([*shown, *(f"{color} {random.randint(8, 35)}%" for color in neutrals)])


def in_order(beside: list[str]) -> str:
    """Which cards a stretch of lines shows, in order, each run once."""
    runs = [card for card, before in zip(beside, ["", *beside], strict=False) if card != before]
    return f" {' '.join(card for card in runs if card) or 'none'}"


def _ask(random: Random, listed: LookUpList) -> tuple[str, str, str]:
    """A look-up: its kind, what is asked, its answer.

    It asks for a line to be copied out, what is at a time, where a scene begins, what it shows, and so on.
    Half of the look-ups put a comma behind what is asked for, and so does their kind. Without it the token to look up
    is the last one read; with it, it must be fetched first, as the numbers of an action must. The first form is learned
    first and carries the second.
    """
    at = random.randrange(len(listed.times))
    comma = random.choice(("", ","))
    (kind,) = random.choices(tuple(_LOOK_UP_SHARES), tuple(_LOOK_UP_SHARES.values()))
    now, scene = listed.times[at], listed.scenes[at]
    if kind == "last":
        return kind, " last", f" {listed.scenes[-1]}"
    if kind == "copy":
        line = listed.text.split("\n")[at].removeprefix(str(now))
        return kind, f"{now}", line if at + 1 == len(listed.times) else f"{line}\n{listed.following(at)}"
    asked = now if kind in ("at", "next") else scene
    return f"{kind}{comma}", f" {kind} {asked}{comma}", look_up(kind, listed, at)


def look_up(kind: str, listed: LookUpList, at: int) -> str:
    """The answer to a look-up that asks for a line's time or scene."""
    scene = listed.scenes[at]
    first = listed.scenes.index(scene)
    match kind:
        case "at":
            return f" {scene}"
        case "next":
            return f"{listed.following(at)}"
        case "new":  # a zoom begins where a scene does: the look-up that matters most
            return f"{listed.times[first]},{listed.following(first)}"
        case "saw":
            pairs = zip(listed.beside, listed.scenes, strict=True)
            return in_order([card if other == scene else "" for card, other in pairs])
        case _:
            later = [other for other in listed.scenes[first:] if other != scene]
            return f" {later[0] if later else 'end'}"
