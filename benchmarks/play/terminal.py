"""`vz play` in a terminal: the question and the timeline as text, frames as coloured blocks where colours are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from vz_env.episode import Segment
from vz_env.errors import ConfigError, VideoError
from vz_env.prompts import format_seconds
from vz_env.render import timeline

from ..viewer import clean_text
from .session import PlayedTurn, PlaySession

__all__ = ["HELP", "play_in_terminal"]

HELP: Final = """\
z START END [FPS]   zoom into a segment, in seconds; without FPS as closely as the budget allows
a ANSWER            answer: the letter of an option, or the answer itself; a letter alone does too
t                   the timeline
h                   this help
n                   another episode
q                   leave
Anything in tags, such as <video_zoom>{"segment":[10,20],"fps":1}</video_zoom>, goes to the environment as it is."""

_CELL_WIDTH, _CELL_HEIGHT = 24, 16  # pixels of a frame: a character shows two of them, one above the other


def play_in_terminal(
    session: PlaySession, console: Console, read: Callable[[str], str], *, episode_id: str | None, seed: int | None
) -> None:
    """Play until the person leaves.

    Args:
        session: what is played.
        console: where it is shown.
        read: asks for a line; raises EOFError at the end of the input.
        episode_id: the first episode, None for any.
        seed: chooses it.
    """
    session.begin(episode_id, seed=seed)
    _show_turn(session, console, session.turns[-1])
    _say(console, "z START END zooms, a LETTER answers, h for help")
    while True:
        try:
            line = read(f"{session.budget['turns']} turns, {session.budget['zooms']} zooms > ").strip()
        except EOFError:
            return
        if line in {"q", "quit", "exit"}:
            return
        try:
            _obey(session, console, line)
        except (ConfigError, VideoError) as fault:
            _say(console, str(fault))


def _obey(session: PlaySession, console: Console, line: str) -> None:
    """Do what one line asks for."""
    word, _, rest = line.partition(" ")
    if not line or word in {"h", "help", "?"}:
        _say(console, HELP)
    elif word in {"t", "timeline"}:
        _show_timeline(session, console)
    elif word in {"n", "next"}:
        session.begin()
        _show_turn(session, console, session.turns[-1])
    elif session.outcome is not None:
        _say(console, "This episode is over: n for another one, q to leave.")
    elif word in {"z", "zoom"}:
        _show_turn(session, console, session.zoom(*_numbers(rest)))
    elif word in {"a", "answer"}:
        _show_turn(session, console, session.answer(rest))
    elif len(line) == 1 and line.isalpha() and session.episode.options:
        _show_turn(session, console, session.answer(line.upper()))
    elif line.startswith("<"):
        _show_turn(session, console, session.act(line))
    else:
        _say(console, f"What is {line!r}? h for help; nothing was spent.")


def _numbers(words: str) -> list[float]:
    """The two or three numbers of a zoom."""
    try:
        numbers = [float(word.rstrip("s")) for word in words.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise ConfigError(f"a zoom wants START END or START END FPS in seconds, got {words!r}; nothing was spent")
    return numbers


def _show_turn(session: PlaySession, console: Console, turn: PlayedTurn) -> None:
    """Show what a turn brought; with the end of the episode the outcome."""
    if session.outcome is not None:
        _show_outcome(session, console)
        return
    if len(turn.frames) and console.color_system:
        console.print(_pictures(turn.frames, turn.timestamps, console.width))
    _say(console, turn.text)
    if turn.kind == "zoom":
        _show_timeline(session, console)


def _show_outcome(session: PlaySession, console: Console) -> None:
    """Say how it went."""
    outcome = session.outcome
    if outcome is None:
        return
    verdict = {None: "Not graded", 1.0: "Right", 0.0: "Wrong"}.get(outcome.score, "Partly right")
    answered = f"you answered {outcome.answer}" if outcome.answer is not None else f"no answer ({outcome.end_reason})"
    _say(console, f"{verdict}: {answered}; the answer is {outcome.truth}.")
    _say(console, f"Reward {outcome.reward:g}, {outcome.frames_used} frames looked at.")
    _show_timeline(session, console)


def _show_timeline(session: PlaySession, console: Console) -> None:
    """Draw the video with what was looked at, and the evidence once the episode is over."""
    zooms = [Segment(*turn.segment) for turn in session.turns if turn.segment is not None]
    drawn = timeline(
        duration_seconds=session.duration_seconds,
        overview_seconds=session.turns[0].timestamps.tolist(),
        zooms=zooms,
        evidence=session.outcome.evidence if session.outcome else (),
    )
    _say(console, drawn)


def _pictures(frames: NDArray[np.uint8], timestamps: NDArray[np.float64], width: int) -> Text:
    """Frames side by side as half blocks, their times above them."""
    columns = max(1, width // (_CELL_WIDTH + 1))
    text = Text(no_wrap=True)
    for start in range(0, len(frames), columns):
        row = [
            np.asarray(Image.fromarray(frame).resize((_CELL_WIDTH, _CELL_HEIGHT), Image.Resampling.BOX))
            for frame in frames[start : start + columns]
        ]
        times = timestamps[start : start + columns].tolist()
        text.append("".join(f"{format_seconds(time):<{_CELL_WIDTH + 1}}" for time in times).rstrip() + "\n")
        for line in range(0, _CELL_HEIGHT, 2):
            for cell in row:
                for upper, lower in zip(cell[line].tolist(), cell[line + 1].tolist(), strict=True):
                    text.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
                text.append(" ")
            text.append("\n")
    return text


def _say(console: Console, text: str) -> None:
    """Print text as it is: no markup, no control characters of a dataset's making."""
    console.print(Text(clean_text(text)), soft_wrap=True)
