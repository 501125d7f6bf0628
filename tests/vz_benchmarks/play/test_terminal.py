"""Playing in a terminal: a script of lines in, text out."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from vz_benchmarks.play.session import PlaySession
from vz_benchmarks.play.terminal import play_in_terminal
from vz_env.datasets.dataset import Dataset


def play(session: PlaySession, lines: list[str], *, colors: bool = False, episode_id: str | None = None) -> str:
    """What is shown while these lines are typed; then the input ends."""
    waiting = iter(lines)

    def read(prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    options = {"force_terminal": True, "color_system": "truecolor"} if colors else {}
    console = Console(file=io.StringIO(), width=120, highlight=False, **options)
    play_in_terminal(session, console, read, episode_id=episode_id, seed=0)
    return console.file.getvalue()


def test_zoom_and_answer(make_session, needle, right_letter):
    session = make_session()
    shown = play(session, ["z 8 16", right_letter.lower(), "q"], episode_id=needle.ids[0])

    assert needle.episodes[0].question in shown
    assert "Zoom 8s to 16s" in shown
    assert "zoom 1" in shown
    assert f"Right: you answered {right_letter}; the answer is {right_letter}." in shown
    assert "evidence" in shown
    assert session.outcome.score == 1.0


def test_another_episode_and_words_of_a_policy(make_session, needle):
    session = make_session()
    lines = ["<answer>none</answer>", "z 1 2", "n", "a D", "t"]
    shown = play(session, lines, episode_id=needle.ids[0])

    assert "Wrong: you answered none" in shown
    assert "This episode is over" in shown
    assert session.number == 2
    assert "you answered D" in shown


@pytest.mark.parametrize("line", ["z", "z a b", "z 1 2 3 4", "z 9 8", "zz", "what?", "", "h", "a <answer>"])
def test_typing_errors_cost_nothing(make_session, needle, line):
    session = make_session()
    play(session, [line], episode_id=needle.ids[0])

    assert session.budget["turns"] == 4
    assert len(session.turns) == 1


def test_frames_are_drawn_where_colours_are(make_session, needle):
    session = make_session()

    assert "▀" in play(session, ["q"], colors=True, episode_id=needle.ids[0])
    assert "▀" not in play(session, ["q"], episode_id=needle.ids[0])


def test_a_question_cannot_steer_the_terminal(make_session, needle):
    hostile = replace(needle.episodes[0], question="Who?\x1b]0;owned\x07\x1b[2J [bold]x[/bold]")
    dataset = Dataset(name="Hostile", episodes=[hostile], keys={hostile.id: needle.key(hostile.id)})
    shown = play(make_session(dataset), ["q"])

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]x[/bold]" in shown
