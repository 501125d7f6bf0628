"""The id of every benchmark against Gymnasium's contract; the key is kept back in every turn, as of built-in ids."""

from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from benchmark_trees import TREES, write_tree
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from make_assets import asset

from vz_benchmarks.adapters.catalogue import BENCHMARKS, VARIANTS
from vz_env.actions import format_answer, format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Segment
from vz_env.errors import ResetNeeded
from vz_env.registration import env_id

VARIANT_OF = {VARIANTS[name][0].name: name for name in reversed(TREES)}  # the first tree of each benchmark
SCRIPT = (format_zoom((2, 4), 1), "hm", format_zoom((5, 99), 0.5), format_answer("B"))
KEYS = (
    AnswerKey(answer_indices=(0,), answer_texts=("a secret",), evidence=(Segment(1.25, 2.5),)),
    AnswerKey(answer_indices=(1,), answer_texts=("another",), answer_segments=(Segment(3.0, 4.0),), needs_judge=True),
)


@pytest.fixture(scope="module", params=sorted(BENCHMARKS))
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make the environment of one benchmark's id on files of its schema."""
    folder = tmp_path_factory.mktemp("tree")
    variant = VARIANT_OF[request.param]
    root = write_tree(folder / "root", TREES[variant], asset("cfr.mp4").write(folder))
    options = dict(VARIANTS[variant][1])
    split = {"split": options.pop("split")} if "split" in options else {}
    given = {"root": str(root), **split, "dataset_options": options, "budget": {"overview_frames": 2}}

    def make_env(**changes: Any) -> gym.Env[Any, Any]:
        return gym.make(env_id(request.param), **{**given, **changes})

    return make_env


def test_every_benchmark_is_checked_here() -> None:
    assert set(VARIANT_OF) == set(BENCHMARKS)


@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_check_env_is_silent_and_draws(make: Any, render_mode: str) -> None:
    env = make(render_mode=render_mode)
    check_env(env.unwrapped)
    env.reset(seed=0)
    env.step(SCRIPT[0])
    drawn = env.render()

    assert "zoom 1" in drawn if render_mode == "ansi" else (drawn.dtype == np.uint8 and drawn.shape[2] == 3)


def test_two_environments_play_alike_for_50_steps_and_a_pickled_one_goes_on(make: Any) -> None:
    left, right = make(with_frames=False), make(with_frames=False)
    assert data_equivalence(left.reset(seed=7), right.reset(seed=7))
    for number in range(50):
        ours, theirs = left.step(SCRIPT[number % 4]), right.step(SCRIPT[number % 4])
        assert data_equivalence(ours, theirs)
        if ours[2] or ours[3]:
            assert data_equivalence(left.reset(), right.reset())
    again = pickle.loads(pickle.dumps(left.unwrapped))

    assert data_equivalence(left.unwrapped.step(SCRIPT[2]), again.step(SCRIPT[2]))


def test_spec_survives_json_and_misuse_is_said(make: Any) -> None:
    env = make()
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(SCRIPT[0])
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert data_equivalence(env.reset(seed=3), again.reset(seed=3))
    for action in SCRIPT:
        assert data_equivalence(env.step(action), again.step(action))
    with pytest.raises(ResetNeeded, match="has ended"):
        env.step(SCRIPT[0])
    env.close()
    env.close()


def test_nothing_depends_on_the_key_before_the_end(make: Any) -> None:
    plain = make().unwrapped.dataset
    envs = [
        VideoZoomEnv(
            Dataset(name=plain.name, episodes=plain.episodes, keys=dict.fromkeys(plain.ids, key), root=plain.root),
            render_mode="ansi", describe="captions", with_frames=False, budget={"overview_frames": 2},
        )
        for key in KEYS
    ]  # fmt: skip
    for episode_id in plain.ids:
        for action in (None, *SCRIPT[:-1]):
            seen = []
            for env in envs:
                result = env.reset(options={"episode_id": episode_id}) if action is None else env.step(action)
                seen.append((pickle.dumps(result), env.render(), repr(env), json.dumps(result[-1])))
            assert seen[0] == seen[1]
