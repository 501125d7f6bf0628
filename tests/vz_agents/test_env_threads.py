"""Slow and hanging environments, by themselves and under the sampler."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import gymnasium as gym
import pytest

from vz_agents.env_threads import EnvThreads
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_env.actions import format_answer, format_zoom

ZOOMS = [format_zoom((8 * slot, 8 * slot + 8), 2) for slot in range(2)]


class Slow(gym.Wrapper):
    """Waits in its first step until it is told to go on; writes down when steps end."""

    def __init__(self, env, name, log, gate=None):
        super().__init__(env)
        self.name, self.log, self.gate = name, log, gate

    def step(self, action):
        if self.gate is not None:
            self.gate.wait(20)
        self.log.append(self.name)
        return super().step(action)


@pytest.fixture
def model(make_model):
    return make_model(end_bias=4.0)


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def scripted(script_replies):
    """Every seed zooms twice and answers."""
    script_replies({seed: [*ZOOMS, format_answer("A")] for seed in range(3)})


def play(model, envs, names, **limits):
    config = SamplerConfig(max_new_tokens=40, env_threads=3, **limits)
    return sample_episodes(model, envs, names, range(len(envs)), config=config)


def test_the_others_go_on_while_one_environment_is_slow(model, make_envs, needle, scripted, gate):
    log = []
    names = needle.ids[:3]
    alike = play(model, [Slow(env, "x", []) for env in make_envs(3)], names)
    envs = [Slow(make_envs(1)[0], name, log, gate if name == "slow" else None) for name in ("a", "slow", "b")]
    release = threading.Timer(1.5, gate.set)
    release.start()

    rollouts = play(model, envs, names, patience_seconds=0.1)

    assert log.index("slow") >= 4  # both others had gone on to their second step by then
    assert [rollout.trajectory.status for rollout in rollouts] == ["answered"] * 3
    for slow, usual in zip(rollouts, alike, strict=True):
        assert slow.trajectory.tokens.ids == usual.trajectory.tokens.ids
        assert slow.trajectory.tokens.log_probs == pytest.approx(usual.trajectory.tokens.log_probs, abs=1e-5)
        assert slow.trajectory.turns == usual.trajectory.turns


def test_the_model_is_idle_while_it_waits_and_not_while_it_writes(model, make_envs, needle, scripted):
    waits = []
    env = Slow(make_envs(1)[0], "x", [], SimpleNamespace(wait=lambda _: time.sleep(0.1)))
    limits = SamplerConfig(max_new_tokens=40)
    started = time.monotonic()

    sample_episodes(model, [env], needle.ids[:1], [0], config=limits, on_wait=waits.append)

    assert len(waits) == 4  # for the beginning, two zooms and the answer
    assert min(waits[1:]) > 0.09
    assert sum(waits) < time.monotonic() - started - 0.01


def test_an_environment_that_hangs_ends_its_own_episode_alone(model, make_envs, needle, scripted, gate):
    envs = [Slow(env, "x", [], gate if number == 1 else None) for number, env in enumerate(make_envs(3))]
    limits = {"patience_seconds": 0.1, "deadline_seconds": 0.5}

    rollouts = play(model, envs, needle.ids[:3], **limits)

    assert [r.trajectory.status for r in rollouts] == ["answered", "error:TimeoutError", "answered"]
    assert "within 0.5 s" in rollouts[1].trajectory.error
    assert rollouts[1].trajectory.score is None
    rollouts[1].trajectory.tokens.check()
    # Nobody else touches it while the step hangs, and once it is over it is as good as new.
    (again,) = play(model, envs[1:2], needle.ids[:1], **limits)
    assert again.trajectory.status == "error:TimeoutError"
    gate.set()
    deadline = time.monotonic() + 10
    while play(model, envs[1:2], needle.ids[:1])[0].trajectory.is_error and time.monotonic() < deadline:
        time.sleep(0.05)
    (after,) = play(model, envs[1:2], needle.ids[:1])
    assert after.trajectory.status == "answered"


def test_what_work_raises_is_raised_again():
    threads, env = EnvThreads(1), gym.Env()
    jobs = [threads.submit(env, lambda: 1 / 0), threads.submit(env, lambda: None)]
    threads.wait(jobs, patience_seconds=5, deadline_seconds=5)
    threads.close()
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        jobs[0].result()
    jobs[1].result()


def test_waiting_in_the_queue_is_not_being_late():
    threads = EnvThreads(1)
    jobs = [threads.submit(gym.Env(), lambda: time.sleep(0.15)) for _ in range(4)]
    threads.wait(jobs, patience_seconds=0.0, deadline_seconds=0.5)
    threads.wait(jobs, patience_seconds=9.0, deadline_seconds=0.5)
    threads.close()
    assert all(job.is_done and not job.is_given_up for job in jobs)
