"""Every adapter on annotations in which one field is something else: read, or refused as ours, with the place.

A sample by default; `VZ_LONG_TESTS=1` tries every field with every value (a minute).
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_trees import TREES, VIDEO, write_tree

from vz_benchmarks.adapters.catalogue import VARIANTS
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError, DatasetError

HUGE = 10**400
VALUES: list[Any] = [
    *(None, [], {}, "", "x", -1, 0, HUGE, 1.5, True, "a\x00b", "\ud800", [[1, 2]], [None], ["a", None], {"a": 1}),
    *("../../x", "/etc/passwd", "/" + "a/" * 3000, "A" * 5000, [[5, 1]], "nan", [1e308, 1], "A\nB", "=1+1", "NaN"),
]
CELLS = ["", "x", "-1", "99", "nan", "1e400", "a\x00b", "../../x", "A" * 5000, '"', "1.5"]
SAMPLE = None if os.environ.get("VZ_LONG_TESTS") else 10
CASES = [(name, file) for name, tree in TREES.items() for file, content in tree.items() if content is not VIDEO]
CASES = [(name, file) for name, file in CASES if not file.endswith((".srt", ".yaml", "_gt.json", "_en.json"))]
CASES = [(name, file) for name, file in CASES if name not in {"longvideobench", "videomme", "cgbench-mini"}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a value of JSON; of a list, in its first three items."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copied = copy.deepcopy(value)
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copied


def mutations(content: Any, file: str) -> list[str]:
    """Texts of the file, each with one field of it replaced; always the same ones."""
    if file.endswith((".csv", ".txt")):
        lines = content.splitlines()
        cells = [(n, c) for n, line in enumerate(lines) for c in range(len(re.split("[, #]", line)))]
        texts = []
        for (number, cell), new in [(place, new) for place in cells for new in CELLS]:
            parts = re.split("([, #])", lines[number])
            parts[2 * cell] = new
            texts.append("\n".join([*lines[:number], "".join(parts), *lines[number + 1 :]]) + "\n")
        return texts
    value = [json.loads(line) for line in content.splitlines()] if file.endswith(".jsonl") else content
    texts = []
    for path, new in [(path, new) for path in places(value) for new in VALUES]:
        mutated = changed(value, path, new)
        lines = mutated if file.endswith(".jsonl") else [mutated]
        indent = None if file.endswith(".jsonl") else 1
        texts.append("".join(json.dumps(line, indent=indent) + "\n" for line in lines))
    return texts


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_field_that_is_something_else_is_read_or_refused_with_its_place(name: str, file: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", TREES[name], None)
    texts = mutations(TREES[name][file], file)
    benchmark, options = VARIANTS[name]
    refused = 0
    for text in texts if SAMPLE is None else random.Random(name + file).sample(texts, min(SAMPLE, len(texts))):
        (root / file).write_text(text.replace(str(HUGE), "1" + "0" * 400), encoding="utf-8")
        try:
            dataset = load_dataset(benchmark.name, root=root, need_videos=False, **options)
        except (DatasetError, ConfigError) as fault:  # anything else is a crash
            refused += 1
            first = str(fault).partition("\n")[0]
            assert re.search(r":\d+|: \d+|\[\d+\]|wanted records, got none", first), first
            continue
        assert all(episode.video_path.is_relative_to(root.resolve()) for episode in dataset)
        for episode in dataset:  # what was read can be written and told
            json.dumps([episode.question, *episode.options]).encode()
            f"{episode.question}{episode.options}".encode()
    assert refused or "map_vid" in file
