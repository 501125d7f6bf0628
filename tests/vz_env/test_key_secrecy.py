"""The key shows nowhere before the end: nothing that is handed out depends on it, refers to it, or holds it."""

from __future__ import annotations

import gc
import io
import json
import pickle
import types
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import vz_env
from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Segment
from vz_env.vector import VideoZoomVectorEnv
from vz_env.wrappers import DiscreteZoom, FixedFrames, RecordTrajectory, TextOnly, Transcript

KEYS = (
    AnswerKey(answer_indices=(1,), evidence=(Segment(12.3, 13.1),)),
    AnswerKey(answer_indices=(3,), evidence=(Segment(3.0, 4.0), Segment(17.0, 19.0))),
    AnswerKey(answer_texts=("a secret",), answer_segments=(Segment(1.0, 2.0),)),
)


def with_key(dataset: vz_env.Dataset, key: AnswerKey) -> vz_env.Dataset:
    """The same questions with another key."""
    keys = dict.fromkeys(dataset.ids, key)
    return vz_env.Dataset(
        name=dataset.name, split=dataset.split, episodes=dataset.episodes, keys=keys, root=dataset.root
    )


@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_nothing_depends_on_the_key_before_the_end(make, render_mode):
    """Whatever the key is, every turn shows the same: in observation, info, picture, repr, and pickled observation."""
    dataset = make().unwrapped.dataset
    envs = [VideoZoomEnv(with_key(dataset, key), render_mode=render_mode, **make.arguments) for key in KEYS]
    for action in (None, *make.script[:-1]):
        seen = []
        for env in envs:
            result = env.reset(seed=4) if action is None else env.step(action)
            seen.append((result, env.render(), repr(env), str(env), pickle.dumps(result)))
        assert data_equivalence(seen[0], seen[1])
        assert data_equivalence(seen[0], seen[2])
    scores = [env.step(make.script[-1])[4]["score"] for env in envs]

    assert scores == [1.0, 0.0, None]


def test_no_info_speaks_of_correctness_before_the_end(make):
    env = make()
    late = {"score", "parsed", "evidence_hit", "evidence_coverage", "reward_terms", "end_reason", "answer"}
    late |= {"evidence_iou", "evidence_frames", "first_hit_turn", "redundancy"}
    infos = [env.reset(seed=0)[1], *(env.step(action)[4] for action in make.script[:-1])]

    assert all(not late & set(info) for info in infos)
    assert late <= set(env.step(make.script[-1])[4])


def test_spec_and_repr_hold_no_key(make):
    env = make()
    env.reset(seed=0)
    key = env.unwrapped.dataset.key(env.unwrapped.episode.id)
    shown = " ".join([repr(env), str(env), env.spec.to_json(), repr(env.spec), repr(env.unwrapped.__dict__)])

    assert json.loads(env.spec.to_json())["kwargs"]["dataset"] in {"TinyTest", "Needle"}
    assert not [span for span in key.evidence if repr(span) in shown]
    assert "answer_ind" not in shown
    assert "<secret>" not in shown


WRAPPERS: dict[str, Callable[[gym.Env], gym.Env]] = {
    "TextOnly": TextOnly,
    "Transcript": Transcript,
    "FixedFrames": lambda env: FixedFrames(env, 4, 32, 32),
    "DiscreteZoom": DiscreteZoom,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_no_wrapper_lets_the_key_through(make_tiny, wrap):
    envs = [wrap(VideoZoomEnv(make_tiny(key))) for key in KEYS]
    for env in envs:
        env.action_space.seed(1)
    first, *others = [env.reset(seed=4) for env in envs]
    assert all(data_equivalence(first, other) for other in others)
    for number in range(3):
        action = envs[0].action_space.sample() if wrap is DiscreteZoom else format_zoom((number, number + 4), 2)
        if wrap is DiscreteZoom:
            action[0] = 0  # a zoom
        first, *others = [env.step(action) for env in envs]
        assert all(data_equivalence(first, other) for other in others)


def written(value: Any) -> str:
    """All of a value in words: `data_equivalence` does not look into arrays of objects, and NaN is not itself."""
    return np.array2string(np.array([value], dtype=object), threshold=10**9)


def test_no_slot_of_a_vector_lets_the_key_through(make_tiny):
    """The next episode of a slot begins in the step that ends the last one: only `final_info` may know of a key."""
    vectors = [VideoZoomVectorEnv(make_tiny(key), 2, autoreset_mode="SameStep", with_frames=False) for key in KEYS[:2]]
    assert written(vectors[0].reset(seed=4)) == written(vectors[1].reset(seed=4))
    for actions in ((format_zoom((1, 3), 2), "hm"), ("<answer>B</answer>", "hm"), ("hm", format_zoom((2, 9), 1))):
        (obs, _, *ends, infos), (other_obs, _, *other_ends, other_infos) = (envs.step(actions) for envs in vectors)
        finals = [info.pop("final_info", None) for info in (infos, other_infos)]
        assert written((obs, ends, infos)) == written((other_obs, other_ends, other_infos))
        assert (finals[0] is None) == ("answer" not in actions[0])
    for envs in vectors:
        envs.close()


def test_a_record_is_written_when_the_episode_has_ended(make_tiny, tmp_path):
    env = RecordTrajectory(VideoZoomEnv(make_tiny(KEYS[0])), tmp_path / "played.jsonl")
    env.reset(seed=0)
    env.step(format_zoom((1, 3), 2))
    written_before = (tmp_path / "played.jsonl").exists()
    env.step("<answer>B</answer>")
    line = json.loads((tmp_path / "played.jsonl").read_text(encoding="utf-8"))

    assert not written_before
    assert all("score" not in turn["info"] for turn in line["turns"][:-1])


def test_nothing_handed_out_refers_to_a_key(make):
    """From whatever a policy may hold, no chain of references ends at a key."""
    env = make().unwrapped
    handed = [env.reset(seed=0), env.spec, env.episode, env.observation_space, env.action_space, env.metadata]
    for action in make.script[:-1]:
        handed += [env.step(action), env.episode, repr(env)]
    handed += [env.spec, gym.spec(env.spec.id), env.budget, env.reward_config, env.system_text]

    assert any(isinstance(found, AnswerKey) for found in reachable(env.dataset))  # so the search does find keys
    assert not [found for found in reachable(handed) if isinstance(found, (AnswerKey, vz_env.Dataset))]


def reachable(start: Any) -> Iterator[Any]:
    """Every object that can be reached from one by references between data; code refers to everything."""
    code = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
    seen: set[int] = set()
    left = [start]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, code):
            continue
        seen.add(id(item))
        yield item
        left += gc.get_referents(item)


class _WithoutDataset(pickle.Pickler):
    """Writes a name in the place of a dataset, and counts the keys that are met elsewhere."""

    keys = 0

    def persistent_id(self, obj: Any) -> str | None:
        """What stands for a dataset."""
        self.keys += isinstance(obj, AnswerKey)
        return "the dataset" if isinstance(obj, vz_env.Dataset) else None


def test_a_pickled_episode_holds_its_key_in_the_dataset_alone(make):
    """A copy must be able to grade, so it takes its dataset along; the episode under way brings no key of its own."""
    env = make().unwrapped
    env.reset(seed=0)
    key = env.dataset.key(env.episode.id)
    for action in make.script[:-1]:
        env.step(action)
    written = io.BytesIO()
    pickler = _WithoutDataset(written)
    pickler.dump(env)

    assert pickler.keys == 0
    assert b"AnswerKey" not in written.getvalue()
    assert pickle.loads(pickle.dumps(env)).dataset.key(env.episode.id) == key
