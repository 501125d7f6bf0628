from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from vz_agents.checkpoint import Checkpoints, load_policy
from vz_agents.curriculum import CurriculumConfig
from vz_agents.learning_log import CURVE_NAME, LearningLog, read_curve, transcript
from vz_agents.ppo import PPOConfig
from vz_agents.sft import SFTConfig
from vz_agents.train import SFT_FOLDER, TrainConfig, train_policy, train_uniform
from vz_agents.train_config import claim_folder
from vz_agents.trajectory import Trajectory, TurnRecord
from vz_env.budget import Budget
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.errors import ConfigError
from vz_env.render import SHEET_SIZE

CONFIG = TrainConfig(
    from_scratch=True,
    eval_every=1,
    eval_episodes=2,
    budget=Budget(overview_frames=12, max_turns=3, max_zooms=2, max_frames=44),
    curriculum=CurriculumConfig(steps=10, batch_size=4),
    rehearsals=2,
    sft=SFTConfig(epochs=1),
    ppo=PPOConfig(lr=2e-4, iterations=4, prompts=2, samples=2, critic_warmup=1),
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """The train and the validation split of a needle dataset with two short videos and one."""
    config = NeedleConfig(seed=3, videos={"train": 2, "validation": 1}, overview_frames=12, spacings_seconds=(8,))
    root = tmp_path_factory.mktemp("needle")
    return tuple(load_needle(split=split, root=root, config=config) for split in ("train", "validation"))


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train_policy(*splits, out, CONFIG) is not None
    return out


@pytest.fixture
def begun(whole, tmp_path):
    """A run folder after the cold start, as a run killed right then leaves it."""
    out = tmp_path / "run"
    out.mkdir()
    for name in ("training.json", "exemplars.jsonl"):
        shutil.copy(whole / name, out)
    for name in ("base", SFT_FOLDER):
        shutil.copytree(whole / name, out / name)
    return out


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder, by what it holds."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_leaves_what_the_docs_say(whole):
    names = {path.name for path in whole.iterdir()}
    kept = {"training.json", "exemplars.jsonl", "sft", "checkpoints", "policy", "learning_curve.jsonl", "tensorboard"}
    assert names == kept | {"base", "attempts.jsonl", "exemplars.json"}
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["step-000003", "step-000004"]
    rows = read_curve(whole)
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3]
    assert [row["episodes"] for row in rows] == [4, 8, 12, 16]
    assert all({"reward", "accuracy", "zooms", "frames", "entropy", "eval_accuracy"} <= row.keys() for row in rows)
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-5)  # the critic is trained alone at first
    assert rows[-1]["kl"] > 0.0
    assert load_policy(whole).name == "PPO"
    weights = {folder: hashes(whole / folder)["model.safetensors"] for folder in (SFT_FOLDER, "policy")}
    assert weights["policy"] != weights[SFT_FOLDER]


def test_tensorboard_shows_scalars_and_whole_trajectories(whole):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    scalars = {"rollout/ep_rew_mean", "train/kl_to_reference", "train/explained_variance", "time/rollout_seconds"}
    assert scalars | {"eval/accuracy"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("eval/accuracy")] == [0, 1, 2, 3]
    texts = events.Tensors("eval/trajectory/text_summary")
    shown = texts[-1].tensor_proto.string_val[0].decode()
    assert len(texts) == 4
    assert "turn 1, shown:" in shown
    assert "Question: " in shown
    assert "s: new " in shown
    turns = [name for name in events.Tags()["images"] if name.startswith("eval/trajectory_turn_")]
    assert len(turns) >= shown.count(", shown:")
    sheet = Image.open(io.BytesIO(events.Images("eval/trajectory_turn_1")[-1].encoded_image_string))
    assert sheet.size == SHEET_SIZE
    assert len(sheet.getcolors(1 << 20)) > 50  # frames, and not paper


def test_the_same_call_again_is_quick_and_changes_nothing(splits, whole):
    before = hashes(whole)
    started = time.monotonic()
    assert train_policy(*splits, whole, CONFIG) is not None
    assert time.monotonic() - started < 1.0
    assert hashes(whole) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ppo": replace(CONFIG.ppo, lr=0.5)}, r"\(ppo\.lr is 0\.0002, not 0\.5\)"),
        ({"seed": 4, "describe": "none"}, r'\(describe is "palette", not "none", seed is 0, not 4\)'),
        ({"budget": Budget(overview_frames=12)}, r"budget\.max_turns is 3, not 6"),
    ],
)
def test_another_configuration_is_refused_and_says_what_differs(splits, whole, changes, said):
    before = hashes(whole)
    with pytest.raises(ConfigError, match=said) as refusal:
        train_policy(*splits, whole, replace(CONFIG, **changes))
    assert "choose another folder with --out" in str(refusal.value)
    assert hashes(whole) == before


