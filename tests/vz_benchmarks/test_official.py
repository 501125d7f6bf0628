"""The figures of benchmarks against brute force, published averages, and the official denominators."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vz_agents.trajectory import Trajectory, TurnRecord
from vz_benchmarks.adapters.mlvu import mlvu_averages
from vz_benchmarks.grading import counted, grade_records
from vz_benchmarks.official import clue_recovery_rate, knowledge_gain, official_figures
from vz_benchmarks.records import EpisodeRecord
from vz_env.datasets.dataset import Dataset
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError

OPTIONS = ("red", "green", "blue", "grey")

# Questions of each multiple-choice task, and the accuracies that the paper prints for them, in percent.
DEV_COUNTS = {"AR": 200, "NQA": 355, "PQA": 539, "AO": 259, "AC": 206, "ER": 352, "TR": 264}
DEV_PAPER = {"ER": 66.8, "NQA": 80.3, "PQA": 72.9, "AO": 59.8, "AC": 50.5, "AR": 52.5, "TR": 83.3}
TEST_COUNTS = {"TR": 91, "AR": 39, "NQA": 60, "ER": 53, "PQA": 50, "SQA": 36, "AO": 70, "AC": 60, "TQA": 43}
TEST_PAPER = {
    **{"ER": 58.5, "NQA": 63.3, "PQA": 64.0, "SQA": 44.4, "AO": 42.9},
    **{"AC": 28.3, "TQA": 39.5, "AR": 46.2, "TR": 89.0},
}


class Case:
    """Builds a run: a question each, its groups, the letter said (None: an error), and zooms."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.episodes: list[Episode] = []
        self.keys: dict[str, AnswerKey] = {}
        self.records: list[EpisodeRecord] = []

    def add(self, said: str | None, gold: int = 0, *, zooms: Any = (), evidence: Any = (), **groups: str) -> None:
        number = str(len(self.episodes))
        episode = Episode(id=number, question="?", video_path=Path("/v.mp4"), options=OPTIONS, groups=groups)
        invalid = "invalid" in groups
        self.episodes.append(episode)
        self.keys[number] = AnswerKey(
            answer_indices=() if invalid else (gold,),
            answer_texts=("x",) if invalid else (),
            evidence=tuple(Segment(*span) for span in evidence),
        )
        turns = [
            TurnRecord(observation="", timestamps=[], action="", info={"action": "zoom", "segment": list(span)})
            for span in zooms
        ]
        score = None if said is None or invalid else float(said == "ABCD"[gold])
        info = {"action": "answer", "parsed": said if said in {"A", "B", "C", "D"} else None}
        if said is not None:
            action = f"<answer>{said}</answer>"
            turns.append(TurnRecord(observation="", timestamps=[], action=action, info=info))
        status = "error:VideoDecodeError" if said is None else "answered"
        trajectory = Trajectory(episode_id=number, turns=turns, status=status, score=score)
        self.records.append(EpisodeRecord(key=number, run="r", trajectory=trajectory, groups=groups))

    @property
    def dataset(self) -> Dataset:
        return Dataset(name=self.name, episodes=self.episodes, keys=self.keys)

    def figures(self, denominator: Any = "all", parser: str = "strict") -> dict[str, float]:
        graded = grade_records(self.records, self.dataset, parser=parser)
        return {one.name: one.value for one in official_figures(self.name, graded, denominator=denominator)}


@pytest.mark.parametrize(
    ("counts", "paper", "micro", "macro"), [(DEV_COUNTS, DEV_PAPER, 68.8, 66.6), (TEST_COUNTS, TEST_PAPER, 55.8, 52.9)]
)
def test_mlvu_averages_come_out_of_the_papers_own_table(
    counts: dict[str, int], paper: dict[str, float], micro: float, macro: float
) -> None:
    found = mlvu_averages({task: (paper[task], counts[task]) for task in paper})
    assert tuple(round(one, 1) for one in found) == (micro, macro)
    # And out of the figures of a run that has so many right answers in each task.
    case = Case("MLVU")
    for task, count in counts.items():
        right = round(paper[task] * count / 100)
        for number in range(count):
            case.add("A" if number < right else "B", task=task, kind="choice")
    figures = case.figures()
    assert round(100 * figures["micro"], 1) == micro
    assert round(100 * figures["M-Avg (macro)"], 1) == macro


