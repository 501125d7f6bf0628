from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vz_agents.curriculum import CurriculumConfig
from vz_agents.learning_log import read_curve
from vz_agents.ppo import PPOConfig
from vz_agents.sft import SFTConfig
from vz_agents.train import TrainConfig
from vz_benchmarks import demo
from vz_benchmarks.cli import main
from vz_benchmarks.commands import train as train_command
from vz_benchmarks.demo import DemoArgs, run_demo
from vz_benchmarks.records import read_records
from vz_benchmarks.studies.demo_seeds import DemoSeedsArgs, run_study
from vz_env.budget import Budget
from vz_env.datasets.needle import NeedleConfig, make_needle
from vz_env.errors import ConfigError, DatasetError

CONFIG = TrainConfig(
    from_scratch=True,
    eval_episodes=2,
    budget=Budget(overview_frames=12, max_turns=3, max_zooms=2, max_frames=44),
    curriculum=CurriculumConfig(steps=10, batch_size=4),
    rehearsals=2,
    sft=SFTConfig(epochs=1),
    ppo=PPOConfig(iterations=2, prompts=2, samples=2, critic_warmup=1),
)


def small_needle(*, videos, **options):
    """The demo's dataset with shorter videos, and one of them to validate on."""
    short = {"overview_frames": 12, "spacings_seconds": (8,)}
    return NeedleConfig(videos={**videos, "validation": 1}, **short, **options)


@pytest.fixture
def short_videos(monkeypatch):
    monkeypatch.setattr(demo, "NeedleConfig", small_needle)


