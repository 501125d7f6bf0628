from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from make_assets import asset


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A numbered video by its file name, encoded on first use."""
    folder = tmp_path_factory.mktemp("numbered")

    def get(file: str) -> Path:
        path = folder / file
        return path if path.exists() else asset(file).write(folder)

    return get


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def canary(tmp_path: Path, numbered: Callable[[str], Path]) -> Path:
    """A sound video outside the root: no frame of it may ever be seen."""
    path = tmp_path / "canary.ts"
    path.write_bytes(numbered("cfr.ts").read_bytes())
    return path


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A loopback server that notes who calls."""
    calls: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, address = server.accept()
            except TimeoutError:
                continue
            calls.append(address)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], calls
    stop.set()
    thread.join()
    server.close()
