"""Which trajectories are kept, and the name of what the others are rejected for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.exemplar_filters import REASONS, ExemplarConfig, answered_by_overview, choose_exemplars, fault_of
from vz_agents.trajectory import Trajectory, TurnRecord
from vz_env.datasets.dataset import Dataset
from vz_env.episode import AnswerKey, Episode, Segment

OVERVIEW = [0.0, 10.0, 20.0, 30.0]
EVIDENCE = {
    "hidden": (Segment(12.0, 15.0),),
    "plain": (Segment(5.0, 11.0), Segment(25.0, 40.0)),
    "half": (Segment(5.0, 11.0), Segment(12.0, 15.0)),
    "unknown": (),
}
EVERYTHING = ExemplarConfig(thought=True, sound_zooms=True, evidence=True, look_first=True, max_chars=200)


@pytest.fixture(scope="module")
def dataset():
    episodes = [
        Episode(id=name, question=name, video_path=Path("a.mp4"), duration_seconds=40.0, options=("red", "blue"))
        for name in EVIDENCE
    ]
    keys = {name: AnswerKey(answer_indices=(0,), evidence=spans) for name, spans in EVIDENCE.items()}
    return Dataset(name="Four", episodes=episodes, keys=keys)


def make(name="hidden", zooms=1, *, answer="<think>saw it</think><answer>red</answer>", zoom=None, **fields):
    look = {"action": "zoom", "clamped": None, "frames_new": 4, **(zoom or {})}
    text = '<think>look</think><video_zoom>{{"segment":[{0},{1}],"fps":2}}</video_zoom>'
    turns = [
        TurnRecord(observation="o", timestamps=OVERVIEW if not turn else [12.0], action=text.format(turn, turn + 2))
        for turn in range(zooms)
    ]
    for turn in turns:
        turn.info = dict(look)
    end = TurnRecord(observation="o", timestamps=[12.0] if zooms else OVERVIEW, action=answer)
    end.info = {"action": "answer"}
    metrics = {"invalid_actions": 0.0, "evidence_hit": float(zooms > 0), **fields.pop("metrics", {})}
    settings = {"status": "answered", "score": 1.0, **fields}
    return Trajectory(episode_id=name, turns=[*turns, end], metrics=metrics, **settings)


@pytest.mark.parametrize(
    ("trajectory", "reason"),
    [
        (make(status="error:VideoDecodeError", score=None), "error:VideoDecodeError"),
        (make(metrics={"invalid_actions": 1.0}), "invalid_action"),
        (make(status="out_of_budget", score=0.0), "out_of_budget"),
        (make(score=0.0), "wrong_answer"),
        (make(score=0.5), "wrong_answer"),
        (make(score=None), "wrong_answer"),
        (make(), ""),
    ],
)
def test_what_is_asked_for_in_any_case(dataset, trajectory, reason):
    assert fault_of(trajectory, dataset) == reason
    assert fault_of(trajectory, dataset, EVERYTHING) == reason


@pytest.mark.parametrize(
    ("option", "trajectory", "reason"),
    [
        ({"thought": True}, make(answer="<answer>red</answer>"), "no_thought"),
        ({"thought": True}, make(answer="<think> </think><answer>red</answer>"), "no_thought"),
        ({"sound_zooms": True}, make(zoom={"clamped": "end"}), "clamped_zoom"),
        ({"sound_zooms": True}, make(zoom={"frames_new": 0}), "stale_zoom"),
        ({"look_first": True}, make(zooms=0), "no_look"),
        ({"look_first": True}, make("half", zooms=0), "no_look"),
        ({"look_first": True}, make("unknown", zooms=0), "no_look"),
        ({"look_first": True}, make("plain", zooms=0), ""),
        ({"look_first": True}, make("unknown"), ""),
        ({"evidence": True}, make(metrics={"evidence_hit": 0.0}), "evidence_missed"),
        ({"evidence": True}, make("half", zooms=0), "evidence_missed"),
        ({"evidence": True}, make("plain", zooms=0), ""),
        ({"evidence": True}, make("unknown", metrics={"evidence_hit": None}), ""),
        ({"max_chars": 90}, make(), "too_long"),
    ],
)
def test_each_filter_rejects_its_own_and_is_off_by_default(dataset, option, trajectory, reason):
    assert fault_of(trajectory, dataset) == ""
    assert fault_of(trajectory, dataset, ExemplarConfig(**option)) == reason
    assert not reason or reason in REASONS


def test_the_overview_answers_where_it_shows_all_of_the_evidence(dataset):
    clear = [name for name in EVIDENCE if answered_by_overview(make(name), dataset)]
    assert clear == ["plain"]


def test_the_same_twice_is_one_whatever_the_notes_say(dataset):
    same = make(answer="<think>other words</think> <answer>red</answer>")
    played = [make(), same, make(zooms=2), make("plain")]
    chosen = choose_exemplars(played, dataset, ExemplarConfig(distinct=True))
    assert chosen.kept == [played[0], played[2], played[3]]
    assert chosen.rejected == {"duplicate": 1}
    assert len(choose_exemplars(played, dataset, ExemplarConfig()).kept) == 4


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    share=st.sampled_from([0.2, 0.34, 0.5, 0.75]),
    seed=st.integers(0, 9),
)
def test_no_number_of_turns_takes_more_than_its_share(dataset, counts, share, seed):
    played = [make(zooms=zooms) for zooms, count in enumerate(counts) for _ in range(count)]
    chosen = choose_exemplars(played, dataset, ExemplarConfig(most_alike=share), seed=seed)
    kept = Counter(len(one.turns) for one in chosen.kept)
    assert chosen.played == len(played)
    assert set(kept) == {zooms + 1 for zooms in range(len(counts))}
    if share * len(counts) < 1:  # too few lengths to keep below the share: as many of each
        assert set(kept.values()) == {min(counts)}
    else:
        assert max(kept.values()) <= share * sum(kept.values()) + 1e-6
    again = choose_exemplars(played, dataset, ExemplarConfig(most_alike=share), seed=seed)
    assert again == chosen


def test_counts_add_up_and_stand_in_the_order_of_the_filters(dataset):
    played = [make(zooms=0), make(score=0.0), make(status="stopped"), make(status="error:A", score=None), make(zooms=2)]
    played.append(replace(played[-1]))
    chosen = choose_exemplars(played, dataset, replace(EVERYTHING, distinct=True))
    assert list(chosen.rejected) == ["error:A", "stopped", "wrong_answer", "no_look", "duplicate"]
    assert chosen.played == len(played)