@pytest.fixture(scope="module")
def args(tmp_path_factory):
    """What the finished demo of this module was asked for."""
    wanted = DemoArgs(out=tmp_path_factory.mktemp("demo") / "run", videos_train=2, videos_test=2, config=CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "NeedleConfig", small_needle)
        assert run_demo(wanted) == 0
    return wanted


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_demo_leaves_a_page_figures_and_curves(args):
    page = (args.out / "report.html").read_text()
    figures = json.loads((args.out / "findings.json").read_text())

    names = ["PPO", "SFT", "UniformSampling", "RandomZoom", "Blind", "Oracle"]
    assert [next(name for name in names if policy.startswith(name)) for policy in figures] == sorted(names)
    assert all(policy in page for policy in figures)
    assert figures["Oracle"]["accuracy"] == 1.0
    uniform = next(figure for policy, figure in figures.items() if policy.startswith("UniformSampling"))
    assert uniform["zooms"] == 0.0
    assert 0.0 <= uniform["frames"] - figures["PPO"]["frames"] < 1.0  # as many frames, rounded up
    assert len({figure["episodes"] for figure in figures.values()}) == 1
    for words in ("Learning where to look", "Learning curve", "against uniform sampling", "Blind guessing: "):
        assert words in page
    assert "random; 10 steps of look-ups and 2 rehearsals in this run" in page
    assert "<article>" in page
    assert len(read_curve(args.out)) == 2
    assert list((args.out / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.usefixtures("short_videos")
def test_the_same_demo_again_is_quick_and_plays_nothing_again(args, capsys):
    before, records = hashes(args.out), len(read_records(args.out / "results.jsonl"))
    started = time.monotonic()
    assert run_demo(args) == 0
    assert time.monotonic() - started < 5.0
    after = hashes(args.out)
    assert len(read_records(args.out / "results.jsonl")) == records
    assert {name for name in after if after.get(name) != before.get(name)} <= {"report.html"}
    printed = capsys.readouterr().out
    assert "PPO against its own SFT start: " in printed
    assert "report.html" in printed


@pytest.mark.usefixtures("short_videos")
def test_several_seeds_make_one_table(args, tmp_path, capsys):
    study = DemoSeedsArgs(out=tmp_path, seeds=(0, 1), demo=args)
    assert run_study(study) == 0
    rows = capsys.readouterr().out.strip().splitlines()[-5:]
    assert [row.split("|")[1].strip() for row in rows] == ["seed", "---", "0", "1", "all"]
    assert {row.count("|") for row in rows} == {8}
    figures = [json.loads((tmp_path / f"seed-{seed}" / "findings.json").read_text()) for seed in (0, 1)]
    pooled = sum(figure["PPO"]["accuracy"] for figure in figures) / 2
    assert f"| all | {100 * pooled:.1f} [" in rows[-1]
    assert run_study(study) == 0  # nothing is done again
    assert capsys.readouterr().out.strip().splitlines()[-5:] == rows


@pytest.mark.usefixtures("short_videos")
def test_another_demo_in_the_same_folder_is_refused(args):
    with pytest.raises(ConfigError, match=r"ppo\.iterations is 2, not 9"):
        run_demo(replace(args, config=replace(CONFIG, ppo=replace(CONFIG.ppo, iterations=9))))


@pytest.mark.usefixtures("short_videos")
def test_a_stop_ends_the_demo_before_any_report(args, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "train_policy", lambda *splits, should_stop, **options: None)
    assert run_demo(replace(args, out=tmp_path)) == 0
    assert "stopped; the same command continues" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("short_videos")
def test_a_test_split_that_cannot_be_played_is_one_clear_error(args, monkeypatch, tmp_path):
    real = demo.evaluate

    def spoiled(policy, test, *, out, **options):
        for video in test.root.glob("test/*.mp4"):
            video.rename(video.with_suffix(".away"))
        try:
            return real(policy, test, out=tmp_path, **options)
        finally:
            for video in test.root.glob("test/*.away"):
                video.rename(video.with_suffix(".mp4"))

    monkeypatch.setattr(demo, "evaluate", spoiled)
    with pytest.raises(DatasetError, match=r"all of them failed: .*VideoNotFound"):
        run_demo(args)


@pytest.fixture(scope="module")
def train_root(tmp_path_factory):
    config = NeedleConfig(seed=4, videos={"train": 2, "validation": 1}, overview_frames=12, spacings_seconds=(8,))
    return make_needle(tmp_path_factory.mktemp("set") / "needle", config)


@pytest.fixture
def train_words(train_root, tmp_path):
    """A small `vz train` on it."""
    words = ["train", "--root", str(train_root), "--out", str(tmp_path / "run"), "--eval-episodes", "2"]
    words += ["--budget.overview-frames", "12", "--budget.max-turns", "2", "--budget.max-frames", "28"]
    words += ["--sft.epochs", "1", "--ppo.prompts", "2", "--ppo.samples", "2", "--ppo.critic-warmup", "1"]
    words += ["--from-scratch", "--curriculum.steps", "10", "--curriculum.batch-size=4", "--rehearsals", "2"]
    return [*words, "--ppo.iterations", "2"]


def test_train_trains_continues_and_leaves_a_policy_that_eval_plays(train_words, train_root, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(train_words) == 0
    printed = capsys.readouterr()
    assert f"policy: {run}/policy   try: vz eval --policy {run} --dataset Needle" in printed.out.replace("\n", "")
    told = printed.err.splitlines()
    assert all(line.endswith(" ...") for line in told)  # the stages, and no bars where there is no terminal
    assert [line.partition(" ")[0] for line in told] == ["Exemplars", "Look-up", "Rehearsals", "Cold", "Reinforcement"]
    before = hashes(run)
    assert main(train_words) == 0
    assert hashes(run) == before
    assert main([*train_words, "--seed", "5"]) == 2
    assert "another configuration (seed is 0, not 5)" in capsys.readouterr().err
    words = ["eval", "--root", str(train_root), "--split", "validation", "--policy", str(run), "--limit", "2"]
    assert main([*words, "--out", str(tmp_path / "eval"), "--budget.overview-frames", "12"]) == 0
    assert "PPO" in capsys.readouterr().out


def test_a_stopped_training_says_how_to_go_on(train_words, monkeypatch, capsys):
    def stopped(train, validation, out, config, *, stage, should_stop, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()

    monkeypatch.setattr(train_command, "train_policy", stopped)
    assert main(train_words) == 143
    assert "stopped; the same command continues in " in capsys.readouterr().out


def test_train_without_a_validation_split(train_words, train_root, monkeypatch):
    seen = []

    def take(train, validation, out, config, **options):
        seen.append((train, validation))

    monkeypatch.setattr(train_command, "train_policy", take)
    assert main([*train_words, "--validation", ""]) == 0
    assert main([*train_words, "--dataset", str(train_root / "train.jsonl")]) == 0
    assert main(train_words) == 0
    assert [None if validation is None else validation.split for _, validation in seen] == [None, None, "validation"]
    assert {train.split for train, _ in seen} == {"train"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "no such folder"),
        ({}, "wanted a causal language model in"),
        ({"config.json": "{}"}, "wanted a causal language model in"),
        ({"config.json": "no json"}, "wanted a causal language model in"),
    ],
)
def test_a_model_folder_that_is_none_is_one_line_and_exit_2(train_words, files, said, tmp_path, capsys):
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert main([*train_words, "--model", str(folder)]) == 2
    complaint = [line for line in capsys.readouterr().err.splitlines() if not line.endswith(" ...")]
    assert len(complaint) == 1
    assert complaint[0].startswith("vz: ")
    assert said in complaint[0]
    assert str(folder) in complaint[0]
