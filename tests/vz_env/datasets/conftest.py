"""One small needle dataset for all tests here: four videos of 96 s."""

from __future__ import annotations

from pathlib import Path

import pytest

from vz_env.datasets.needle import NeedleConfig, make_needle


@pytest.fixture(scope="session")
def tiny_config() -> NeedleConfig:
    return NeedleConfig(
        seed=3, videos={"train": 1, "validation": 1, "test": 2}, overview_frames=12, spacings_seconds=(8,)
    )


@pytest.fixture(scope="session")
def tiny_needle(tiny_config: NeedleConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_needle(tmp_path_factory.mktemp("needle"), tiny_config)
