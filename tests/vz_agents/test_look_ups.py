from __future__ import annotations

import re
from itertools import pairwise
from random import Random

from vz_agents.look_ups import look_up_document
from vz_agents.needle_expert import read_frame_lines
from vz_env.video.describe import mark_changes
from vz_env.video.palette import NEUTRALS, PALETTE


def documents(count=300):
    random = Random(0)
    return [look_up_document(random, 2 + number % 31) for number in range(count)]


def is_overview(document):
    return document[0][0].startswith("Question:")


def pairs(document):
    """(asked, answer) for every answer of a document."""
    assert [bool(kind) for _, kind in document] == [False, True] * (len(document) // 2)
    texts = [text for text, _ in document]
    return list(zip(texts[::2], texts[1::2], strict=True))


def in_order(cards):
    """Runs of cards as a note lists them."""
    runs = [card for card, before in zip(cards, ["", *cards], strict=False) if card and card != before]
    return f" {' '.join(runs) or 'none'}"


def look_up(asked, text):
    """The answer to a question on an overview, from its text alone."""
    end = int(re.search(r"^Video: (\d+)s$", text, re.MULTILINE)[1])
    lines = {int(time): rest for time, rest in re.findall(r"^(\d+)(s: .+)$", text, re.MULTILINE)}
    seen = {int(line.time_seconds): line.colors for line in read_frame_lines(text)}
    scenes = {time: colors[0] for time, colors in seen.items()}
    times = list(lines)
    following = dict(zip(times, [*times[1:], end], strict=True))
    kind, of = re.fullmatch(r"(?: (\w+))? ?(\w*),?", asked).groups()
    if kind is None:
        return lines[int(of)] if int(of) == times[-1] else f"{lines[int(of)]}\n{following[int(of)]}"
    if kind in ("at", "next"):
        return {"at": f" {scenes[int(of)]}", "next": f"{following[int(of)]}"}[kind]
    if kind == "last":
        return f" {scenes[times[-1]]}"
    first = next(time for time in times if scenes[time] == of)
    if kind == "new":
        return f"{first},{following[first]}"
    if kind == "then":
        return f" {next((scenes[time] for time in times if time > first and scenes[time] != of), 'end')}"
    assert kind == "saw"
    vivid = [[color for color in colors[1:] if color not in NEUTRALS] for colors in seen.values()]
    pairs = zip(vivid, scenes.values(), strict=True)
    return in_order([(cards or [""])[0] if scene == of else "" for cards, scene in pairs])


def test_every_answer_on_an_overview_follows_from_its_text():
    seen = set()
    for document in filter(is_overview, documents()):
        text = document[0][0]
        asked = [question.rpartition("\n")[2] for question, _ in pairs(document)]
        assert text.startswith(f"Question:{asked[0]}\n")
        for question, (_, answer) in zip(asked, pairs(document), strict=True):
            assert answer == look_up(question, text), question
            seen.add((re.match(r"(?: (\w+))?", question)[1], question.endswith(",")))
    kinds = ("at", "next", "new", "then", "saw")
    assert seen == {(kind, comma) for kind in kinds for comma in (True, False)} | {(None, False), ("last", False)}


def test_every_answer_on_a_close_look_follows_from_its_text():
    answers = []
    for document in documents():
        if is_overview(document):
            continue
        for asked, answer in pairs(document):
            assert re.fullmatch(r"Zoom [\d.]+s to [\d.]+s\n.*\nLeft: \d zooms, 16 frames each\n saw", asked, re.DOTALL)
            vivid = [[c for c in line.colors[1:] if c not in NEUTRALS] for line in read_frame_lines(asked)]
            assert answer == in_order([(cards or [""])[0] for cards in vivid])
            answers.append(answer)
    assert {len(answer.split()) for answer in answers} >= {1, 2}
    assert " none" in answers


def test_lists_look_as_the_environment_writes_them():
    for document in documents():
        lines = [line for text, _ in document for line in read_frame_lines(text)]
        times = [line.time_seconds for line in lines]
        assert lines
        assert all(0 <= time <= 999 for time in times)
        assert {color for line in lines for color in line.colors} <= set(PALETTE)
        if is_overview(document):
            overview = [line.time_seconds for line in read_frame_lines(document[0][0])]
            steps = {later - earlier for earlier, later in pairwise(overview)}
            assert len(steps) <= 1


def test_lists_are_marked_as_the_environment_marks_them():
    for document in documents():
        for text in [document[0][0]] if is_overview(document) else [text for text, _ in document[::2]]:
            words = re.findall(r"^[\d.]+s: (.+)$", text, re.MULTILINE)
            assert mark_changes([line.removeprefix("new ") for line in words]) == words


def test_documents_come_from_their_generator_alone():
    assert look_up_document(Random(7), 12) == look_up_document(Random(7), 12)
    assert look_up_document(Random(7), 12) != look_up_document(Random(8), 12)
