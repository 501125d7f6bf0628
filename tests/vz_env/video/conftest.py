from __future__ import annotations

from collections.abc import Callable
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
