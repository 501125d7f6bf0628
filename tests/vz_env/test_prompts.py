"""The wording of every message, to the character: policies are trained on it."""

from __future__ import annotations

import pytest

from vz_env import prompts
from vz_env.action_types import INVALID_CODES
from vz_env.actions import InvalidAction, Zoom, parse_action
from vz_env.budget import Budget
from vz_env.episode import Segment
from vz_env.prompt_samples import wording_samples

QUESTION = {
    "question": "In the teal scene a card appears. Which colour is it?",
    "options": ("red", "blue", "gold", "pink"),
    "duration_seconds": 320.0,
    "timestamps_seconds": (0.0, 10.0),
    "descriptions": ("teal 88%", "teal 74%, gray 9%"),
    "zooms_left": 5,
    "frames_per_zoom": 16,
}

OVERVIEW = """\
Question: In the teal scene a card appears. Which colour is it?
A. red
B. blue
C. gold
D. pink
Video: 320s
0s: teal 88%
10s: teal 74%, gray 9%
Left: 5 zooms, 16 frames each"""

ZOOM = """\
Zoom 130s to 140s
130s: teal 87%
130.62s: teal 60%, red 30%
Left: 4 zooms, 16 frames each"""


def test_overview_message():
    assert prompts.overview_message(**QUESTION) == OVERVIEW


def test_overview_message_without_options_words_and_frames():
    plain = {**QUESTION, "options": (), "descriptions": ("", ""), "zooms_left": 0}
    blind = {**plain, "timestamps_seconds": (), "descriptions": (), "context_text": "Read this."}

    assert prompts.overview_message(**plain).splitlines()[1:] == [
        "Video: 320s",
        "0s",
        "10s",
        "Left: no zooms, answer now",
    ]
    assert prompts.overview_message(**blind).splitlines()[1:] == [
        "Context: Read this.",
        "Video: 320s",
        "Left: no zooms, answer now",
    ]


def test_context_stands_after_the_options():
    lines = prompts.overview_message(**QUESTION, context_text="Read this.").splitlines()

    assert lines[4:7] == ["D. pink", "Context: Read this.", "Video: 320s"]


def zoom_message(**changes: object) -> str:
    plain = {
        "segment": Segment(130.0, 140.0),
        "timestamps_seconds": (130.0, 130.625),
        "descriptions": ("teal 87%", "teal 60%, red 30%"),
        "zooms_left": 4,
        "frames_per_zoom": 16,
    }
    return prompts.zoom_message(**{**plain, **changes})


def test_zoom_message():
    assert zoom_message() == ZOOM


@pytest.mark.parametrize(
    ("is_start_clamped", "is_end_clamped", "note"),
    [
        (True, False, " (clamped to the start of the video)"),
        (False, True, " (clamped to the end of the video)"),
        (True, True, " (clamped to the start and the end of the video)"),
    ],
)
def test_zoom_message_tells_of_clamping(is_start_clamped, is_end_clamped, note):
    text = zoom_message(is_start_clamped=is_start_clamped, is_end_clamped=is_end_clamped)

    assert text.splitlines()[0] == f"Zoom 130s to 140s{note}"


def test_error_message():
    invalid = InvalidAction("OVER_BUDGET", "Too many.")
    text = prompts.error_message(invalid, zooms_left=1, frames_per_zoom=9)

    assert text == "Error OVER_BUDGET: Too many.\nLeft: 1 zoom, 9 frames"


def test_system_message_shows_a_legal_example():
    text = prompts.system_message(Budget(max_frames_per_zoom=12, max_turns=3))
    example = text[text.index("For example ") :]

    assert parse_action(example.split(" shows")[0]) == Zoom((130.0, 136.0), 2.0)
    assert "at most 2 times" in text
    assert "shows 12 frames" in text


def test_system_message_does_not_speak_of_zooms_that_are_not_there():
    assert "zoom" not in prompts.system_message(Budget(max_zooms=0))


def test_prompt_hash_changes_with_the_wording(monkeypatch):
    before = prompts.prompt_hash()
    monkeypatch.setattr(prompts, "EPISODE_OVER", "The end.")

    assert len(before) == 16
    assert prompts.prompt_hash() != before


def test_prompt_hash_is_the_one_of_this_version():
    """When this fails, the wording has changed: raise PROMPT_VERSION, then write the new hashes down here."""
    hashes = [prompts.prompt_hash(), prompts.prompt_hash(with_options=True), prompts.prompt_hash("videozoomer")]

    assert (prompts.PROMPT_VERSION, hashes) == (2, ["5b61a690481107a1", "a91c44c8c8ea77f1", "75d4a5e4a46db099"])


def test_what_is_off_does_not_change_the_hash(monkeypatch):
    plain, every = prompts.prompt_hash(), prompts.prompt_hash(with_options=True)
    monkeypatch.setattr(prompts, "_eye_lines", lambda grammar: [])

    assert prompts.prompt_hash(with_options=True) != every
    assert prompts.prompt_hash() == plain


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("vz_env.prompt_samples.mark_changes", lambda lines: lines),
        ("vz_env.prompt_samples.describe_palette", lambda picture, time, episode: "teal"),
        ("vz_env.zoom_rules.format_number", lambda number: f"{number:.1f}"),
        ("vz_env.actions.InvalidAction", lambda code, message: InvalidAction(code, "No.")),
    ],
)
def test_the_hash_sees_words_that_other_modules_write(monkeypatch, place, changed):
    before = prompts.prompt_hash()
    monkeypatch.setattr(place, changed)

    assert prompts.prompt_hash() != before


def test_the_hash_sees_the_wording_of_the_published_protocol(monkeypatch):
    before = prompts.prompt_hash("videozoomer")
    monkeypatch.setattr("vz_env.protocols.published._LAST_ROUND", "Last one.")

    assert prompts.prompt_hash("videozoomer") != before


@pytest.mark.parametrize(("with_options", "absent"), [(False, ["ZOOM_FIRST"]), (True, [])])  # that one is of a mode
def test_every_code_of_a_mistake_is_in_the_samples(with_options, absent):
    said = "\n".join(wording_samples("strict", with_options=with_options))

    assert [code for code in INVALID_CODES if f"Error {code}: " not in said] == absent


@pytest.mark.parametrize(
    ("zooms", "extras", "line"),
    [
        (3, [], "Left: 3 zooms, 16 frames each"),
        (1, ["4s of video"], "Left: 1 zoom, 16 frames, 4s of video"),
        (0, [], "Left: no zooms, answer now"),
        (0, ["2 searches"], "Left: no zooms, 2 searches"),
    ],
)
def test_left_line_with_extras(zooms, extras, line):
    assert prompts.left_line(zooms_left=zooms, frames_per_zoom=16, extras=extras) == line


def test_zoom_lines_say_what_was_not_as_asked():
    head = prompts.zoom_lines(
        segment=Segment(0.0, 4.0),
        timestamps_seconds=[0.0],
        descriptions=[""],
        is_start_clamped=True,
        fixed_fps=2.5,
        crop=(0.0, 0.25, 0.5, 1.0),
    )

    assert head == [
        "Zoom 0s to 4s (clamped to the start of the video) at 2.5 fps, which is fixed, cropped to [0, 0.25, 0.5, 1]",
        "0s",
    ]
