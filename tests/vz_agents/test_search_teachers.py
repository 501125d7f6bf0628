"""The scripted searches: what they play is kept, none makes a mistake, and each gets there by a way of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.baselines import Oracle
from vz_agents.exemplar_filters import ExemplarConfig
from vz_agents.exemplars import collect_exemplars
from vz_agents.policy import Observation, PastTurn, as_policy, reads_key
from vz_agents.reflection import choose_wrong, reflect
from vz_agents.rollout import collect_rollouts
from vz_agents.search_teachers import BinarySearchTeacher
from vz_agents.shown_frames import ShownFrame, best_frame, largest_gap, shown_frames
from vz_agents.teachers import SEARCHES, find_teacher
from vz_env.actions import Answer, Zoom, format_zoom, parse_action
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError
from vz_env.prompts import overview_message, zoom_message

EVERY_SEARCH = pytest.mark.parametrize("word", SEARCHES)
ALL_FILTERS = ExemplarConfig(thought=True, sound_zooms=True, evidence=True, look_first=True, distinct=True)


def look(action):
    """The window of a zoom."""
    zoom = parse_action(action)
    assert isinstance(zoom, Zoom), action
    return zoom.segment


@EVERY_SEARCH
def test_most_of_what_it_plays_passes_every_filter(needle, needle_budget, tmp_path, word):
    teacher = find_teacher(word, needle, tmp_path)
    collected = collect_exemplars(
        needle, teacher, env_options={"describe": "palette"}, budget=needle_budget, seed=0, config=ALL_FILTERS
    )
    assert reads_key(teacher)
    assert len(collected.kept) > len(needle) / 2
    assert set(collected.rejected) <= {"wrong_answer"}  # what it did not come to see
    assert any(one.metrics["zooms"] for one in collected.kept)


@EVERY_SEARCH
@pytest.mark.parametrize(
    ("budget", "options"),
    [
        ({"max_zooms": 0}, {}),
        ({"max_turns": 2, "max_frames_per_zoom": 1}, {}),
        ({"max_frames": 13}, {"describe": "none"}),
        ({"max_seconds": 20.0}, {}),
        ({}, {"protocol": "videozoomer"}),
    ],
    ids=str,
)
def test_it_never_acts_against_the_rules(needle, needle_budget, word, budget, options):
    played = collect_rollouts(
        lambda: VideoZoomEnv(needle, budget=replace(needle_budget, **budget), with_frames=False, **options),
        SEARCHES[word](needle), needle.ids[:4], seed=0,
    )  # fmt: skip
    assert {one.status for one in played} == {"answered"}
    assert not any(one.metrics["invalid_actions"] for one in played)


def test_the_three_get_there_by_different_windows():
    windows = {word: first_windows(SEARCHES[word](long_video()), 3) for word in SEARCHES}
    assert windows == {
        "evidence": [(697, 705), (699, 703), (700, 702)],  # each of them shown in vain
        "binary": [(0, 800), (400, 800), (600, 800)],
        "coarse-to-fine": [(501, 901), (651, 751), (688.5, 713.5)],
    }


def long_video(**fields):
    """A question about a video of 1600 s, whose evidence is a second of it."""
    key = {"answer_indices": (1,), "evidence": (Segment(700.5, 701.5),), **fields}
    episode = Episode(id="e", question="What is held up?", video_path="/v.mp4", options=("a cup", "a green book"))
    return Dataset(name="Long", episodes=[replace(episode, duration_seconds=1600.0)], keys={"e": AnswerKey(**key)})


def observe(dataset, looks=(), *, words=lambda time: "", zooms=5):
    """The observation after looks, a list of (segment, times), of which each is told."""
    left = {"zooms_left": zooms - len(looks), "frames_per_zoom": 16}
    episode = dataset.episodes[0]
    times = [100.0 * number for number in range(16)]
    shown = {"timestamps_seconds": times, "descriptions": [words(time) for time in times]}
    opening = {"question": episode.question, "options": episode.options, "duration_seconds": episode.duration_seconds}
    texts, actions = [overview_message(**opening, **shown, **left)], []
    for (start, end), moments in looks:
        shown = {"timestamps_seconds": moments, "descriptions": [words(time) for time in moments]}
        texts.append(zoom_message(segment=Segment(start, end), **shown, **left))
        actions.append(format_zoom((start, end), 0.01))
    return Observation(
        text=texts[-1], frames=np.zeros((0, 2, 2, 3), np.uint8), timestamps=np.zeros(0), episode=episode,
        budget={"turns": 9, "zooms": zooms - len(looks), "frames": 80}, turn=len(looks),
        history=tuple(PastTurn(text, action) for text, action in zip(texts, actions, strict=False)),
    )  # fmt: skip


def first_windows(teacher, count):
    """Where a teacher looks, one look after another, when none of them shows anything of the evidence."""
    looks = []
    for _ in range(count):
        (action,) = teacher.act([observe(teacher.dataset, looks)])
        looks.append((look(action), [look(action)[0]]))
    return [window for window, _ in looks]


def test_it_answers_when_the_evidence_was_seen_and_quotes_what_described_it():
    dataset = long_video()
    (action,) = BinarySearchTeacher(dataset).act(
        [observe(dataset, [((600, 800), [600.0, 701.0])], words=lambda time: "a hand, a book" if time == 701 else "")]
    )
    assert action == "<think>at 701s: a hand, a book, so a green book</think><answer> a green book</answer>"


@EVERY_SEARCH
def test_what_was_never_seen_is_not_known(word):
    dataset = long_video()
    (action,) = SEARCHES[word](dataset).act([observe(dataset, [((0, 8), [0.0])], zooms=1)])
    assert action.startswith("<think>it is not to be seen, so ")
    assert isinstance(parse_action(action), Answer)


@EVERY_SEARCH
def test_without_evidence_the_described_frames_lead(word):
    dataset = long_video(evidence=())
    teacher, looks = SEARCHES[word](dataset), []

    def words(time):
        return "a green book is held" if 880 < time < 910 else "a street"

    while len(looks) < 5:
        (action,) = teacher.act([observe(dataset, looks, words=words)])
        if isinstance(parse_action(action), Answer):
            break
        start, end = look(action)
        assert start <= 900 <= end
        looks.append(((start, end), [start, (start + end) / 2]))
    if word == "evidence":
        assert action.startswith("<think>at 900s: a green book is held, so a green book</think>")


@EVERY_SEARCH
def test_without_evidence_and_words_no_two_looks_are_alike(word):
    dataset = long_video(evidence=())
    windows = first_windows(SEARCHES[word](dataset), 4)
    assert len(set(windows)) == 4


@EVERY_SEARCH
def test_a_video_of_hours_is_narrowed_until_a_zoom_can_be_said(word):
    dataset = long_video(evidence=(Segment(9000.0, 16_000.0), Segment(17_990.0, 17_999.0)))
    dataset = Dataset(
        name="Hours", episodes=[replace(dataset.episodes[0], duration_seconds=18_000.0)], keys={"e": dataset.key("e")}
    )
    (action,) = SEARCHES[word](dataset).act([observe(dataset)])
    start, end = look(action)
    assert 0 <= start < end <= 18_000
    assert 1 <= parse_action(action).fps * (end - start) <= 16.5


@EVERY_SEARCH
def test_it_repairs_what_a_student_did_wrong(needle, needle_budget, word):
    def student(seen):
        return "<answer>none</answer>" if seen.history else "<think>here</think>" + format_zoom((0, 8), 1)

    played = collect_rollouts(
        lambda: VideoZoomEnv(needle, budget=needle_budget, with_frames=False), as_policy(student), needle.ids, seed=0
    )
    wrong = choose_wrong(played).kept
    repaired = reflect(needle, wrong, SEARCHES[word](needle), env_options={}, budget=needle_budget)
    assert len(repaired.kept) > len(wrong) / 2
    assert set(repaired.rejected) <= {"wrong_answer"}
    flaws = Counter(one.turns[1].action.partition(", ")[0].removeprefix("<think>") for one in repaired.kept)
    assert set(flaws) <= {"not where I looked", "it was shown and misread"}
    assert "not where I looked" in flaws


def test_a_class_that_wants_a_dataset_gets_the_train_split(needle, tmp_path):
    teacher = find_teacher("vz_agents.baselines:Oracle", needle, tmp_path)
    assert isinstance(teacher, Oracle)
    assert teacher.dataset is needle


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bisect", "wanted a teacher out of evidence, binary, coarse-to-fine, openai or package.module:Name"),
        ("vz_agents.baselines:Nobody", "has no Nobody"),
        ("no_such_module:Name", "cannot be imported"),
        ("builtins:slice", "does not take the arguments"),
    ],
)
def test_a_teacher_that_is_none_is_refused(needle, tmp_path, word, message):
    with pytest.raises(ConfigError, match=message):
        find_teacher(word, needle, tmp_path)


def test_shown_frames_are_read_in_both_protocols():
    texts = ["Question: 7s?\nVideo: 96s\n0s: teal 88%\n8.5s\nLeft: 4 zooms, 16 frames each", "<frame0_time4.00s> red"]
    texts.append("Zoom 8s to 16s\n8.25s: a street: at night")
    expected = [(0.0, "teal 88%"), (8.5, ""), (4.0, "red"), (8.25, "a street: at night")]
    assert shown_frames(texts) == [ShownFrame(*pair) for pair in expected]


def test_a_word_that_every_frame_has_says_nothing():
    seen = observe(long_video())
    assert best_frame(seen, []) is None
    assert best_frame(seen, [ShownFrame(0.0, "a book"), ShownFrame(1.0, "a book")]) is None
    assert best_frame(seen, [ShownFrame(0.0, "a book"), ShownFrame(1.0, "a green book")]).time_seconds == 1.0


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(1, 100))
def test_no_shown_frame_lies_inside_the_largest_gap(times, duration):
    gap = largest_gap([ShownFrame(time, "") for time in times], duration)
    assert not any(gap.start_seconds < time < gap.end_seconds for time in times)
    assert gap.end_seconds <= duration
    assert gap.duration_seconds >= duration / (len(times) + 1) - 1e-9
