from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vz_agents.needle_expert import FrameLine, HastyExpert, NeedleExpert, read_frame_lines
from vz_agents.policy import Observation, PastTurn
from vz_agents.rollout import run_episode
from vz_env.actions import Answer, Zoom, parse_action
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.env import VideoZoomEnv
from vz_env.episode import Episode, Segment
from vz_env.prompts import frame_lines, overview_message, zoom_message
from vz_env.video.describe import mark_changes

BUDGETS = [
    {},
    {"max_zooms": 0},
    {"max_zooms": 1},
    {"max_turns": 1},
    {"max_turns": 2},
    {"max_frames_per_zoom": 1},
    {"max_frames_per_zoom": 3},
    {"max_frames": 12 + 16 + 5},  # the second zoom may show five frames only
    {"max_frames": 13},
    {"overview_frames": 5},
    {"overview_frames": 0},
]


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Sixty-odd questions, so that "most" means something."""
    config = NeedleConfig(seed=5, videos={"train": 8}, overview_frames=12, spacings_seconds=(8, 11))
    return load_needle(split="train", root=tmp_path_factory.mktemp("larger"), config=config)


def play(dataset, budget, *, describe="palette"):
    env = VideoZoomEnv(dataset, budget=budget, describe=describe, with_frames=False)
    expert = NeedleExpert()
    return [run_episode(env, expert, name, 0) for name in dataset.ids]


def test_it_answers_most_questions_right_and_makes_no_mistake(larger):
    played = play(larger, Budget(overview_frames=12))

    assert all(trajectory.status == "answered" for trajectory in played)
    assert all(trajectory.metrics["invalid_actions"] == 0 for trajectory in played)
    assert sum(trajectory.score for trajectory in played) / len(played) > 0.8
    zooming = [trajectory for trajectory in played if trajectory.metrics["zooms"]]
    assert len(zooming) > len(played) / 2
    assert sum(bool(t.metrics["evidence_hit"]) for t in zooming) / len(zooming) > 0.8


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("describe", ["palette", "none"])
def test_no_budget_makes_it_act_invalidly(needle, budget, describe):
    for trajectory in play(needle, Budget(**{"overview_frames": 12, "max_frames": 76, **budget}), describe=describe):
        assert trajectory.status == "answered", trajectory.turns[-1]
        assert [turn.info["invalid_code"] for turn in trajectory.turns] == [None] * len(trajectory.turns)


class Keyless(Dataset):
    """A dataset whose keys may not be looked at before an episode has ended."""

    def key(self, episode_id):
        raise AssertionError("looked at the key")


def test_it_acts_on_text_alone(needle, needle_budget):
    keyless = Keyless(
        name=needle.name,
        split=needle.split,
        episodes=needle.episodes,
        keys={name: needle.key(name) for name in needle.ids},
        root=needle.root,
    )
    env = VideoZoomEnv(keyless, budget=needle_budget, with_frames=False)
    for expected in play(needle, needle_budget):
        observation, _ = env.reset(options={"episode_id": expected.episode_id})
        history = ()
        for turn in expected.turns:
            blank = Episode(
                id="?", question=env.episode.question, video_path=env.episode.video_path, options=("x", "y")
            )
            (action,) = NeedleExpert().act(
                [
                    Observation(
                        text=observation["text"],
                        frames=np.zeros((0, 2, 2, 3), np.uint8),
                        timestamps=observation["timestamps"],
                        budget={name: int(left) for name, left in observation["budget"].items()},
                        episode=blank,
                        turn=len(history),
                        history=history,
                    )
                ]
            )
            assert action == turn.action
            if isinstance(parse_action(action), Answer):
                break  # what ends the episode is graded, and grading reads the key
            history = (*history, PastTurn(observation["text"], action))
            observation, *_ = env.step(action)


def observe(question, colors, looks=(), *, frames_per_zoom=16, zooms=4):
    """An observation of slots of 10 s with the given colours, after the given zooms, each a list of frame colours."""
    times = [10.0 * slot for slot in range(len(colors))]
    left = {"zooms_left": zooms, "frames_per_zoom": frames_per_zoom}
    words = {"timestamps_seconds": times, "descriptions": mark_changes([f"{color} 88%" for color in colors])}
    texts = [overview_message(question=question, options=(), duration_seconds=10.0 * len(colors), **words, **left)]
    for look in looks:
        shown = mark_changes([f"{words} 40%" for words in look])
        seen = {"timestamps_seconds": range(len(look)), "descriptions": shown}
        texts.append(zoom_message(segment=Segment(0, 10), **seen, **left))
    return Observation(
        text=texts[-1],
        frames=np.zeros((0, 2, 2, 3), np.uint8),
        timestamps=np.zeros(0),
        budget={"turns": 5, "zooms": zooms, "frames": 64},
        episode=Episode(id="e", question=question, video_path="/v.mp4", answer_kind="text"),
        turn=len(texts) - 1,
        history=tuple(PastTurn(text, "zoomed") for text in texts[:-1]),
    )


SCENES = ("gold", "teal", "teal", "lime")
APPEARS = "In the teal scene a card appears. Which colour is it?"


@pytest.mark.parametrize(
    ("question", "looks", "expected"),
    [
        (APPEARS, [["teal 88%, red"]], "<think>I saw red, so red</think><answer> red</answer>"),
        (APPEARS, [["teal"], ["teal 50%, gray 20%, blue"]], "<think>I saw blue, so blue</think><answer> blue</answer>"),
        (APPEARS, [["teal"], ["teal"]], "<think>I saw none, so unknown</think><answer> unknown</answer>"),
        (
            "In the teal scene two cards appear. Which comes first?",
            [["teal", "teal 50%, pink"]],
            "<think>I saw pink, so pink</think><answer> pink</answer>",
        ),
        (
            "How many times does the red card appear in the teal scene?",
            [["teal 50%, red", "teal"], ["teal 50%, red", "teal", "teal 50%, red"]],
            "<think>I saw red red, 1+2=3, so 3</think><answer> 3</answer>",
        ),
        (
            "In the teal scene a card changes colour. From what into what?",
            [["teal 50%, red", "teal 50%, red", "teal 50%, blue"]],
            "<think>I saw red blue: red to blue, so red to blue</think><answer> red to blue</answer>",
        ),
        (
            "In the teal scene, which card is shown right after the red one?",
            [["teal 50%, red", "teal", "teal 50%, blue"]],
            "<think>I saw red blue: red then blue, so blue</think><answer> blue</answer>",
        ),
        (
            "In the teal scene a card changes colour. From what into what?",
            [["teal 50%, red"], ["teal"], ["teal 50%, red", "teal", "teal 50%, blue"]],
            "<think>I saw red blue: red to blue, so red to blue</think><answer> red to blue</answer>",
        ),
        (
            "How many times does the red card appear in the teal scene?",
            [["teal"], ["teal"]],
            "<think>I saw none, 0+0=0, so unknown</think><answer> unknown</answer>",
        ),
        (
            "Which scene comes right after the teal scene?",
            [],
            "<think>after the teal: then teal lime, so lime</think><answer> lime</answer>",
        ),
        ("Which scene is the last one?", [], "<think>the last lime, so lime</think><answer> lime</answer>"),
    ],
)
def test_it_reads_the_answer_off_what_was_shown(question, looks, expected):
    assert NeedleExpert().act([observe(question, SCENES, looks)]) == [expected]


@pytest.mark.parametrize(
    ("looks", "segment"), [([], (10, 20)), ([["teal", "teal 50%, gray"]], (20, 30)), ([["lime 60%, red"]], (20, 30))]
)
def test_it_zooms_slot_by_slot_until_a_card_was_seen(looks, segment):
    (action,) = NeedleExpert().act([observe(APPEARS, SCENES, looks)])
    assert action.startswith(f"<think>{'I saw none' if looks else 'in the teal: new teal,10'}</think>")
    zoom = parse_action(action)
    assert isinstance(zoom, Zoom)
    assert zoom.segment == segment
    assert zoom.fps == 1.6


@pytest.mark.parametrize(("cap", "fps"), [(16, 1.6), (5, 0.5), (1, 0.1)])
def test_it_asks_for_no_more_frames_than_are_left(cap, fps):
    (action,) = NeedleExpert().act([observe(APPEARS, SCENES, frames_per_zoom=cap)])
    assert parse_action(action).fps == pytest.approx(fps)


def test_a_context_that_speaks_of_frames_is_not_the_cap():
    observation = observe(APPEARS + " There are 99 frames.", SCENES)
    (action,) = NeedleExpert().act([observation])
    assert parse_action(action).fps == 1.6


def test_frame_lines_are_read_as_the_environment_writes_them():
    text = "\n".join(
        ["Zoom 130s to 140s", *frame_lines((130, 130.625), ("new teal 87%", "teal 60%, red 30%")), "Left: no zooms"]
    )
    assert read_frame_lines(text) == [FrameLine(130.0, ("teal",)), FrameLine(130.62, ("teal", "red"))]
    assert read_frame_lines("0s\n10s\nLeft") == []


def test_the_hasty_expert_gives_up_after_two_looks_and_guesses(larger):
    env = VideoZoomEnv(larger, budget=Budget(overview_frames=12), with_frames=False)
    hasty = [run_episode(env, HastyExpert(patient_share=0.0), name, 0) for name in larger.ids]
    patient = play(larger, Budget(overview_frames=12))

    assert max(trajectory.metrics["zooms"] for trajectory in hasty) == 2
    assert all(trajectory.status == "answered" for trajectory in hasty)
    assert all(trajectory.metrics["invalid_actions"] == 0 for trajectory in hasty)
    assert sum(t.score for t in hasty) < sum(t.score for t in patient) - 5
    alike = [(a, b) for a, b in zip(hasty, patient, strict=True) if b.metrics["zooms"] < 2]
    assert alike
    assert all([turn.action for turn in a.turns] == [turn.action for turn in b.turns] for a, b in alike)


def test_a_guess_is_the_first_option_that_begins_with_what_was_seen():
    question = "In the teal scene a card changes colour. From what into what?"
    observation = observe(question, SCENES, [["teal"], ["teal 50%, red"]])
    options = ("blue to red", "red to blue", "red to lime")
    episode = replace(observation.episode, answer_kind="choice", options=options)
    (reply,) = HastyExpert(patient_share=0.0).act([replace(observation, episode=episode)])
    assert reply == "<think>I saw red: red, so red to blue</think><answer> red to blue</answer>"


def test_the_hasty_expert_is_patient_in_some_episodes(larger):
    env = VideoZoomEnv(larger, budget=Budget(overview_frames=12), with_frames=False)
    patient = [run_episode(env, HastyExpert(patient_share=1.0), name, 0) for name in larger.ids]
    for mine, expert in zip(patient, play(larger, Budget(overview_frames=12)), strict=True):
        assert [turn.action for turn in mine.turns[:-1]] == [turn.action for turn in expert.turns[:-1]]
    mixed = [run_episode(env, HastyExpert(patient_share=0.5), name, 0) for name in larger.ids]
    assert max(trajectory.metrics["zooms"] for trajectory in mixed) > 2
    assert sum(trajectory.metrics["zooms"] for trajectory in mixed) < sum(t.metrics["zooms"] for t in patient)