def test_a_run_that_keeps_no_checkpoint_is_refused():
    with pytest.raises(ConfigError, match="keep_last wants 1 checkpoint or more, got 0"):
        replace(CONFIG, keep_last=0)


def test_a_folder_of_a_version_that_lacked_a_setting_goes_on(splits, whole, tmp_path):
    asked = json.loads((whole / "training.json").read_text())
    for name in ("reflection", "exemplars", "tool_bonus"):
        del asked["train"][name]
    del asked["train"]["sft"]["checkpoint_every"]
    (tmp_path / "training.json").write_text(json.dumps(asked))
    claim_folder(tmp_path, CONFIG, splits[0].revision)
    with pytest.raises(ConfigError, match=r"tool_bonus is 0\.0, not 0\.5"):
        claim_folder(tmp_path, replace(CONFIG, tool_bonus=0.5), splits[0].revision)


def test_a_password_in_an_address_is_not_kept(tmp_path):
    asked = replace(CONFIG, teacher="openai", base_url="https://me:secret@host/v1")
    claim_folder(tmp_path, asked, "1")
    assert "secret" not in (tmp_path / "training.json").read_text()
    claim_folder(tmp_path, replace(asked, base_url="https://me:other@host/v1"), "1")
    with pytest.raises(ConfigError, match="base_url"):
        claim_folder(tmp_path, replace(asked, base_url="https://me:secret@elsewhere/v1"), "1")


def test_other_data_is_refused(splits, whole):
    train, validation = splits
    with pytest.raises(ConfigError, match="revision is "):
        train_policy(validation, train, whole, CONFIG)


