"""Ids of datasets, and the package's surface."""

from __future__ import annotations

import gymnasium as gym
import pytest

import vz_env
from vz_env.errors import ConfigError
from vz_env.registration import env_id, register_env_id


@pytest.fixture
def clean_registry():
    before = set(gym.registry)
    yield
    for name in set(gym.registry) - before:
        del gym.registry[name]


@pytest.mark.usefixtures("clean_registry")
def test_registering_twice_replaces_the_defaults():
    register_env_id("Lectures", 2, describe="captions")
    name = register_env_id("Lectures", 2, describe="none")

    assert name == env_id("Lectures", 2) == "VZ/Lectures-v2"
    assert gym.spec(name).kwargs == {"dataset": "Lectures", "describe": "none"}
    assert gym.spec(name).max_episode_steps is None


@pytest.mark.parametrize(("name", "version", "match"), [("a b!", 0, "no id Gymnasium"), ("Ok", -1, "0 or more")])
def test_bad_ids_are_refused(name, version, match):
    with pytest.raises(ConfigError, match=match):
        register_env_id(name, version)


def test_surface_is_importable_and_sorted():
    assert sorted(vz_env.__all__, key=str) == vz_env.__all__
    assert all(getattr(vz_env, name) is not None for name in vz_env.__all__)
    assert set(vz_env.__all__) == set(dir(vz_env))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vz_env.nothing
