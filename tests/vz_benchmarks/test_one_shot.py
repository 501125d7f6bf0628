"""One-shot evaluation: the prompt, the subtitles of the frames, the question's picture after the video."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import TREES, write_tree
from make_assets import asset, read_number
from recorder import Recorder

from vz_benchmarks.adapters.catalogue import VARIANTS
from vz_benchmarks.cli import main
from vz_benchmarks.one_shot import OneShot
from vz_benchmarks.prompt_template import PromptTemplate
from vz_benchmarks.records import read_records
from vz_benchmarks.runner import evaluate
from vz_benchmarks.viewer import view_episode
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asset("cfr.mp4").write(tmp_path_factory.mktemp("video"))


def load(variant: str, folder: Path, video: Path):
    benchmark, options = VARIANTS[variant]
    return load_dataset(benchmark.name, root=write_tree(folder, TREES[variant], video), **options)


def test_the_policy_sees_the_one_shot_prompt_and_its_reply_is_the_answer(video, tmp_path):
    dataset = load("videomme-subtitles", tmp_path / "tree", video)
    policy = Recorder()
    result = evaluate(OneShot(policy, dataset.name, frames=10), dataset, out=tmp_path / "out")
    first = next(one for one in policy.seen if one.episode.id == "001-1")
    assert first.text.startswith("Said at the frames of the video:\ntwo nails\nWhich option answers")
    assert first.text.endswith("The letter is:")
    assert len(first.frames) == 10
    second = next(one for one in policy.seen if one.episode.id == "002-1")
    assert second.text.startswith("Which option answers")
    assert [one.score for one in result.trajectories] == [1.0, 0.0]
    assert {len(one.turns) for one in result.trajectories} == {1}
    assert result.policy == "Recorder, one-shot prompt"


def test_a_prompt_of_ones_own_is_asked_to_the_byte(video, tmp_path):
    dataset = load("videomme-subtitles", tmp_path / "tree", video).subset(ids=["001-1"])
    file = tmp_path / "prompt.txt"
    file.write_bytes(b'Heard:\r\n{subtitles}\nQ {question}\n{options_in_brackets}\n{"as": "JSON"} {other}\n')
    template, policy = PromptTemplate.read(file), Recorder()
    own = OneShot(policy, dataset.name, template=template, frames=10)
    evaluate(own, dataset, out=tmp_path / "out")
    options = "(A) One.\n(B) Two.\n(C) Three.\n(D) Four."
    assert policy.seen[0].text == f'Heard:\ntwo nails\nQ How many nails?\n{options}\n{{"as": "JSON"}} {{other}}'
    assert own.fingerprint != OneShot(policy, dataset.name, frames=10).fingerprint


def test_no_question_is_taken_for_a_place(video, tmp_path):
    episode = load("nextqa-val", tmp_path / "tree", video).episodes[0]
    odd = dataclasses.replace(episode, question="What is {options} {0}?")
    assert PromptTemplate("{question}").fill(odd) == "What is {options} {0}?"


@pytest.mark.parametrize(
    ("content", "match"),
    [(None, "No such file"), (b"Q:", "wants {question}"), (b"{question}\xff", "UTF-8"), (b"x" * 70_000, "at most")],
)
def test_a_template_that_cannot_be_one_is_refused(tmp_path, content, match):
    file = tmp_path / "prompt.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=match):
        PromptTemplate.read(file)


def test_the_questions_picture_comes_after_the_video(video, tmp_path):
    dataset = load("videommmu", tmp_path / "tree", video)
    policy = Recorder()
    some = dataset.subset(ids=["adaptation_validation_Accounting_2", "perception_dev_Biology_1"])
    evaluate(OneShot(policy, dataset.name, frames=4), some, out=tmp_path / "out")
    adaptation, perception = policy.seen
    assert [read_number(frame) for frame in adaptation.frames] == [0, 75, 150, 225, 0]
    assert adaptation.timestamps.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert len(perception.frames) == 4


def test_a_page_shows_the_questions_picture_behind_the_frames(video, tmp_path):
    dataset = load("videommmu", tmp_path / "tree", video).subset(ids=["adaptation_validation_Accounting_2"])
    result = evaluate(OneShot(Recorder(), dataset.name, frames=4), dataset, out=tmp_path / "out")
    shown = view_episode(result.trajectories[0], dataset).turns[0].thumbnails
    assert [one.label for one in shown] == ["0.00s", "2.50s", "5.00s", "7.50s", "picture of the question"]


def test_before_the_lecture_there_is_the_picture_alone(video, tmp_path):
    dataset = load("videommmu", tmp_path / "tree", video)
    policy = Recorder()
    some = dataset.subset(ids=["adaptation_validation_Accounting_2"])
    evaluate(OneShot(policy, dataset.name, frames=0), some, out=tmp_path / "out")
    assert [read_number(frame) for frame in policy.seen[0].frames] == [0]


def test_a_policy_that_reads_gets_no_picture(video, tmp_path):
    dataset = load("videommmu", tmp_path / "tree", video)
    policy = Recorder(needs_frames=False)
    some = dataset.subset(ids=["adaptation_validation_Accounting_4"])
    some.episodes[0].question_images[0].unlink()
    assert evaluate(OneShot(policy, dataset.name), some, out=tmp_path / "a").errors == {}
    missing = evaluate(OneShot(Recorder(), dataset.name), some, out=tmp_path / "b", retries=0)
    assert set(missing.errors) == {"error:VideoNotFound"}


def test_the_command_line_asks_in_one_shot(video, tmp_path, monkeypatch, capsys):
    tree = write_tree(tmp_path / "tree", TREES["nextqa-val"], video)
    (tmp_path / "mine.py").write_text("def answer(observation):\n    return 'C'\n")
    monkeypatch.chdir(tmp_path)
    words = ["eval", "--benchmark", "nextqa-val", "--root", str(tree), "--policy", "mine:answer", "--out", "out"]
    assert main([*words, "--prompt", "one-shot", "--frames", "2"]) == 0
    records = read_records(Path("out") / "results.jsonl")
    assert [record.trajectory.turns[0].action for record in records] == ["C"] * 3
    assert np.all([len(record.trajectory.turns[0].timestamps) == 2 for record in records])
    assert "answer, one-shot prompt" in capsys.readouterr().out
    (tmp_path / "prompt.txt").write_text("{question}\n{options}\n")
    assert main([*words, "--prompt-file", "prompt.txt", "--frames", "2"]) == 0
    assert "answer, own prompt" in capsys.readouterr().out
