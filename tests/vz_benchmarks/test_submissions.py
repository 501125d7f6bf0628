"""Answers as benchmarks take them: the form to the key, nothing guessed, one run at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_trees import TREES, write_tree
from make_assets import asset

from vz_benchmarks.adapters.catalogue import VARIANTS
from vz_benchmarks.cli import main
from vz_benchmarks.runner import evaluate
from vz_benchmarks.submissions import read_choices, write_submission
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError

REPLIES = {"AR_0": "<answer>F</answer>", "001-1": "<answer>B</answer>"}


def reply(observation):
    """A letter for one question of each benchmark, and words that name no option for the others."""
    return REPLIES.get(observation.episode.id, "<answer>I cannot say</answer>")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asset("cfr.mp4").write(tmp_path_factory.mktemp("video"))


@pytest.fixture
def play(video, tmp_path):
    """Play a variant; returns the dataset and what its submission is."""

    def run(variant: str, policy=reply):
        benchmark, options = VARIANTS[variant]
        dataset = load_dataset(benchmark.name, root=write_tree(tmp_path / variant, TREES[variant], video), **options)
        result = evaluate(policy, dataset, out=tmp_path / "out")
        return dataset, write_submission(dataset, read_choices(result, dataset))

    return run


def test_mlvu_test_is_a_list_of_letters(play):
    assert play("mlvu-test")[1] == [
        {"question_id": "AR_0", "question_type": "anomaly_reco", "option": "F"},
        {"question_id": "SQA_0", "question_type": "sportsQA", "option": ""},
    ]


def test_egoschema_is_numbers_also_where_the_answer_is_hidden(play):
    def second(observation):
        return "<answer>B</answer>"

    dataset, submission = play("egoschema-full", second)

    assert any(episode.groups["answers"] == "hidden" for episode in dataset)
    assert submission == dict.fromkeys(dataset.ids, 1)
    assert play("egoschema-subset", lambda observation: "<answer>none</answer>")[1] == {}


def test_videomme_is_grouped_by_video(play):
    _, submission = play("videomme")
    first = next(video for video in submission if video["video_id"] == "001")

    assert set(first) == {"video_id", "duration", "domain", "sub_category", "questions"}
    assert [(one["question_id"], one["answer"], one["response"]) for one in first["questions"]] == [("001-1", "B", "B")]
    assert first["questions"][0]["options"][0] == "A. One."
    assert {one["response"] for video in submission for one in video["questions"]} == {"B", ""}


def test_other_sets_have_no_form(play):
    with pytest.raises(ConfigError, match="no form of submission is known for 'NExTQA'"):
        play("nextqa-val")
    with pytest.raises(ConfigError, match="its test split"):
        play("mlvu-dev")


def test_the_command_writes_the_file_and_wants_one_policy(video, tmp_path, capsys):
    tree = write_tree(tmp_path / "tree", TREES["mlvu-test"], video)
    words = ["eval", "--benchmark", "mlvu-test", "--root", str(tree), "--out", str(tmp_path / "run"), "--frames", "2"]
    assert main([*words, "--policy", "uniform", "oracle"]) == 0
    score = ["score", str(tmp_path / "run"), "--submission", str(tmp_path / "answers.json")]
    assert main(score) == 2
    assert "--policy" in capsys.readouterr().err
    assert main([*score, "--policy", "Oracle", "--parser", "mlvu_official"]) == 0
    assert [one["option"] for one in json.loads((tmp_path / "answers.json").read_text())] == ["E", "F"]
