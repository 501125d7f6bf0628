from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vz_agents import policy as policies
from vz_agents.policy import FunctionPolicy, Observation, PastTurn, as_policy, load_policy
from vz_env.episode import Episode
from vz_env.errors import ConfigError


def say_a(observation):
    return f"<answer>A</answer>{observation.turn}"


class Parrot:
    name = "Parrot"
    batch_size = 4

    def __init__(self, word="polly"):
        self.word = word

    def act(self, observations):
        return [self.word for _ in observations]


class NeedsArguments:
    def __init__(self, weights):
        self.weights = weights

    def act(self, observations):
        return []


def make_observation(**fields):
    episode = Episode(id="e", question="Which?", video_path=Path("/a.mp4"), options=("x", "y"))
    return Observation(
        text="now\nline",
        frames=np.zeros((1, 2, 2, 3), np.uint8),
        timestamps=np.zeros(1),
        budget={},
        episode=episode,
        **fields,
    )


def test_as_policy_wraps_a_plain_function():
    policy = as_policy(say_a)
    assert isinstance(policy, FunctionPolicy)
    assert policy.act([make_observation()]) == ["<answer>A</answer>0"]
    assert policies.policy_name(policy) == "say_a"


def test_as_policy_builds_a_class_and_keeps_a_policy():
    policy = as_policy(Parrot)
    assert isinstance(policy, Parrot)
    assert policy is as_policy(policy)


@pytest.mark.parametrize(("source", "message"), [(42, "wanted a policy"), (NeedsArguments, "without arguments")])
def test_as_policy_refuses_what_cannot_act(source, message):
    with pytest.raises(ConfigError, match=message):
        as_policy(source)


def test_load_policy_imports_by_module_and_name(tmp_path, monkeypatch):
    (tmp_path / "my_policies.py").write_text("class Mine:\n    def act(self, o):\n        return ['x' for _ in o]\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_policy("my_policies:Mine").act([make_observation()]) == ["x"]


def test_load_policy_passes_arguments():
    assert load_policy("vz_agents.baselines:Blind").seed == 0
    assert load_policy("vz_agents.baselines:Blind", seed=7).seed == 7


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "package.module:Name"),
        ("no_such_package:Name", "cannot be imported"),
        ("vz_agents.baselines:Nobody", "has no Nobody"),
    ],
)
def test_load_policy_names_what_is_wrong(spec, message):
    with pytest.raises(ConfigError, match=message):
        load_policy(spec)


def test_load_policy_names_arguments_it_does_not_take():
    with pytest.raises(ConfigError, match="does not take the arguments"):
        load_policy("vz_agents.baselines:Blind", weights=1)


def test_optional_attributes_have_defaults():
    policy = as_policy(say_a)
    assert (policies.batch_size(policy), policies.reads_key(policy)) == (1, False)
    assert policies.batch_size(Parrot()) == 4
    budget = object()
    assert budget is policies.budget_for(policy, budget)


def test_fingerprint_changes_with_the_source_and_can_be_stated():
    assert policies.fingerprint(as_policy(say_a)) != policies.fingerprint(Parrot())
    assert policies.fingerprint(Parrot("a")) == policies.fingerprint(Parrot("b"))
    stated = Parrot()
    stated.fingerprint = "weights-123"
    assert policies.fingerprint(stated) == "weights-123"


def test_fingerprint_of_code_without_source_is_its_name():
    space = {}
    exec("def typed_in(o): return ''", space)  # compiled from a string: inspect finds no source
    assert len(policies.fingerprint(as_policy(space["typed_in"]))) == 16


def test_observation_repr_shows_shapes_and_all_text_joins_the_turns():
    observation = make_observation(history=(PastTurn("then", "zoom"),), turn=1)
    assert "(1, 2, 2, 3)" in repr(observation)
    assert "line" not in repr(observation)
    assert observation.all_text == "then\nnow\nline"
