"""The custom spaces keep the whole Space contract."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from vz_env.action_types import Grammar
from vz_env.budget import Budget
from vz_env.errors import ConfigError
from vz_env.shared_spaces import SharedBatch
from vz_env.spaces import FrameStack, Timestamps, Unicode, make_observation_space

SPACES = [Unicode(1000), Unicode(1), FrameStack(8, 4096), FrameStack(0, 1), Timestamps(8), Timestamps(0)]
each_space = pytest.mark.parametrize("space", SPACES, ids=repr)


@each_space
def test_samples_are_members(space):
    space.seed(3)

    assert all(space.contains(space.sample()) for _ in range(50))


@each_space
def test_seed_repeats_samples(space):
    draws = []
    for _ in range(2):
        space.seed(11)
        draws.append([space.sample() for _ in range(10)])

    assert data_equivalence(draws[0], draws[1])


@each_space
def test_samples_survive_json(space):
    samples = [space.sample() for _ in range(5)]
    back = space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples))))

    assert data_equivalence(samples, list(back))


@each_space
def test_pickle_and_equality(space):
    again = pickle.loads(pickle.dumps(space))

    assert again == space
    assert repr(again) == repr(space)
    assert [other for other in SPACES if other == space] == [space]
    assert not space.is_np_flattenable


@each_space
def test_samples_survive_memory_that_processes_share(space):
    memory = create_shared_memory(space, n=3)
    batch = read_from_shared_memory(space, memory, n=3)
    assert isinstance(batch, SharedBatch)
    assert all(space.contains(item) for item in batch)  # before anything is written
    space.seed(7)
    for _ in range(20):
        items = tuple(space.sample() for _ in range(3))
        for index, item in enumerate(items):
            write_to_shared_memory(space, index, item, memory)
        assert data_equivalence(copy.deepcopy(batch), items)


@pytest.mark.parametrize(
    ("space", "largest"),
    [
        (Unicode(5), "🎬" * 5),
        (Unicode(2), "\ud800\x00"),
        (FrameStack(4, 60), np.full((4, 6, 10, 3), 255, np.uint8)),
        (FrameStack(4, 61), np.arange(4 * 61 * 3, dtype=np.uint8).reshape(4, 61, 1, 3)[::-1]),
        (FrameStack(4, 60), np.zeros((0, 5, 7, 3), np.uint8)),
        (Timestamps(3), np.array([0.0, 1e308, 2.0])),
    ],
)
def test_the_largest_items_fit_into_shared_memory_beside_their_neighbours(space, largest):
    memory = create_shared_memory(space, n=2)
    for index in (1, 0, 1):
        write_to_shared_memory(space, index, largest, memory)

    assert data_equivalence(tuple(read_from_shared_memory(space, memory, n=2)), (largest, largest))


@each_space
def test_mask_is_refused(space):
    with pytest.raises(ConfigError, match="without mask"):
        space.sample(mask=np.ones(3))


@pytest.mark.parametrize("text", ["", "x" * 5, "漢字🎬", "\ud800", "a\nb\x00", np.str_("abc")])
def test_unicode_holds_any_short_text(text):
    assert Unicode(5).contains(text)


@pytest.mark.parametrize("value", ["x" * 6, b"abc", 3, None, ["a"], np.array("abc")])
def test_unicode_refuses(value):
    assert not Unicode(5).contains(value)


@pytest.mark.parametrize("shape", [(0, 2, 2, 3), (1, 1, 1, 3), (4, 6, 10, 3), (4, 10, 6, 3), (2, 1, 60, 3)])
def test_frame_stack_holds_any_size_within_bounds(shape):
    assert FrameStack(4, 60).contains(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(5, 2, 2, 3), (1, 61, 1, 3), (1, 2, 2, 4), (2, 2, 3), (1, 0, 2, 3)])
def test_frame_stack_refuses_shapes(shape):
    assert not FrameStack(4, 60).contains(np.zeros(shape, np.uint8))


def test_frame_stack_refuses_other_types():
    assert not FrameStack(4, 60).contains(np.zeros((1, 2, 2, 3), np.float32))
    assert not FrameStack(4, 60).contains([[[[0, 0, 0]]]])


@pytest.mark.parametrize(
    "value", [np.zeros(5), np.zeros(2, np.float32), np.zeros((2, 1)), np.array([-1.0]), np.array([np.nan]), [1.0], 1.0]
)
def test_timestamps_refuse(value):
    assert not Timestamps(4).contains(value)


@pytest.mark.parametrize(
    "make", [lambda: Unicode(0), lambda: FrameStack(-1, 4), lambda: FrameStack(1, 0), lambda: Timestamps(-1)]
)
def test_bounds_are_checked(make):
    with pytest.raises(ConfigError, match="max_"):
        make()


def test_observation_space_follows_the_budget_and_the_eyes():
    plain = make_observation_space(Budget(), None, Grammar())
    more = make_observation_space(
        Budget(max_seconds=9), (32, 16), Grammar(subtitle_search=True, several_zooms=True), may_overdraw=True
    )

    assert plain["frames"] == FrameStack(32, 100_352)
    assert set(plain["budget"].spaces) == {"turns", "zooms", "frames", "frames_per_zoom"}
    assert more["frames"] == FrameStack(80, 512)
    assert set(more["budget"].spaces) == {"turns", "zooms", "frames", "frames_per_zoom", "seconds", "searches"}
