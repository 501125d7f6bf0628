"""The SB3 study end to end on tiny videos: it fills in what is missing, and refuses to mix settings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")

from vz_agents.sb3 import DiscreteZoomConfig
from vz_benchmarks.studies.sb3_needle import RESULTS_NAME, SB3NeedleArgs, run_study
from vz_env.datasets.needle import NeedleConfig, make_needle
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    config = NeedleConfig(videos={"train": 1, "test": 2}, overview_frames=12, spacings_seconds=(8,))
    return make_needle(tmp_path_factory.mktemp("needle") / "set", config)


def test_study_compares_its_agents_and_goes_on(root, tmp_path, capsys):
    recipe = DiscreteZoomConfig(
        bins=12, timesteps=32, num_envs=2, n_steps=16, batch_size=16, clone_epochs=20, budget={"overview_frames": 12}
    )
    args = SB3NeedleArgs(out=tmp_path / "out", seeds=(3,), root=root, recipe=recipe)
    results = run_study(args)
    runs = results["runs"]
    first = (tmp_path / "out" / RESULTS_NAME).read_bytes()

    assert set(runs) == {"blind-3", "imitation-3", "ppo-3"}
    assert runs["blind-3"]["zooms"] == 0.0
    assert "over blind" in capsys.readouterr().out
    assert run_study(args) == json.loads(first)  # everything was there
    more = run_study(replace(args, seeds=(3, 4)))["runs"]
    assert set(more) == {f"{agent}-{seed}" for agent in ("blind", "imitation", "ppo") for seed in (3, 4)}
    assert all(more[name] == run for name, run in runs.items())
    with pytest.raises(ConfigError, match="other settings"):
        run_study(replace(args, recipe=replace(recipe, timesteps=48)))
