"""The rollout benchmark end to end, at a size that shows it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not os.environ.get("VZ_LONG_TESTS"), reason="set VZ_LONG_TESTS=1 to run it")
@pytest.mark.timeout(300)
def test_both_targets_are_met_and_the_last_line_is_json(tmp_path):
    command = [sys.executable, "-m", "vz_benchmarks.speed.rollout", "--out", str(tmp_path), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])

    assert set(summary["ratios"]) == set(summary["targets"])
    assert all(summary["ratios"][name] >= wanted for name, wanted in summary["targets"].items())
    figures = json.loads((tmp_path / "rollout.json").read_text())["figures"]
    assert figures["tiny text LM, 2k-token prompts"]["prompt_tokens"] >= 2000
