"""Environments at work in threads of their own, while the model goes on: what is slow is waited for, what hangs is not.

Threads are daemons and a job that is given up gets its thread replaced, so a decoder that never comes back costs its
own episode and nothing else. Time is counted only while somebody waits, in small steps: a process that was stopped and
continued, or a machine that slept, has not made its environments late.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, Final

import gymnasium as gym

__all__ = ["EnvThreads", "Job"]

_TICK_SECONDS: Final = 0.1

_stuck: Final[weakref.WeakKeyDictionary[gym.Env[Any, Any], Job]] = weakref.WeakKeyDictionary()
"""Environments that a job was given up on: nobody else may touch one before that job is over."""


class Job:
    """One piece of work on an environment.

    Attributes:
        env: what it works on; held weakly.
        waited_seconds: how long it was waited for while it ran.
        is_given_up: whether nobody waits for it any more.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """A job that has not begun."""
        self.env = weakref.ref(env)
        self.future: Future[None] = Future()
        self.waited_seconds = 0.0
        self.is_given_up = False

    @property
    def is_done(self) -> bool:
        """Whether it came to an end, or to an error."""
        return self.future.done()

    def result(self) -> None:
        """Raise what the work raised."""
        self.future.result()


class EnvThreads:
    """Some threads that work on environments, one job an environment at a time."""

    def __init__(self, count: int) -> None:
        """Start `count` threads, at least one."""
        self._jobs: queue.SimpleQueue[tuple[Job, Callable[[], None]] | None] = queue.SimpleQueue()
        self._count = 0
        for _ in range(max(1, count)):
            self._start()

    def submit(self, env: gym.Env[Any, Any], work: Callable[[], None]) -> Job:
        """Let a thread work on an environment; given up at once where an earlier job still hangs in it."""
        job = Job(env)
        hanging = _stuck.get(env)
        if hanging is not None and not hanging.is_done:
            job.is_given_up = True
            return job
        self._jobs.put((job, work))
        return job

    def wait(self, jobs: Sequence[Job], *, patience_seconds: float, deadline_seconds: float) -> None:
        """Wait until every job is done or given up, or all that is left was waited for longer than `patience_seconds`.

        The latter only where something else is done: somebody has to be able to go on. A job that was waited for over
        `deadline_seconds` is given up.
        """
        while left := [job for job in jobs if not (job.is_done or job.is_given_up)]:
            is_late = all(job.waited_seconds >= patience_seconds for job in left)
            if is_late and len(left) < len(jobs):
                return
            wait_for([job.future for job in left], timeout=_TICK_SECONDS)
            for job in left:
                if job.future.running():
                    job.waited_seconds += _TICK_SECONDS
                    if job.waited_seconds >= deadline_seconds:
                        self._give_up(job)

    def close(self) -> None:
        """Let the threads end; one that hangs is left behind."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _give_up(self, job: Job) -> None:
        job.is_given_up = True
        if (env := job.env()) is not None:
            _stuck[env] = job
        self._start()

    def _start(self) -> None:
        self._count += 1
        threading.Thread(target=self._work, name="env", daemon=True).start()

    def _work(self) -> None:
        while (taken := self._jobs.get()) is not None:
            job, work = taken
            job.future.set_running_or_notify_cancel()
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - raised again by whoever asks for the result
                job.future.set_exception(fault)
            else:
                job.future.set_result(None)