def test_bad_records_and_failures_count_both_ways() -> None:
    case = Case("MLVU")
    for said in ("A", "A", "B", None):
        case.add(said, task="ego", kind="choice")
    case.add("A", task="ego", kind="choice", invalid="no question")
    graded = grade_records(case.records, case.dataset)
    assert [one.status for one in graded] == ["graded", "graded", "graded", "error", "invalid"]
    assert (case.figures("all")["micro"], case.figures("official")["micro"]) == (2 / 4, 2 / 5)


@pytest.mark.parametrize(
    ("name", "official"),
    [("LVBench", 2 / 3), ("CGBench", 2 / 2), ("LongVideoReason", 2 / 3), ("NExTGQA", 2 / 3), ("VideoMME", 2 / 4)],
)
def test_official_denominators_drop_what_the_scripts_drop(name: str, official: float) -> None:
    case = Case(name)
    for said in ("A", "A", "hm?", None):
        case.add(said, task="t", genre="g")
    first = {"CGBench": "long-acc", "LVBench": "overall", "NExTGQA": "Acc@QA"}.get(name, "micro")
    assert case.figures("all")[first] == 2 / 4
    assert case.figures("official")[first] == pytest.approx(official)


def test_a_lenient_parser_raises_the_figure_and_leaves_the_record_alone() -> None:
    case = Case("CGBench")
    case.add("C or maybe A", task="t", domain="d")
    assert (case.figures()["long-acc"], case.figures(parser="cgbench_official")["long-acc"]) == (0.0, 1.0)
    assert case.records[0].trajectory.score == 0.0


def test_lvbench_counts_a_question_under_each_of_its_labels() -> None:
    case = Case("LVBench")
    case.add("A", task="reasoning, summarization", genre="sport")
    case.add("B", task="reasoning", genre="cartoon")
    figures = case.figures()
    assert (figures["overall"], figures["label reasoning"], figures["label summarization"]) == (0.5, 0.5, 1.0)
    assert figures["genre sport"] == 1.0


def test_videommmu_is_the_mean_of_its_tracks() -> None:
    case = Case("VideoMMMU")
    for track, letters in {"perception": "AAAA", "comprehension": "AB", "adaptation": "B"}.items():
        for letter in letters:
            case.add(letter, track=track, discipline="Science")
    figures = case.figures()
    assert (figures["overall"], figures["micro"]) == (0.5, 5 / 7)
    assert knowledge_gain(0.4, 0.55) == pytest.approx(25.0)
    assert math.isnan(knowledge_gain(1.0, 1.0))


def test_vnbench_wants_all_four_tries() -> None:
    case = Case("VNBench")
    for kind, group, letters in [("ret", "a", "AAAA"), ("ret", "b", "AAAB"), ("cnt", "c", "AAAA")]:
        for number, letter in enumerate(letters):
            case.add(letter, task=kind, try_group=group, **{"try": str(number)})
    figures = case.figures()
    assert (figures["type ret"], figures["type cnt"], figures["overall"]) == (0.5, 1.0, 0.75)
    assert figures["single tries"] == 11 / 12


def test_nextqa_prints_its_three_kinds() -> None:
    case = Case("NExTQA")
    for kind, letters in {"causal": "AB", "temporal": "AAB", "descriptive": "A"}.items():
        for letter in letters:
            case.add(letter, task=kind[:2], kind=kind)
    figures = case.figures()
    assert (figures["Acc_C"], figures["Acc_T"], figures["Acc_D"], figures["overall"]) == (0.5, 2 / 3, 1.0, 4 / 6)


def brute_overlap(
    predicted: tuple[float, float], truth: tuple[float, float], step: float = 0.01
) -> tuple[float, float]:
    """Intersection over prediction and over union, by counting small steps of time."""
    times = np.arange(0.0, 40.0, step) + step / 2
    inside = (times >= predicted[0]) & (times < predicted[1])
    true = (times >= truth[0]) & (times < truth[1])
    return (inside & true).sum() / inside.sum(), (inside & true).sum() / (inside | true).sum()


