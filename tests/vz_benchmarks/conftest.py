"""A needle dataset of two short videos, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle, make_needle


@pytest.fixture(scope="session")
def needle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dataset."""
    config = NeedleConfig(videos={"test": 2}, overview_frames=12, spacings_seconds=(8,))
    return make_needle(tmp_path_factory.mktemp("needle") / "set", config)


@pytest.fixture
def needle(needle_root: Path) -> Dataset:
    """Its test split."""
    return load_needle(split="test", root=needle_root)
