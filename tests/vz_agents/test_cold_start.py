"""The cold start on tiny videos: its switches, what reflection leaves behind, and what a stop or a kill costs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vz_agents.checkpoint import load_policy
from vz_agents.cold_base import load_base
from vz_agents.cold_start import cold_start
from vz_agents.curriculum import CurriculumConfig
from vz_agents.exemplars import EXEMPLARS, ExemplarConfig, read_counts, read_exemplars
from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import as_policy
from vz_agents.ppo import PPOConfig
from vz_agents.reflection import REFLECTIONS, ReflectionConfig
from vz_agents.remote_config import ServerConfig
from vz_agents.repairs import first_own_turn
from vz_agents.rollout import collect_rollouts, run_episode
from vz_agents.sft import SFTConfig
from vz_agents.student import mix_reflections
from vz_agents.teachers import find_teacher
from vz_agents.train import TrainConfig, train_policy
from vz_agents.train_config import claim_folder
from vz_agents.trajectory_files import write_trajectories
from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.rewards import annealed_bonus


@pytest.fixture(scope="module")
def config(needle_budget):
    return TrainConfig(
        from_scratch=True,
        reinforce=False,
        exemplar_episodes=3,
        budget=needle_budget,
        curriculum=CurriculumConfig(steps=4, batch_size=2),
        rehearsals=2,
        teacher="vz_agents.needle_expert:NeedleExpert",
        sft=SFTConfig(epochs=1, checkpoint_every=1),
        ppo=PPOConfig(iterations=1, prompts=2, samples=2),
    )


@pytest.fixture(scope="module")
def base(needle, config, tmp_path_factory):
    """A run folder with the cold-start base, and the failures of a student that zooms to the wrong place."""
    out = tmp_path_factory.mktemp("base")
    cold_start(needle, out, replace(config, cold_start=False))

    def student(seen):
        if not seen.history:
            return "<think>here</think>" + format_zoom((0, 8), 1)
        return "<answer>none</answer>"

    env = VideoZoomEnv(needle, budget=config.budget, with_frames=False)
    played = [run_episode(env, as_policy(student), name, seed) for seed, name in enumerate(needle.ids)]
    write_trajectories(out / "student.jsonl", played)
    return out


def begin(base: Path, out: Path, *names: str) -> Path:
    """A run folder with some of what the base's holds."""
    out.mkdir()
    for name in ("base", *names):
        (out / name).symlink_to(base / name)
    return out


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


REPAIRED = {"reflection": True, "reflect": ReflectionConfig(teacher="vz_agents.needle_reflector:NeedleReflector")}


def test_reflection_joins_exemplars_and_repairs(needle, config, base, tmp_path):
    out = begin(base, tmp_path / "run", "student.jsonl")
    policy = train_policy(needle, None, out, replace(config, **REPAIRED))
    kept, rejected = read_counts(out / REFLECTIONS)
    repairs = read_exemplars(out / REFLECTIONS)
    assert policy.name == "SFT"
    assert kept == len(repairs) > 0
    assert kept + sum(rejected.values()) == len(needle)
    assert all(first_own_turn(one) == 1 and one.score == 1.0 for one in repairs)
    assert (out / "student" / "policy.json").is_file()
    assert not list(out.glob("*-checkpoints"))
    assert weights(out / "sft") == weights(out / "policy") != weights(out / "student")
    published = begin(base, tmp_path / "published", "student.jsonl")
    (published / "student").symlink_to(out / "student")
    unmasked = replace(REPAIRED["reflect"], mask_student=False)
    train_policy(needle, None, published, replace(config, reflection=True, reflect=unmasked))
    assert read_exemplars(published / REFLECTIONS) == repairs
    assert weights(published / "sft") != weights(out / "sft")


