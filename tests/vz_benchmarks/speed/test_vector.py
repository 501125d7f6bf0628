"""The benchmark of vector environments runs every variant, each in a process of its own."""

from __future__ import annotations

import json

from vz_benchmarks.speed.vector import VARIANTS, VectorSpeedArgs, run_benchmark


def test_every_variant_is_measured_on_the_same_work(tmp_path):
    args = VectorSpeedArgs(out=tmp_path, rollouts=2, places=1, seconds=20, width=160, height=96, repeats=1, turns=2)
    summary = run_benchmark(args)

    assert json.loads((tmp_path / "vector.json").read_text(encoding="utf-8")) == summary
    assert set(summary["steps_per_second"]) == set(VARIANTS)
    assert all(run["steps"] == 2 * 2 for runs in summary["runs"].values() for run in runs)
    assert summary["native_peak_bytes"] > 0  # how much it is depends on what this test process did before
    assert [path.suffix for path in tmp_path.iterdir() if path.name.startswith("clip-")] == [".mp4"]
