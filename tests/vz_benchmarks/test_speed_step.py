"""What the environment costs when nothing is decoded, and that many episodes leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vz_benchmarks.speed.leak import LeakReport, measure_leaks
from vz_benchmarks.speed.step import TARGET_MICROSECONDS
from vz_env.datasets.needle import load_needle

TINY_NEEDLE = {"videos": {"test": 10}, "spacings_seconds": (10,), "overview_frames": 8}


@pytest.fixture(scope="module")
def needle():
    """More videos than readers are kept open."""
    return load_needle(split="test", config=TINY_NEEDLE)


def test_step_prints_medians_and_ends_in_one_json_line(tmp_path):
    command = [sys.executable, "-m", "vz_benchmarks.speed.step", "--out", str(tmp_path), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])

    assert set(summary["ratios"]) == set(summary["targets"]) == set(TARGET_MICROSECONDS)
    assert all(ratio > 0.2 for ratio in summary["ratios"].values())  # a busy machine may be five times as slow
    assert json.loads((tmp_path / "step.json").read_text())["microseconds"]["text only"] > 0


def test_episodes_leave_no_descriptor_and_no_thread(needle):
    report = measure_leaks(needle, 40, 30, cache_bytes=1 << 20)

    assert report.descriptors[0] == report.descriptors[1]
    assert report.threads[0] == report.threads[1]


@pytest.mark.slow
@pytest.mark.timeout(600)  # half a minute where nothing else runs
@pytest.mark.parametrize(("videos", "episodes"), [(6, 250), (10, 500)])
def test_hundreds_of_episodes_leave_no_memory(needle, videos, episodes):
    """Of videos that all stay open, and of more than that: then most episodes open one and close another."""
    names = sorted({episode.video_id for episode in needle})[:videos]
    chosen = needle.subset(ids=[episode.id for episode in needle if episode.video_id in names])

    assert measure_leaks(chosen, episodes, episodes * 2 // 5, cache_bytes=1 << 20).is_tight


@pytest.mark.parametrize(
    ("report", "is_tight"),
    [
        (LeakReport(10.0, (4, 4), (1, 1)), True),
        (LeakReport(-10.0, (4, 4), (1, 1)), True),
        (LeakReport(99_999.0, (4, 4), (1, 1)), False),
        (LeakReport(10.0, (4, 5), (1, 1)), False),
        (LeakReport(10.0, (4, 4), (1, 2)), False),
    ],
)
def test_a_report_is_tight_when_nothing_grows(report, is_tight):
    assert report.is_tight is is_tight
