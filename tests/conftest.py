"""What every test shares: a cache folder of its own, one torch thread, properties that no busy machine fails.

With more threads, parallel workers would fight for cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chat_server import ChatServer
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not what the code does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Set before any test module is imported: a module-level `load_dataset` must not touch the user's own cache.
_CACHE = tempfile.TemporaryDirectory(prefix="vz-test-cache-")
os.environ["VZ_CACHE_DIR"] = _CACHE.name
# Inherited by subprocesses too: OpenMP reads it when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """The temporary folder that stands for the user's cache during the whole session."""
    return Path(_CACHE.name)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    """Start servers that answer as the test says, and stop them after it."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(ChatServer(answer))


def pytest_unconfigure() -> None:
    """Remove the session's cache folder."""
    _CACHE.cleanup()
