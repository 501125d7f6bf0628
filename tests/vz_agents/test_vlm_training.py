"""Training whole, with a model that sees: exemplars with frames, PPO with frames, a resume that changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vz_agents.checkpoint import load_policy
from vz_agents.interchange.frames import FrameFolder
from vz_agents.model import LanguageModel
from vz_agents.needle_expert import NeedleExpert
from vz_agents.ppo import PPOConfig
from vz_agents.rollout import run_episode
from vz_agents.seen_examples import pictured_example, seen_examples
from vz_agents.sft import SFTConfig
from vz_agents.train import SFT_FOLDER, TrainConfig, train_policy
from vz_agents.weights import WeightsConfig
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.errors import DatasetError, VideoError

BUDGET = Budget(overview_frames=12, max_turns=3, max_zooms=2, max_frames=44, max_pixels=56 * 56)
CONFIG = TrainConfig(
    describe="none",
    teacher_describe="palette",
    teacher="vz_agents.needle_expert:NeedleExpert",
    eval_every=1,
    eval_episodes=2,
    budget=BUDGET,
    sft=SFTConfig(epochs=1, lr=1e-3),
    ppo=PPOConfig(lr=1e-3, iterations=2, prompts=2, samples=2, critic_warmup=0, max_new_tokens=6, estimator="gae"),
    weights=WeightsConfig(device="cpu"),
)


@pytest.fixture(scope="module")
def folder(make_vlm, tmp_path_factory):
    """A tiny vision-language model on the disk."""
    folder = tmp_path_factory.mktemp("model")
    make_vlm(seed=3, max_length=2048).save(folder)
    return folder


@pytest.fixture(scope="module")
def expert_run(needle):
    """An expert that reads descriptions, and what it did: in which every action was right."""
    env = VideoZoomEnv(needle, budget=BUDGET, with_frames=False)
    played = [run_episode(env, NeedleExpert(), name, 0) for name in needle.ids]
    return [trajectory for trajectory in played if trajectory.score == 1.0]


def weights(folder):
    return LanguageModel.load(folder).lm.state_dict()


def make_env(needle, **given):
    return VideoZoomEnv(needle, **{"budget": BUDGET, "describe": "none", **given})


def test_an_example_shows_the_model_what_it_will_see_itself(make_vlm, needle, expert_run):
    model = make_vlm()
    zooming = [trajectory for trajectory in expert_run if len(trajectory.turns) > 1]
    trajectory = zooming[0]

    (example,) = seen_examples(model, [trajectory], lambda: make_env(needle))

    shown = sum(len(turn.timestamps) for turn in trajectory.turns)
    assert len(example.frames.placed) == shown > 12
    assert example.ids.count(model.chat.image_id) == sum(frame.tokens for _, frame in example.frames.placed)
    written = [token for token, is_written in zip(example.ids, example.mask, strict=True) if is_written]
    assert written == [token for turn in trajectory.turns for token in model.chat.reply_ids(turn.action)]
    text = model.tokenizer.decode([token for token, own in zip(example.ids, example.mask, strict=True) if not own])
    assert "%" in trajectory.turns[0].observation
    assert "%" not in text  # what the expert read is not what the student is told


def test_pictures_of_a_file_make_the_same_example_as_frames_of_a_replay(make_vlm, needle, expert_run, tmp_path):
    model = make_vlm()
    zooming = next(trajectory for trajectory in expert_run if len(trajectory.turns) > 1)
    env = make_env(needle, describe="palette")
    (expected,) = seen_examples(model, [zooming], lambda: make_env(needle, describe="palette"))
    named = FrameFolder(tmp_path).save_frames(env, zooming)
    turns = [replace(turn, info={"images": names}) for turn, names in zip(zooming.turns, named, strict=True)]
    told = {"max_pixels": BUDGET.max_pixels, "store": model.new_store()}
    made = pictured_example(model, replace(zooming, turns=turns), tmp_path, **told)
    assert (made.ids, made.mask) == (expected.ids, expected.mask)
    assert [start for start, _ in made.frames.placed] == [start for start, _ in expected.frames.placed]
    pixels = [[frame.pixels for _, frame in example.frames.placed] for example in (made, expected)]
    assert all((one == two).all() for one, two in zip(*pixels, strict=True))
    untimed = replace(zooming, turns=[replace(turn, timestamps=[]) for turn in turns])
    assert len(pictured_example(model, untimed, tmp_path, **told).ids) == len(made.ids)
    outside = replace(zooming, turns=[replace(turn, info={"images": ["../x.png"]}) for turn in turns])
    with pytest.raises(VideoError, match=r"x\.png"):
        pictured_example(model, outside, tmp_path, **told)


def test_an_environment_of_another_kind_is_refused(make_vlm, needle, expert_run):
    zooming = [trajectory for trajectory in expert_run if len(trajectory.turns) > 2]
    with pytest.raises(DatasetError, match="turns, as recorded, got 1"):
        seen_examples(make_vlm(), zooming[:1], lambda: make_env(needle, budget=replace(BUDGET, max_turns=1)))


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(needle, folder, tmp_path, lora_rank):
    held = WeightsConfig(device="cpu", lora_rank=lora_rank, gradient_checkpointing=bool(lora_rank))
    config = replace(CONFIG, model=str(folder), weights=held)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"

    policy = train_policy(needle, None, straight, config)
    asked = []
    stopped = train_policy(
        needle, None, resumed, config, should_stop=lambda: asked.append(1) or (resumed / SFT_FOLDER).is_dir()
    )
    assert stopped is None
    again = train_policy(needle, None, resumed, config)

    assert policy.needs_frames
    assert asked  # it was stopped after the first iteration of PPO
    one, other, start = weights(straight / "policy"), weights(resumed / "policy"), weights(straight / SFT_FOLDER)
    assert one.keys() == other.keys() == start.keys()  # an adapter is merged
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    changed = {name for name, weight in one.items() if not torch.equal(weight, start[name])}
    assert changed
    assert not any("visual" in name for name in changed)
    assert load_policy(resumed).model.chat.first("x") == again.model.chat.first("x")