@pytest.mark.parametrize("text", ["[]", "3", '{"policy": ["blind"], "train": {}}'])
def test_a_folder_of_something_else_is_refused(splits, tmp_path, text):
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(ConfigError, match=r"training\.json is not of a training run: choose another folder"):
        train_policy(*splits, tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["training.json"]


TRAIN = """
import pickle, sys
from pathlib import Path
import torch
from vz_agents.train import train_policy
from vz_env.datasets.needle import load_needle

torch.set_num_threads(1)
splits = [load_needle(split=split, root=sys.argv[1]) for split in ("train", "validation")]
train_policy(*splits, Path(sys.argv[2]), pickle.loads(bytes.fromhex(sys.argv[3])))
"""


def test_kill_9_in_the_middle_of_ppo_changes_nothing_in_the_end(splits, whole, begun):
    command = [sys.executable, "-c", TRAIN, str(splits[0].root), str(begun), pickle.dumps(CONFIG).hex()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(read_curve(begun)) < 2:
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline, "no iteration came"
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (begun / "policy").exists(), "it ended before it was killed"
    assert Checkpoints(begun / "checkpoints").latest() is not None
    with (begun / CURVE_NAME).open("a") as curve:
        curve.write('{"iteration": 2, "epi')

    assert train_policy(*splits, begun, CONFIG) is not None

    assert hashes(begun / "policy") == hashes(whole / "policy")
    assert (begun / CURVE_NAME).read_bytes() == (whole / CURVE_NAME).read_bytes()


def test_a_stop_writes_a_checkpoint_and_the_next_call_ends_as_if_there_was_none(splits, whole, begun, monkeypatch):
    for name, value in {"MODE": "offline", "SILENT": "true", "CACHE_DIR": str(begun)}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    answers, tracked = iter([False, True]), replace(CONFIG, track="wandb")
    assert train_policy(*splits, begun, tracked, should_stop=lambda: next(answers)) is None
    assert Checkpoints(begun / "checkpoints").latest().name == "step-000002"
    assert len(read_curve(begun)) == 2
    assert not (begun / "policy").exists()

    asked, more = [], replace(tracked, keep_last=3)  # which may be changed on the way, as may who is told
    assert train_policy(*splits, begun, more, should_stop=lambda: asked.append(0) or False) is not None
    assert len(asked) == 2
    assert hashes(begun / "policy") == hashes(whole / "policy")
    best = max(read_curve(begun), key=lambda row: (row["eval_accuracy"], row["iteration"]))["iteration"] + 1
    kept = {int(path.name.removeprefix("step-")) for path in (begun / "checkpoints").iterdir()}
    assert kept == {2, 3, 4, best}
    known = json.loads((begun / "tracking.json").read_text())["wandb"]
    assert [path.name for path in begun.glob("wandb/offline-run-*/run-*.wandb")] == [f"run-{known}.wandb"] * 2


def test_a_stop_between_evaluations_writes_a_checkpoint_too(splits, begun):
    config = replace(CONFIG, eval_every=100)
    (begun / "training.json").unlink()
    assert train_policy(splits[0], None, begun, config, should_stop=lambda: True) is None
    assert [path.name for path in (begun / "checkpoints").iterdir()] == ["step-000001"]
    assert "eval_accuracy" not in read_curve(begun)[0]


def test_a_stop_after_the_last_iteration_is_too_late(splits, begun):
    config = replace(CONFIG, ppo=replace(CONFIG.ppo, iterations=1))
    (begun / "training.json").unlink()
    assert train_policy(splits[0], None, begun, config, should_stop=lambda: True) is not None


def test_stages_tell_their_names_and_how_far_they_are(splits, whole, begun):
    told = {}

    @contextmanager
    def stage(title):
        yield lambda done, total: told.setdefault(title, []).append((done, total))

    shutil.rmtree(begun / SFT_FOLDER)
    (begun / "exemplars.jsonl").unlink()
    train_policy(*splits, begun, CONFIG, stage=stage, should_stop=lambda: "Reinforcement (PPO)" in told)

    assert list(told) == ["Exemplars of the scripted teacher", "Cold start (SFT)", "Reinforcement (PPO)"]
    assert told["Reinforcement (PPO)"] == [(1, 4)]
    assert all(done == total for done, total in (seen[-1] for seen in list(told.values())[:2]))
    assert hashes(begun / SFT_FOLDER) == hashes(whole / SFT_FOLDER)  # exemplars and SFT are the same each time


def test_the_uniform_arm_begins_from_the_same_base_and_does_not_zoom(splits, whole, tmp_path):
    policy = train_uniform(splits[0], tmp_path, 20, CONFIG, base_out=whole)
    budget = policy.budget_for(CONFIG.budget)
    assert policy.name == "UniformSampling-20 (SFT)"
    assert (budget.overview_frames, budget.max_zooms) == (20, 0)
    exemplars = (tmp_path / "exemplars.jsonl").read_text().splitlines()
    assert len(exemplars) == len(splits[0])
    assert all("<video_zoom>" not in line for line in exemplars)
    before = hashes(tmp_path)
    assert train_uniform(splits[0], tmp_path, 20, CONFIG, base_out=whole).name == policy.name
    assert hashes(tmp_path) == before


def test_a_curve_with_a_broken_last_line_is_read_up_to_it(tmp_path):
    assert read_curve(tmp_path) == []
    (tmp_path / CURVE_NAME).write_text('{"iteration": 0, "reward": 1.0}\n{"iteration": 1}\n{"iteration": 2, "rew')
    assert read_curve(tmp_path) == [{"iteration": 0, "reward": 1.0}, {"iteration": 1}]


def test_opening_a_log_drops_what_comes_again(tmp_path):
    rows = [{"iteration": number, "episodes": number} for number in range(4)]
    (tmp_path / CURVE_NAME).write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"iter')
    log = LearningLog(tmp_path, iteration=2)
    log.scalars(2, 99, {"rollout/accuracy": 0.25, "time/rollout_seconds": 3.0})
    log.close()
    assert read_curve(tmp_path) == [*rows[:2], {"iteration": 2, "episodes": 99, "accuracy": 0.25}]


def test_a_transcript_shows_every_turn_as_code():
    turn = TurnRecord(observation="Question: <b>?</b>\n0s: new teal 88%", timestamps=[0.0], action="<answer>B</answer>")
    trajectory = Trajectory(episode_id="e", policy="P", turns=[turn], status="answered", reward=1.0, score=1.0)
    text = transcript(trajectory)
    assert text.startswith("**e** answered, score 1.0, reward 1.00")
    assert "    Question: <b>?</b>\n    0s: new teal 88%" in text
    assert "the policy wrote:\n\n    <answer>B</answer>" in text
