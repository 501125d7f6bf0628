"""A session on the tiny needle videos; evidence and answers are known to the tests, not to the session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vz_benchmarks.play.session import PlaySession
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

BUDGET = {"overview_frames": 12, "max_turns": 4, "max_zooms": 3, "max_invalid": 1}


@pytest.fixture
def make_session(needle: Dataset) -> Callable[..., PlaySession]:
    def make(dataset: Dataset = needle, **options) -> PlaySession:
        return PlaySession(env=VideoZoomEnv(dataset, **{"budget": BUDGET, "describe": "none", **options}))

    return make


@pytest.fixture
def session(make_session, needle) -> PlaySession:
    """A session whose first episode has begun."""
    session = make_session()
    session.begin(needle.ids[0])
    return session


@pytest.fixture
def right_letter(needle) -> str:
    """The answer of the first episode."""
    return "ABCD"[needle.key(needle.ids[0]).answer_indices[0]]
