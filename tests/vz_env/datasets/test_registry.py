from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from vz_env.datasets import registry
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import list_datasets, load_dataset, register_dataset, register_loader
from vz_env.errors import ConfigError, DatasetError

RECORD = {
    "id": "q1", "video": "a.mp4", "question": "Which?", "options": ["red", "blue"], "answer_kind": "choice",
    "answer_index": 1, "split": "test",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_LOADERS", dict(registry._LOADERS))
    before = set(gym.registry)
    yield
    for name in set(gym.registry) - before:
        gym.registry.pop(name)


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps(RECORD) + "\n")
    return path


def test_registered_dataset_is_loaded_by_name(annotations: Path) -> None:
    assert register_dataset("reg_plain", annotations, annotations.parent, version=2) == "VZ/reg_plain-v2"
    made = load_dataset("reg_plain")
    assert (made.name, made.ids, made.root) == ("reg_plain", ("q1",), annotations.parent.resolve())
    assert "reg_plain" in list_datasets()


def test_split_and_options_reach_the_loader(annotations: Path) -> None:
    register_dataset("reg_split", annotations, annotations.parent, split="train")
    with pytest.raises(DatasetError, match="no record of split 'train'"):
        load_dataset("reg_split")
    assert len(load_dataset("reg_split", split="test")) == 1
    with pytest.raises(DatasetError, match="no file"):
        load_dataset("reg_split", split="test", check_files=True)
    with pytest.raises(ConfigError, match=r"'reg_split'.*options are split, on_error and check_files"):
        load_dataset("reg_split", colour="red")


def test_registering_the_same_files_again_is_fine(annotations: Path) -> None:
    first = register_dataset("reg_again", annotations, annotations.parent)
    assert register_dataset("reg_again", annotations, annotations.parent) == first


def test_taken_name_is_refused(annotations: Path, tmp_path: Path) -> None:
    register_dataset("reg_taken", annotations, annotations.parent)
    with pytest.raises(ConfigError, match="'reg_taken' is taken"):
        register_dataset("reg_taken", tmp_path / "other.jsonl", annotations.parent)
    with pytest.raises(ConfigError, match="'Needle' is taken"):
        register_dataset("Needle", annotations, annotations.parent)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "lectures-v1", "é", "a-", "VZ/x-v0"])
def test_name_that_makes_no_id_is_refused(annotations: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="dataset name wants"):
        register_dataset(name, annotations, annotations.parent)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"no dataset is called 'needle'; known: .*Needle"):
        load_dataset("needle")


def test_needle_is_built_in(tiny_needle: Path) -> None:
    assert load_dataset("Needle", split="validation", root=tiny_needle).split == "validation"


def test_loader_that_returns_something_else_is_named() -> None:
    register_loader("reg_wrong", lambda **_: "nothing")  # type: ignore[arg-type, return-value]
    with pytest.raises(DatasetError, match="'reg_wrong' must return a Dataset, got str"):
        load_dataset("reg_wrong")


class FakePoint:
    name = "brought"

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def load(self) -> Any:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def bring(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> None:
    def points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "vz_env.datasets"
        return [FakePoint(loaded)] if name in {None, "brought"} else []  # type: ignore[list-item]

    monkeypatch.setattr(registry, "entry_points", points)


def test_installed_package_brings_a_dataset(monkeypatch: pytest.MonkeyPatch, tiny_needle: Path) -> None:
    def loader(*, split: str = "test") -> Dataset:
        return load_dataset("Needle", split=split, root=tiny_needle)

    bring(monkeypatch, loader)
    assert list_datasets() == ("Needle", "brought")
    assert load_dataset("brought", split="train").split == "train"


def test_a_package_on_the_path_brings_its_dataset_to_every_door(tmp_path: Path) -> None:
    """A real package with real metadata, in a process that never heard of it."""
    (tmp_path / "lectures.py").write_text(
        "from vz_env.datasets.jsonl import load_jsonl\n"
        "def load(*, split='test'):\n"
        f"    return load_jsonl({str(tmp_path / 'notes.jsonl')!r}, {str(tmp_path)!r}, name='Lectures', split=split)\n"
    )
    (tmp_path / "notes.jsonl").write_text(json.dumps(RECORD) + "\n")
    metadata = tmp_path / "lectures-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lectures\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vz_env.datasets]\nLectures = lectures:load\nb a d = lectures:load\n")
    program = (
        "import sys, gymnasium as gym, vz_env\n"
        "assert 'lectures' not in sys.modules, 'imported before it was asked for'\n"
        "print('Lectures' in vz_env.list_datasets(), vz_env.load_dataset('Lectures').ids)\n"
        "print(gym.make('VZ/Lectures-v0').unwrapped.dataset.name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)

    assert done.stdout.split("\n") == ["True ('q1',)", "Lectures", ""], done.stderr


@pytest.mark.parametrize(
    ("loaded", "message"), [(ImportError("no module"), "cannot be loaded: ImportError"), (7, "wants a loader, got int")]
)
def test_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, loaded: Any, message: str) -> None:
    bring(monkeypatch, loaded)
    with pytest.raises(DatasetError, match=message):
        load_dataset("brought")
