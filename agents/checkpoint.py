"""Checkpoints that a kill at any moment cannot spoil, and the resume that goes on from the last one.

A checkpoint is a folder, written under another name, synced and renamed: a folder with its final name is complete. It
holds the model and the optimisers (safetensors and JSON), and a small JSON state with the hash of every other file.
Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vz_env.budget import Budget
from vz_env.errors import ConfigError
from vz_env.prompts import system_message

from .language_policy import LanguagePolicy
from .model import LanguageModel
from .optimizers import OptimizerGroup
from .sampler import SamplerConfig
from .weights import on_device

__all__ = [
    "POLICY_FOLDER",
    "Checkpoints",
    "hash_files",
    "load_policy",
    "save_policy",
    "untrained_policy",
    "write_folder",
]

POLICY_FOLDER: Final = "policy"
"""Where a training run leaves its finished policy."""

_STATE_FILE: Final = "state.json"
_OPTIMIZER_FILE: Final = "optimizers.safetensors"
_SETTINGS_FILE: Final = "optimizers.json"
_POLICY_FILE: Final = "policy.json"
_UNTRAINED_REPLY: Final = 256  # tokens: nobody has taught such a model to be brief
_UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced-"
_STEP: Final = re.compile(r"step-(\d+)")
_BROKEN: Final = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError)
"""What a file that was cut, altered or made for another model raises."""


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder atomically: `write` fills a sibling, which then takes the name.

    An existing folder of that name is replaced; a crash leaves the old one or the new one, or, between two renames,
    none under the name but the old one beside it (`.replaced-`), which the next call puts back first.

    Raises:
        OSError: the disk is full or read-only; what was there before is untouched.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(_UNFINISHED + folder.name)
    replaced = folder.with_name(_REPLACED + folder.name)
    if replaced.exists() and not folder.exists():
        replaced.replace(folder)
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        write(unfinished)
        _sync(unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if folder.exists():
        folder.replace(replaced)
    unfinished.replace(folder)
    _flush(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Flush every file and the folder itself to the disk."""
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 (hex) of files in a folder, by name.

    Raises:
        OSError: one of them is not there.
    """
    hashes = {}
    for name in names:
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


class Checkpoints:
    """The checkpoints of one run: `step-000040` and so on in one folder, the newest few and the best one kept."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Name the folder; nothing is created before the first save. `keep` is 1 or more."""
        if keep < 1:
            raise ConfigError(f"keep wants 1 checkpoint or more, got {keep}")
        self.folder, self.keep = folder, keep

    def save(
        self,
        step: int,
        model: LanguageModel,
        optimizers: Mapping[str, OptimizerGroup],
        state: Mapping[str, Any],
        *,
        score: float | None = None,
    ) -> None:
        """Write one checkpoint and drop old ones.

        Args:
            step: its number; a resume continues after it.
            model: weights, tokenizer and value head.
            optimizers: by name.
            state: anything JSON holds.
            score: how good it is, where that was measured; the checkpoint with the highest is kept however old it is.
        """

        def write(folder: Path) -> None:
            model.save_state(folder)
            tensors, settings = _split({name: group.state_dict() for name, group in optimizers.items()})
            save_file(tensors, folder / _OPTIMIZER_FILE)
            _write_json(folder / _SETTINGS_FILE, settings)
            hashes = hash_files(folder, sorted(path.name for path in folder.iterdir()))
            record = {"state": {**state, "step": step}, "score": score, "sha256": hashes}
            _write_json(folder / _STATE_FILE, record)

        write_folder(self.folder / f"step-{step:06d}", write)
        best = self.best()
        for old in self._complete()[: -self.keep]:
            if old != best:
                shutil.rmtree(old)

    def latest(self) -> Path | None:
        """The newest complete checkpoint, or None."""
        complete = self._complete()
        return complete[-1] if complete else None

    def best(self) -> Path | None:
        """The complete checkpoint with the highest score, the newest of several; None where none has a score."""
        scored = [(score, folder.name, folder) for folder in self._complete() if (score := _score(folder)) is not None]
        return max(scored)[-1] if scored else None

    def restore(self, folder: Path, model: LanguageModel, optimizers: Mapping[str, OptimizerGroup]) -> dict[str, Any]:
        """Load a checkpoint into a model and its optimisers.

        Returns:
            The state that was saved, with "step".

        Raises:
            ConfigError: the folder is no checkpoint of this model, or one of its files was altered.
        """
        try:
            record = _read_json(folder / _STATE_FILE)
            altered = record["sha256"].items() - hash_files(folder, record["sha256"]).items()
            if altered:
                raise ValueError(f"{', '.join(sorted(name for name, _ in altered))} was altered")
            states = _join(load_file(folder / _OPTIMIZER_FILE), _read_json(folder / _SETTINGS_FILE))
            model.load_state(folder)
            for name, group in optimizers.items():
                group.load_state_dict(states[name])
            return dict(record["state"])
        except _BROKEN as fault:
            raise ConfigError(
                f"checkpoint {folder} does not fit this run: {fault}; start in another --out folder, or remove it"
            ) from fault

    def _complete(self) -> list[Path]:
        found = [path for path in self.folder.glob("step-*") if _STEP.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _score(folder: Path) -> float | None:
    """What a checkpoint was given as its score."""
    try:
        score = _read_json(folder / _STATE_FILE).get("score")
    except (OSError, ValueError, TypeError):
        return None
    return float(score) if isinstance(score, int | float) else None


def _split(states: Mapping[str, list[dict[str, Any]]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Optimiser states as tensors by path (`group/optimiser/weight/name`) and what JSON holds."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for group, parts in states.items():
        settings[group] = [part["param_groups"] for part in parts]
        for number, part in enumerate(parts):
            for weight, held in part["state"].items():
                tensors |= {f"{group}/{number}/{weight}/{name}": value.contiguous() for name, value in held.items()}
    return tensors, settings


def _join(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Undo `_split`."""
    states = {
        group: [{"state": {}, "param_groups": param_groups} for param_groups in parts]
        for group, parts in settings.items()
    }
    for path, value in tensors.items():
        group, number, weight, name = path.split("/")
        states[group][int(number)]["state"].setdefault(int(weight), {})[name] = value
    return states


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{path.name} wants a JSON object, got {type(value).__name__}")
    return value


def save_policy(folder: Path, model: LanguageModel, **settings: Any) -> None:
    """Write a finished policy: the model folder and the settings `LanguagePolicy` is built with."""

    def write(target: Path) -> None:
        model.save(target)
        _write_json(target / _POLICY_FILE, settings)

    write_folder(folder, write)


def load_policy(folder: Path, *, system: str | None = None, device: str = "") -> LanguagePolicy:
    """Load the policy that a training run left, from the run's folder or the policy's own; or an untrained model.

    Args:
        folder: of either.
        system: see `untrained_policy`; a trained policy keeps what it was trained with.
        device: where it computes: cpu, cuda, cuda:1; empty: cuda where there is one.

    Raises:
        ConfigError: there is none, its settings are not what `save_policy` writes, or there is no such device.
    """
    inner = folder / POLICY_FOLDER
    place = inner if inner.is_dir() else folder
    settings_file = place / _POLICY_FILE
    if not settings_file.is_file():
        return untrained_policy(str(place), system=system, device=device)
    try:
        settings = _read_json(settings_file)
        model = on_device(LanguageModel.load(place, system=settings.pop("system", None)), device)
        longest = int(settings.pop("max_new_tokens", SamplerConfig().max_new_tokens))
        sampling = SamplerConfig(temperature=0.0, max_new_tokens=longest)
        return LanguagePolicy(model, **{"name": folder.name, "sampling": sampling, **settings})
    except (OSError, ValueError, TypeError) as fault:
        if isinstance(fault, ConfigError):
            raise
        raise ConfigError(f"wanted the settings of a policy in {settings_file}, got: {fault}") from fault


def untrained_policy(model: str, *, system: str | None = None, device: str = "") -> LanguagePolicy:
    """A model as it came, told the rules in a system message.

    Args:
        model: a folder or a hub id.
        system: another message in place of the rules; an empty text for none.
        device: see `load_policy`.

    Raises:
        ConfigError: there is no such model, or no such device.
    """
    told = system_message(Budget()) if system is None else system
    loaded = on_device(LanguageModel.load(model, system=told or None), device)
    sampling = SamplerConfig(temperature=0.0, max_new_tokens=_UNTRAINED_REPLY)
    return LanguagePolicy(loaded, name=Path(model).name, sampling=sampling)
