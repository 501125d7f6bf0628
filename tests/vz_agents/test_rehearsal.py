from __future__ import annotations

import re
from random import Random

from vz_agents.chat import ChatRenderer
from vz_agents.cold_base import load_base
from vz_agents.needle_expert import read_frame_lines
from vz_agents.rehearsal import draw_rehearsal, rehearsal_example
from vz_env.actions import InvalidAction, parse_action
from vz_env.video.palette import NEUTRALS


def rehearsals(count=200):
    random = Random(0)
    return [draw_rehearsal(random) for _ in range(count)]


def cards(lines, scene):
    """The cards beside a scene, each run once."""
    beside = [[c for c in line.colors[1:] if c not in NEUTRALS] if line.colors[0] == scene else [] for line in lines]
    runs = [shown for shown, before in zip(beside, [[], *beside], strict=False) if shown and shown != before]
    return " ".join(shown[0] for shown in runs) or "none"


def remembered(overview, looks, is_last):
    """What the note of the last look says of all of them, as the conversation's first question wants it."""
    asked = overview.partition("\n")[0]
    seen = [[color for color in look.split() if color != "none"] for look in looks]
    colors = [color for look in seen for color in look]
    joiner = " to " if "from what into what" in asked else " then " if "right after" in asked else ""
    once = list(dict.fromkeys(colors))
    note = f": {joiner.join(once) or 'none'}" if joiner else ""
    follows = [" to ".join(once[:2]) if joiner == " to " else once[1]] if joiner and once[1:] else []
    if "How many" in asked:
        note = f", {len(colors) - len(seen[-1])}+{len(seen[-1])}={len(colors)}"
        follows = [str(len(colors))] if colors else []
    elif not joiner:
        follows = once[:1]
    options = re.findall(r"^[A-D]\. (.+)$", overview, re.MULTILINE)
    likely = [option for option in options if once and option.split()[0] == once[0]]
    return f"{note}, so {[*follows, *likely, *options][0]}" if is_last else note


def expected_note(message, shown, is_last):
    """The note that a message asks for, from what was shown so far alone; `is_last` of the looks."""
    overview, lines = shown[0], read_frame_lines(shown[0])
    if message.startswith("Zoom"):
        close = [read_frame_lines(text) for text in shown if text.startswith("Zoom")]
        looks = [cards(look, look[0].colors[0]) for look in close]
        return f"I saw {looks[-1]}{remembered(overview, looks, is_last)}"
    question = message.partition("\n")[0]
    scenes = [line.colors[0] for line in lines]
    if "last one" in question:
        return f"the last {scenes[-1]}, so {scenes[-1]}"
    scene = re.search(r"the (\w+) scene", question)[1]
    first = scenes.index(scene)
    if " seen in " in question:
        return f"I saw {cards(lines, scene)}"
    if f"after the {scene} scene" in question:
        later = next((c for c in scenes[first:] if c != scene), "end")
        return f"after the {scene}: then {scene} {later}, so {later}"
    return f"in the {scene}: new {scene},{lines[first].time_seconds:.0f}"


def test_every_note_follows_from_what_was_shown():
    seen = set()
    for turns in rehearsals():
        for number, (message, note) in enumerate(turns):
            shown = [text for text, _ in turns[: number + 1]]
            is_last = not any(text.startswith("Zoom") for text, _ in turns[number + 1 :])
            assert note == f"<think>{expected_note(message, shown, is_last)}</think>", message
            seen |= {" ".join(note.split()[:2]), *re.findall("[+]| to | then ", note)}
    assert {"<think>in the", "<think>after the", "<think>the last", "<think>I saw", "+", " to ", " then "} <= seen


def test_rehearsals_hold_no_action():
    for turns in rehearsals(50):
        for _, note in turns:
            action = parse_action(note)
            assert isinstance(action, InvalidAction)
            assert action.code == "NO_ACTION"


def test_the_loss_covers_the_notes_and_nothing_else(tokenizer):
    chat = ChatRenderer(tokenizer)
    example = rehearsal_example(Random(3), chat)
    written = [token for token, mask in zip(example.ids, example.mask, strict=True) if mask]
    notes = [token for _, note in draw_rehearsal(Random(3)) for token in chat.reply_ids(note)]
    assert written == notes


def test_rehearsals_fit_the_tiny_models_context():
    random, model = Random(1), load_base()
    assert max(len(rehearsal_example(random, model.chat).ids) for _ in range(300)) <= model.max_length
