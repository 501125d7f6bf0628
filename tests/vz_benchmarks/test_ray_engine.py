"""Episodes over a Ray engine on this machine: the same results as threads, and failures that stay apart."""

from __future__ import annotations

import os

import pytest

from vz_agents.baselines import UniformSampling
from vz_benchmarks.ray_engine import collect_with_ray
from vz_benchmarks.runner import evaluate
from vz_env.errors import ConfigError

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings are not ours


class Dies:
    """Kills the worker that plays one of the questions."""

    name, fingerprint, needs_frames = "Dies", "1", False

    def act(self, observations):
        if observations[0].episode.id.endswith("0"):
            os._exit(1)
        return ["<answer>A</answer>" for _ in observations]


@pytest.fixture(scope="module", autouse=True)
def engine():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_ray_gives_the_results_of_threads(needle, tmp_path):
    policy = UniformSampling(frames=6)
    threads = evaluate(policy, needle, out=tmp_path / "threads")
    over_ray = evaluate(policy, needle, out=tmp_path / "ray", workers=2, collect=collect_with_ray)
    assert over_ray == threads
    assert over_ray.trajectories == threads.trajectories


def test_stopping_ends_without_waiting(needle, tmp_path):
    result = evaluate(
        UniformSampling(frames=6), needle, out=tmp_path, collect=collect_with_ray, should_stop=lambda: True
    )
    assert result.episodes == 0


def test_a_worker_that_dies_is_a_typed_failure(needle, tmp_path):
    result = evaluate(Dies(), needle, out=tmp_path, workers=1, retries=0, collect=collect_with_ray)
    assert set(result.errors) == {"error:WorkerDied"}
    assert result.episodes == len(needle)


def test_a_policy_that_cannot_be_pickled_is_named(needle, tmp_path):
    import threading

    policy = UniformSampling(frames=6)
    policy.lock = threading.Lock()
    with pytest.raises(ConfigError, match="can be pickled"):
        evaluate(policy, needle, out=tmp_path, collect=collect_with_ray)
