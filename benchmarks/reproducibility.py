"""What a figure depends on, written down with every run, and what differs between two runs.

A run's description names everything: the policy, the dataset's content, the options of the environment, the rules by
which frames are chosen and made smaller, the wording of prompts, the reading of answers, the seed and the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vz_env.errors import ConfigError
from vz_env.prompts import PROMPT_VERSION, prompt_hash

from .parsers import PARSER_VERSION

__all__ = ["Difference", "differences", "flatten", "rules_of", "shared_settings"]

FRAME_RULES: Final = {
    "strict": "overview at k * duration / n, zooms at start + k / fps; the last frame presented at or before each time",
    "videozoomer": "by frame number, as the published system counts",
}
RESIZE_RULE: Final = "aspect kept, never enlarged, width * height at most max_pixels, both sides even"


def rules_of(options: Mapping[str, Any]) -> dict[str, str]:
    """The rules that options of the environment imply, in words and hashes."""
    frames = FRAME_RULES.get(str(options.get("protocol", "strict")), "the protocol's own")
    if options.get("overview_from", "exact") != "exact":
        frames = f"{frames}; the overview from the keyframes before"
    size = options.get("frame_size")
    return {
        "frames": frames,
        "resize": f"exactly {size}" if size else RESIZE_RULE,
        "prompts": f"version {PROMPT_VERSION}, {_wording(options)}",
        "answers": f"strict parser; named parsers version {PARSER_VERSION}",
    }


def _wording(options: Mapping[str, Any]) -> str:
    """The hash of what the policy can be told under some options."""
    protocol = str(options.get("protocol", "strict"))
    has_options = any(options.get(name) for name in ("eyes", "zoom_fps")) or options.get("zoom_mode", "free") != "free"
    try:
        return prompt_hash(protocol, with_options=has_options)
    except ConfigError:
        return "of a protocol that is not ours"


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting, and its value in each of two runs; None where a run does not have it."""

    setting: str
    first: Any
    second: Any

    def __str__(self) -> str:
        """One line."""
        return f"{self.setting}: {_shown(self.first)} / {_shown(self.second)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)


def flatten(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A description as one level of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in description.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{dotted}.")
        else:
            flat[dotted] = value
    return flat


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """What differs between the descriptions of two runs, by name."""
    left, right = flatten(first), flatten(second)
    return [
        Difference(name, left.get(name), right.get(name))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]


def shared_settings(descriptions: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all runs of a report have in common, and what each has of its own.

    Returns:
        The common settings, and for each run the others; both flat and sorted by name.
    """
    flat = [flatten(one) for one in descriptions]
    names = sorted({name for one in flat for name in one})
    common = {name: flat[0].get(name) for name in names if _is_same(one.get(name) for one in flat)}
    return common, [{name: one[name] for name in names if name not in common and name in one} for one in flat]


def _is_same(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values}) == 1
