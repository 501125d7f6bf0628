"""VideoZoomer's mixtures of annotation files: a YAML list of files, each with a strategy that samples from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from vz_env.datasets.jsonl import resolve_inside
from vz_env.errors import ConfigError, DatasetError

from .rows import Row, read_text

__all__ = ["chosen_rows", "read_mixture"]

_MAX_YAML: Final = 1 << 20
_STRATEGY: Final = re.compile(r"all|(first|end|random):(\d{1,9})(%?)")


def read_mixture(file: Path, root: Path) -> list[tuple[Path, str]]:
    """The parts of a mixture: (file of records, sampling strategy).

    Raises:
        ConfigError: PyYAML is not installed.
        DatasetError: it is no mixture, or a part of it leaves the root.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigError(f"{file}: a YAML mixture wants PyYAML: pip install 'vz-env[bench]'") from error
    text = read_text(file)
    try:
        # Aliases are how a small file becomes a large one; mixtures have no use for them.
        if len(text) > _MAX_YAML or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise DatasetError(f"{file}: wanted a mixture below {_MAX_YAML} characters and without aliases")
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"{file}: not YAML: {error!s:.200}") from error
    items = value.get("datasets") if isinstance(value, dict) else None
    if not isinstance(items, list) or not items:
        raise DatasetError(f"{file}: wanted a list under 'datasets'")
    parts = []
    for number, item in enumerate(items):
        row = Row(item if isinstance(item, dict) else {}, f"{file}: datasets[{number}]")
        if "data_path" in row.value:
            raise row.fail("data_path: a folder of Arrow files is not read; write it as a JSON list (json_path)")
        parts.append((_annotations(row, root), row.text("sampling_strategy", "all")))
    return parts


def _annotations(row: Row, root: Path) -> Path:
    """The file of a part; an absolute path must lie inside the root."""
    name = row.text("json_path")
    path = Path(name).resolve() if Path(name).is_absolute() else resolve_inside(root, "json_path", name)
    if not path.is_relative_to(root):
        raise row.fail(f"json_path: {name!r} leaves the root {root}")
    return path


def chosen_rows(rows: list[Row], strategy: str, path: Path, generator: np.random.Generator) -> list[Row]:
    """The records that a strategy takes: `all`, or `first:`, `end:` or `random:` with a number or a share (`20%`).

    Raises:
        DatasetError: there is no such strategy; names the file.
    """
    match = _STRATEGY.fullmatch(strategy)
    if match is None:
        raise DatasetError(
            f"{path}: sampling_strategy wants all, or first, end or random with :N or :P%, got {strategy!r}"
        )
    if match[1] is None:
        return rows
    # A share is rounded up, as loaders of this format do.
    count = min(-(-len(rows) * int(match[2]) // 100) if match[3] else int(match[2]), len(rows))
    if match[1] == "random":
        return [rows[index] for index in sorted(generator.choice(len(rows), size=count, replace=False).tolist())]
    return rows[:count] if match[1] == "first" else rows[len(rows) - count :]
