from __future__ import annotations

import re
from itertools import pairwise
from random import Random

import pytest

from vz_agents.curriculum import CurriculumConfig, look_up_document, train_curriculum
from vz_agents.model import LanguageModel, TinyConfig
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
    assert [is_written for _, is_written in document] == [False, True] * (len(document) // 2)
    texts = [text for text, _ in document]
    return list(zip(texts[::2], texts[1::2], strict=True))


def look_up(asked, lines, colors, end):
    """The answer to a question on an overview, from its text alone."""
    times = list(lines)
    following = dict(zip(times, [*times[1:], end], strict=True))
    kind, of = re.fullmatch(r"(?: (\w+) )?(\w+),?", asked).groups()
    if kind == "new":
        first = next(time for time in times if colors[time] == of)
        return f"{first},{following[first]}"
    now = int(of)
    if kind is None:
        return lines[now] if now == times[-1] else f"{lines[now]}\n{following[now]}"
    after = colors.get(following[now], "last")
    return {"at": f" {colors[now]}", "next": f"{following[now]}", "after": f"{following[now]} {after}"}[kind]


def test_every_answer_on_an_overview_follows_from_its_text():
    seen = set()
    for document in filter(is_overview, documents()):
        text = document[0][0]
        end = int(re.search(r"^Video: (\d+)s$", text, re.MULTILINE)[1])
        lines = {int(time): rest for time, rest in re.findall(r"^(\d+)(s: .+)$", text, re.MULTILINE)}
        colors = {time: re.match(r"s: (?:new )?(\w+) \d+%", rest)[1] for time, rest in lines.items()}
        asked = [text.rpartition("?")[2], *(question.removeprefix("\n") for question, _ in pairs(document)[1:])]
        for question, (_, answer) in zip(asked, pairs(document), strict=True):
            assert answer == look_up(question, lines, colors, end), question
            seen.add((re.match(r"(?: (\w+) )?", question)[1], question.endswith(",")))
    kinds = ("at", "next", "new", "after")
    assert seen == {(kind, comma) for kind in kinds for comma in (True, False)} | {(None, False)}


def test_every_answer_on_a_close_look_follows_from_its_text():
    answers = []
    for document in documents():
        if is_overview(document):
            continue
        for asked, answer in pairs(document):
            assert asked.endswith("? saw")
            beside = []
            for line in read_frame_lines(asked):
                other = [color for color in line.colors[1:] if color not in NEUTRALS]
                beside.append(other[0] if other else "")
            runs = [color for number, color in enumerate(beside) if color and color != beside[max(0, number - 1)]]
            runs = ([beside[0]] if beside[0] else []) + [color for color in runs if color]
            assert answer == f" {' '.join(runs) or 'none'}"
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


@pytest.fixture
def small(tokenizer):
    shape = TinyConfig(hidden_size=64, intermediate_size=128, num_layers=2)
    return LanguageModel.tiny(tokenizer, shape)


def test_accuracy_rises_in_a_few_seconds(small):
    seen = []
    config = CurriculumConfig(seconds=4.0, batch_size=8, warmup_steps=5)

    last = train_curriculum(small, config, on_progress=seen.append)

    assert [progress.step for progress in seen] == list(range(25, last.step + 1, 25))
    assert last.step > 25
    assert last.accuracy > 0.2  # a guess among the vocabulary is right one time in a thousand
    assert last.loss < 5.5  # nats; it began at 7, and a busy machine does few steps in these seconds
    assert last.seconds >= 4.0


def test_no_time_is_no_training(small):
    before = [weight.clone() for weight in small.parameters()]
    assert train_curriculum(small, CurriculumConfig(seconds=0.0)).step == 0
    assert all((a == b).all() for a, b in zip(before, small.parameters(), strict=True))


def test_lists_grow_when_the_answers_are_right(small):
    config = CurriculumConfig(seconds=1.0, batch_size=2, first_lines=2, growth=3, max_lines=8, promote_at=-1.0)
    assert train_curriculum(small, config).lines == 8
