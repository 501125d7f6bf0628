"""What a report is measured against: which baselines are in it, which are missing, and what guessing would give."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .policies import expand_policies

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["baseline_word", "chance_of", "missing_baselines"]

_NAMES: Final = {
    "Blind": "blind",
    "FirstFrames": "first-frames",
    "UniformSampling": "uniform",
    "RandomZoom": "random",
    "SubtitleSearch": "subtitles",
    "Oracle": "oracle",
}
_NAME: Final = re.compile(rf"({'|'.join(_NAMES)})(?:-(\d+))?(?![\w-])")


def baseline_word(name: str) -> str | None:
    """The word of the command line behind a baseline's name in a table, such as `uniform@64`; None for no baseline."""
    match = _NAME.match(name)
    if match is None:
        return None
    return f"{_NAMES[match[1]]}@{match[2]}" if match[1] == "UniformSampling" and match[2] else _NAMES[match[1]]


def missing_baselines(names: Iterable[str], dataset: Dataset) -> list[str]:
    """Words of the baselines that a report of a dataset wants and none of whose names are there."""
    there = {baseline_word(name) for name in names}
    return [word for word in expand_policies(["baselines"], dataset) if word not in there]


def chance_of(dataset: Dataset) -> float:
    """Accuracy of guessing an option, over the questions that have options and a right answer; NaN without any."""
    shares = [
        len(set(dataset.key(episode.id).answer_indices)) / len(episode.options)
        for episode in dataset
        if episode.options and dataset.key(episode.id).answer_indices
    ]
    return sum(shares) / len(shares) if shares else math.nan
