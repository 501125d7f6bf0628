"""The benchmark of vector environments runs every variant, each in a process of its own."""

from __future__ import annotations

import json

import numpy as np

from vz_benchmarks.speed.vector import VARIANTS, VectorSpeedArgs, run_benchmark

MEBIBYTE = 1 << 20


def test_every_variant_is_measured_on_the_same_work(tmp_path):
    ballast = np.ones(600 * MEBIBYTE, dtype=np.uint8)  # of this process: no part of what is measured
    args = VectorSpeedArgs(out=tmp_path, rollouts=2, places=1, seconds=20, width=160, height=96, repeats=1, turns=2)
    summary = run_benchmark(args)

    assert json.loads((tmp_path / "vector.json").read_text(encoding="utf-8")) == summary
    assert set(summary["steps_per_second"]) == set(VARIANTS)
    assert all(run["steps"] == 2 * 2 for runs in summary["runs"].values() for run in runs)
    assert 20 * MEBIBYTE < summary["native_peak_bytes"] < 400 * MEBIBYTE < ballast.nbytes
    assert [path.suffix for path in tmp_path.iterdir() if path.name.startswith("clip-")] == [".mp4"]
