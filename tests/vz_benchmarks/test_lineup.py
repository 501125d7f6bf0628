"""Who plays: a model on a server that is sent the frames, and one reader behind every baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import TREES, write_tree
from chat_server import chat
from make_assets import asset, read_number
from recorder import Recorder

from vz_agents.baselines import Oracle, RandomZoom, UniformSampling
from vz_agents.remote_config import without_password
from vz_agents.search_baselines import FirstFrames, SubtitleSearch
from vz_benchmarks.adapters.catalogue import BENCHMARKS, VARIANTS
from vz_benchmarks.cli import main
from vz_benchmarks.lineup import LOOKING, line_up
from vz_benchmarks.one_shot import OneShot, prompt_digest
from vz_benchmarks.policies import POLICY_WORDS
from vz_benchmarks.records import read_records
from vz_benchmarks.runner import evaluate
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lineup")
    return write_tree(folder / "tree", TREES["cgbench-mini-subtitles"], asset("cfr.mp4").write(folder))


@pytest.fixture
def one_question(root):
    benchmark, options = VARIANTS["cgbench-mini-subtitles"]
    return load_dataset(benchmark.name, root=root, **options).subset(ids=["1"])


def read_by(look, dataset, out, **fields):
    reader = Recorder()
    result = evaluate(OneShot(reader, dataset.name, look=look, **fields), dataset, out=out)
    (seen,) = reader.seen
    return result, seen


@pytest.mark.parametrize(
    ("look", "numbers", "zooms"),
    [
        (UniformSampling(frames=4), [0, 75, 150, 225], 0),
        (FirstFrames(frames=3), [0, 30, 60], 1),
        (SubtitleSearch(frames_per_zoom=4), [0, 15, 45, 75, 105, 150], 1),  # two of the overview, four around the line
    ],
    ids=["uniform", "first", "subtitles"],
)
def test_a_reader_sees_the_frames_of_a_baseline_and_answers_once(look, numbers, zooms, one_question, tmp_path):
    budget = {"overview_frames": 2, "max_frames": 64}
    reader = Recorder()
    policy = OneShot(reader, one_question.name, look=look)
    result = evaluate(policy, one_question, out=tmp_path, env_options={"budget": budget})
    (seen,) = reader.seen
    assert [read_number(frame) for frame in seen.frames] == numbers
    assert np.allclose(seen.timestamps, np.array(numbers) / 30.0, atol=0.02)
    assert seen.text.endswith(BENCHMARKS["CGBench"].prompt(one_question.episodes[0]))
    (played,) = result.trajectories
    assert (played.score, len(played.turns), played.metrics["zooms"]) == (1.0, 1, zooms)
    assert played.turns[0].observation == seen.text
    assert result.policy == f"{look.name} by Recorder, one-shot prompt"


def test_what_the_environment_says_is_told_at_once_and_offers_no_zoom(one_question, tmp_path):
    result, seen = read_by(RandomZoom(zooms=2, frames_per_zoom=2), one_question, tmp_path, is_told_by_env=True)
    assert seen.text.startswith("Question: Which colour is the cart?\nA. Red")
    assert seen.text.count("Zoom ") == 2
    assert seen.text.count("Left: ") == 1
    assert seen.text.endswith("Left: no zooms, answer now")
    assert len(seen.frames) == len(seen.timestamps) == result.frames_per_episode
    assert result.policy == "RandomZoom by Recorder"


@pytest.mark.parametrize(
    "reply", ['<video_zoom>{"segment":[0,1],"fps":2}</video_zoom>', "", "</answer>" * 9, "x" * 99_999]
)
def test_looking_with_the_key_stays_cheating_and_any_reply_is_the_answer(reply, one_question, tmp_path):
    reader = Recorder(reply)
    policy = OneShot(reader, one_question.name, look=Oracle(one_question))
    result = evaluate(policy, one_question, out=tmp_path)
    assert result.reads_key
    (played,) = result.trajectories
    assert (played.status, played.score, result.unparsed) == ("answered", 0.0, 1)
    assert played.metrics["evidence_hit"] == 1.0


def test_a_changed_wording_or_look_is_another_run(one_question):
    reader = Recorder()
    policies = [
        OneShot(reader, "CGBench"),
        OneShot(reader, "VideoMME"),
        OneShot(reader, "CGBench", frames=8),
        OneShot(reader, "CGBench", look=UniformSampling(frames=32)),
        OneShot(reader, "CGBench", is_told_by_env=True),
    ]
    assert len({policy.fingerprint for policy in policies}) == 5
    assert policies[0].rules == {"prompts": f"asked once, one-shot prompt {prompt_digest(BENCHMARKS['CGBench'])}"}
    assert policies[-1].rules == {}
    assert len({prompt_digest(benchmark) for benchmark in BENCHMARKS.values()}) > 8


def test_interleaved_subtitles_stand_among_the_frames(root, tmp_path):
    video = next((root / "cg_videos_720p").iterdir())
    tree = write_tree(tmp_path / "lvb", TREES["longvideobench-subtitles"], video)
    benchmark, options = VARIANTS["longvideobench-subtitles"]
    dataset = load_dataset(benchmark.name, root=tree, **options).subset(limit=1)
    _, seen = read_by(UniformSampling(frames=4), dataset, tmp_path / "out")
    assert seen.text.startswith("0s\n2.5s\n5s: a tree\n7.5s\nQuestion: When 'hello' is said")


def test_words_become_policies(one_question):
    def names(*words, **more):
        return [policy.name for policy in line_up(words, one_question, **more)]

    assert names("blind", "uniform@4") == ["Blind", "UniformSampling-4"]
    assert names("uniform", frames=7, is_one_shot=True) == ["UniformSampling-7, one-shot prompt"]
    with pytest.raises(ConfigError, match="a reader is a model or a policy of your own, got the baseline 'uniform@8'"):
        names("blind", reader="uniform@8")
    assert set(POLICY_WORDS) >= LOOKING


@pytest.fixture
def server(serve):
    """A server that answers B."""
    return serve(lambda *_: chat("B", prompt_tokens=90, completion_tokens=10))


def pictures(request: dict) -> int:
    content = request["messages"][-1]["content"]
    return 0 if isinstance(content, str) else sum(part["type"] == "image_url" for part in content)


def test_a_model_on_a_server_is_every_baseline(server, root, tmp_path, monkeypatch, capsys):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    data = ["eval", "--benchmark", "cgbench-mini-subtitles", "--root", str(root), "--out", str(tmp_path)]
    model = ["--base-url", server.url.replace("//", "//me:password@"), "--model", "see-4"]
    looks = ["blind", "uniform@3", "first-frames@2"]
    assert main([*data, *model, "--policy", *looks, "--reader", "openai", "--prompt", "one-shot"]) == 0
    assert sorted(map(pictures, server.bodies)) == [0, 0, 2, 2, 3, 3]
    assert {request["temperature"] for request in server.bodies} == {0.0}
    assert {len(request["messages"]) for request in server.bodies} == {1}  # a one-shot prompt and no rules beside it
    printed = capsys.readouterr().out
    assert "UniformSampling-3 by remote:see-4" in printed
    records = read_records(tmp_path / "results.jsonl")
    assert [record.trajectory.score for record in records] == [1.0, 0.0] * 3
    assert {record.trajectory.metrics["tokens"] for record in records} == {100.0}
    assert "tokens" in printed  # a column, and a chart in the report
    server.bodies.clear()
    assert main([*data, *model, "--policy", "openai", "--no-images", "--limit", "1"]) == 0
    request = server.bodies[0]
    assert "video_zoom" in request["messages"][0]["content"]  # here it is told the rules
    assert pictures(request) == 0
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sk-very-secret" not in kept
    assert b"password" not in kept


def test_a_server_wants_an_address_and_a_model(root, monkeypatch, capsys):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(["eval", "--benchmark", "cgbench-mini", "--root", str(root), "--policy", "openai"]) == 2
    assert "--policy openai wants --base-url and --model" in capsys.readouterr().err
    assert without_password("https://me:pw@host:8/v1?x=1") == "https://host:8/v1?x=1"
    assert without_password("") == ""