def test_grounding_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    case, expected = Case("NExTGQA"), []
    for _ in range(40):
        spans = [tuple(sorted(np.round(rng.uniform(0, 40, 2), 2).tolist())) for _ in range(3)]
        zoom, truths = spans[0], [(start, end + 0.5) for start, end in spans[1:]]
        zoom = (zoom[0], zoom[1] + 0.5)
        right = bool(rng.integers(2))
        case.add("A" if right else "B", zooms=[(1.0, 2.0), zoom], evidence=truths, task="CW", kind="causal")
        pairs = [brute_overlap(zoom, truth) for truth in truths]
        expected.append((right, max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)))
    figures = case.figures()
    iops, ious = (np.array([row[index] for row in expected]) for index in (1, 2))
    rights = np.array([row[0] for row in expected])
    assert figures["mIoP"] == pytest.approx(iops.mean(), abs=0.003)
    assert figures["mIoU"] == pytest.approx(ious.mean(), abs=0.003)
    for level in (0.3, 0.5):
        assert figures[f"IoU@{level}"] == pytest.approx((ious >= level).mean(), abs=0.03)
        assert figures[f"IoP@{level}"] == pytest.approx((iops >= level).mean(), abs=0.03)
    assert figures["Acc@GQA"] == pytest.approx((rights & (iops >= 0.5)).mean(), abs=0.03)
    assert figures["Acc@QA"] == rights.mean()


def test_clues_against_brute_force() -> None:
    case = Case("CGBench")
    case.add("A", zooms=[(0, 10), (20, 30)], evidence=[(5, 10), (20, 25)], task="t", domain="d")  # 10 of 20: 0.5
    case.add("B", zooms=[(0, 10)], evidence=[(9, 19)], task="t", domain="d")  # 1 of 19
    case.add("A", evidence=[(9, 19)], task="t", domain="d")
    figures = case.figures()
    ious = [0.5, 1 / 19, 0.0]
    levels = (0.1, 0.2, 0.3, 0.4, 0.5)
    assert figures["mIoU"] == pytest.approx(sum(ious) / 3)
    assert figures["rec@IoU"] == pytest.approx(sum(iou >= level for iou, level in itertools.product(ious, levels)) / 15)
    assert figures["acc@IoU"] == pytest.approx(1 / 3)
    assert clue_recovery_rate(0.4, 0.5) == pytest.approx(0.8)
    assert clue_recovery_rate(0.6, 0.5) == 1.0
    assert math.isnan(clue_recovery_rate(0.6, 0.0))


def test_moments_are_graded_by_their_overlap() -> None:
    episodes, keys, records = [], {}, []
    for number, iou in enumerate((1.0, 0.6, 0.4, 0.0)):
        name = str(number)
        episodes.append(Episode(id=name, question="?", video_path=Path("/v.mp4"), answer_kind="spans"))
        keys[name] = AnswerKey(answer_segments=(Segment(0, 1),))
        trajectory = Trajectory(episode_id=name, status="answered", score=iou)
        records.append(EpisodeRecord(key=name, run="r", trajectory=trajectory))
    dataset = Dataset(name="CharadesSTA", episodes=episodes, keys=keys)
    found = {one.name: one.value for one in official_figures("CharadesSTA", grade_records(records, dataset))}
    assert found == {"mIoU": 0.5, "R1@0.3": 0.75, "R1@0.5": 0.5, "R1@0.7": 0.25}


def test_judged_marks_stand_on_their_own_scale_and_wait_for_a_judge() -> None:
    episode = Episode(
        id="0",
        question="?",
        video_path=Path("/v"),
        answer_kind="text",
        groups={"task": "summary", "kind": "generation"},
    )
    dataset = Dataset(name="MLVU", episodes=[episode], keys={"0": AnswerKey(answer_texts=("x",), needs_judge=True)})
    record = EpisodeRecord(key="0", run="r", trajectory=Trajectory(episode_id="0", status="answered"))
    waiting = grade_records([record], dataset)
    assert (waiting[0].status, waiting[0].score) == ("ungraded", None)
    assert "G-Avg" not in {one.name for one in official_figures("MLVU", waiting)}
    judged = grade_records([record], dataset, verdicts={"0": 0.75})
    assert {one.name: one.value for one in official_figures("MLVU", judged)}["G-Avg"] == 8.0


def test_a_dataset_of_ones_own_gets_averages_and_its_groups() -> None:
    case = Case("Mine")
    for task, letters in {"a": "AAAB", "b": "B"}.items():
        for letter in letters:
            case.add(letter, task=task, level="only")
    figures = case.figures()
    assert (figures["micro"], figures["macro"], figures["task a"]) == (3 / 5, 3 / 8, 3 / 4)
    assert "level only" not in figures


def test_wrong_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="denominator wants"):
        counted("MLVU", [], "some")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no parser is called"):
        grade_records([], None, parser="x")  # type: ignore[arg-type]
    assert math.isnan(official_figures("Mine", [])[0].value)