@pytest.mark.parametrize(("equal", "most"), [(True, 0.5), (True, 0.2), (False, 0.5), (False, 0.2)])
def test_how_many_reflections_are_mixed_in(config, equal, most):
    asked = replace(config, reflect=ReflectionConfig(equal_data=equal, most=most))
    mixed = mix_reflections([f"e{number}" for number in range(40)], [f"r{number}" for number in range(30)], asked)
    reflections = sum(one.startswith("r") for one in mixed)
    assert len(set(mixed)) == len(mixed) == (40 if equal else 40 + reflections)
    assert reflections == {(True, 0.5): 20, (True, 0.2): 8, (False, 0.5): 30, (False, 0.2): 10}[equal, most]


def test_without_a_cold_start_the_policy_is_the_base(needle, config, base):
    policy = load_policy(base / "sft")
    assert policy.name == "Start"
    assert not (base / EXEMPLARS).exists()
    theirs = load_base(base / "base").lm.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in policy.model.lm.state_dict().items())


def test_the_tool_bonus_is_paid_for_a_right_answer_after_a_new_look(needle, config):
    paid = {}
    for bonus in (0.0, 0.5):
        options = replace(config, tool_bonus=bonus).env_options
        played = collect_rollouts(
            lambda options=options: VideoZoomEnv(needle, budget=config.budget, **options),
            NeedleExpert(), needle.ids, seed=0,
        )  # fmt: skip
        paid[bonus] = {one.episode_id: one.reward for one in played}
        zoomed = {one.episode_id for one in played if one.score == 1.0 and one.metrics["zooms"]}
    assert zoomed
    for name in needle.ids:
        assert paid[0.5][name] - paid[0.0][name] == pytest.approx(0.5 * (name in zoomed))


def test_the_tool_bonus_may_fall_to_nothing(needle, config):
    options = replace(config, tool_bonus=0.5, tool_bonus_steps=4).env_options
    weights = VideoZoomEnv(needle, **options).reward_config

    assert [annealed_bonus(weights, step) for step in (0, 1, 4, 9)] == [0.5, 0.375, 0.0, 0.0]
    assert replace(config, tool_bonus_steps=4).env_options == config.env_options


def test_without_reinforcement_the_cold_start_is_the_policy(needle, config, base, tmp_path):
    out = begin(base, tmp_path / "run")
    asked = ExemplarConfig(attempts=2, distinct=True, look_first=True, evidence=True, max_chars=10_000)
    assert train_policy(needle, None, out, replace(config, exemplars=asked)).name == "SFT"
    assert weights(out / "sft") == weights(out / "policy")
    assert not (out / "checkpoints").exists()
    kept, rejected = read_counts(out / EXEMPLARS)
    assert kept + sum(rejected.values()) == 2 * 3
    assert rejected["duplicate"] == kept > 0  # the scripted teacher does the same each time
    assert len((out / "attempts.jsonl").read_text().splitlines()) == 2 * 3
    assert json.loads((out / "training.json").read_text())["train"]["exemplars"]["attempts"] == 2


def test_a_teacher_on_a_server_wants_to_know_where(needle, config, tmp_path, monkeypatch):
    pytest.importorskip("openai")
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="a teacher wants a base URL"):
        find_teacher("openai", needle, tmp_path)
    monkeypatch.setenv("OPENAI_MODEL", "m")
    limits = ServerConfig(max_requests=7, images=True)
    asked = replace(config, teacher="openai", base_url="http://localhost:1/v1", server=limits)
    teacher = find_teacher(asked.teacher, needle, tmp_path, **asked.server_options)
    assert teacher.name == "remote:m"
    assert (teacher.config.max_requests, teacher.needs_frames) == (7, True)
    teacher.close()


def test_a_run_goes_on_with_other_limits_and_not_with_another_request(config, tmp_path):
    claim_folder(tmp_path / "run", replace(config, server=ServerConfig(max_requests=7)), "r")
    claim_folder(tmp_path / "run", replace(config, server=ServerConfig(max_requests=70, concurrency=2)), "r")
    with pytest.raises(ConfigError, match=r"server.temperature is 1.0, not 0.0"):
        claim_folder(tmp_path / "run", replace(config, server=ServerConfig(temperature=0.0)), "r")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)
