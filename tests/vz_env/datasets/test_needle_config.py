from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vz_env.datasets.needle_config import NeedleConfig
from vz_env.errors import ConfigError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"videos": {"dev": 1}}, "train, validation, test"),
        ({"videos": {"test": -1}}, "counts of 0 or more"),
        ({"overview_frames": 5}, r"\[6, 36\], got 5"),
        ({"overview_frames": 37}, r"\[6, 36\], got 37"),
        ({"spacings_seconds": ()}, "whole seconds"),
        ({"spacings_seconds": (7,)}, r"\[8, 16\]"),
        ({"spacings_seconds": (17,)}, r"\[8, 16\]"),
        ({"width": 161}, "even sides"),
        ({"height": 32}, "even sides"),
        ({"haystack": Path("no such film.mp4")}, "no such file"),
    ],
)
def test_config_out_of_range_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NeedleConfig(**fields)


def test_fingerprint_changes_with_every_field(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"one")
    configs = [
        NeedleConfig(),
        NeedleConfig(seed=1),
        NeedleConfig(videos={"test": 20}),
        NeedleConfig(overview_frames=31),
        NeedleConfig(spacings_seconds=(10,)),
        NeedleConfig(width=192),
        NeedleConfig(height=112),
        NeedleConfig(haystack=film),
    ]
    assert len({config.fingerprint() for config in configs}) == len(configs)


def test_fingerprint_follows_the_film_not_its_folder(tmp_path: Path) -> None:
    prints = []
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        film = tmp_path / folder / "film.mp4"
        film.parent.mkdir()
        film.write_bytes(content)
        prints.append(NeedleConfig(haystack=film).fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_split_left_out_is_the_same_as_no_videos() -> None:
    short, full = NeedleConfig(videos={"test": 2}), NeedleConfig(videos={"train": 0, "validation": 0, "test": 2})
    assert short.fingerprint() == full.fingerprint()
