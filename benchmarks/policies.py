"""Policies by the words of a command line: baselines with their numbers, groups of them, models, one's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vz_agents.baselines import Blind, Oracle, RandomZoom, UniformSampling
from vz_agents.policy import Policy, load_policy
from vz_agents.search_baselines import FirstFrames, SubtitleSearch
from vz_env.errors import ConfigError

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

    from .server import ServerArgs

__all__ = ["CURVE_FRAMES", "POLICY_WORDS", "expand_policies", "find_policy"]

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
CURVE_FRAMES: Final = (8, 16, 32, 64, 128)

POLICY_WORDS: Final = {
    "uniform": "frames spread evenly over the video, no zoom (--frames, or uniform@64)",
    "first-frames": "frames of the beginning, one a second (--frames, or first-frames@64)",
    "random": "zooms to random places",
    "subtitles": "searches the subtitles for the question's words, zooms there once",
    "blind": "guesses without looking",
    "oracle": "reads the answer key; marked as cheating",
    "curve": "uniform@8, @16, @32, @64 and @128: accuracy against frames",
    "baselines": "all of the above; subtitles and oracle where the dataset has subtitles and evidence",
    "openai": "a model on an OpenAI-compatible server (--base-url, --model, --no-images)",
    "package.module:Name": "a policy of your own",
    "<folder>": "what `vz train` or `vz demo` left behind, or any model with a chat template",
    "owner/name": "such a model on the hub",
    "smollm2": "the model that `vz model smollm2` prepared",
}
"""What `--policy` takes, and what it means."""


def expand_policies(words: Sequence[str], dataset: Dataset) -> list[str]:
    """Replace `curve` and `baselines` by the policies they stand for; a policy named twice is played once."""
    curve = [f"uniform@{frames}" for frames in CURVE_FRAMES]
    named: list[str] = []
    for word in words:
        if word == "baselines":
            has_subtitles = any(episode.subtitles is not None for episode in dataset)
            has_evidence = any(dataset.key(name).evidence for name in dataset.ids)
            named += ["blind", "first-frames", *curve, "random"]
            named += [*(["subtitles"] if has_subtitles else []), *(["oracle"] if has_evidence else [])]
        else:
            named += curve if word == "curve" else [word]
    return list(dict.fromkeys(named))


def find_policy(
    spec: str,
    dataset: Dataset,
    *,
    frames: int = 32,
    seed: int = 0,
    server: ServerArgs | None = None,
    system: str | None = None,
    device: str = "",
) -> Policy:
    """Build the policy that a word of the command line names.

    Args:
        spec: one of `POLICY_WORDS`; `uniform@64` and `first-frames@64` state their number of frames themselves.
        dataset: whose keys the oracle reads.
        frames: where the word states none.
        seed: of guesses and random places.
        server: behind the word `openai`.
        system: the system message of `openai` and of models as they came; None for the rules, an empty text for none.
        device: where a model computes: cpu, cuda, cuda:1; empty: cuda where there is one.

    Raises:
        ConfigError: no such baseline, module, folder or device.
    """
    if spec == "openai":
        from .server import ServerArgs

        return (server or ServerArgs()).build(system)
    name, at, number = spec.partition("@")
    if at and name in {"uniform", "first-frames"}:
        if not number.isdecimal():
            raise ConfigError(f"wanted a number of frames after {name}@, got {spec!r}")
        frames = int(number)
    builders: dict[str, Callable[[], Policy]] = {
        "uniform": lambda: UniformSampling(frames=frames),
        "first-frames": lambda: FirstFrames(frames=frames),
        "blind": lambda: Blind(seed=seed),
        "random": lambda: RandomZoom(seed=seed),
        "subtitles": lambda: SubtitleSearch(seed=seed),
        "oracle": lambda: Oracle(dataset),
    }
    if name in builders and (not at or name in {"uniform", "first-frames"}):
        return builders[name]()
    if Path(spec).is_dir() or spec == "smollm2" or _HUB_ID.fullmatch(spec):
        return _load_model(spec, system, device)
    if ":" in spec:
        here = str(Path.cwd())
        if here not in sys.path:  # a policy in the folder one stands in, as `python -m` would find it
            sys.path.insert(0, here)
        return load_policy(spec)
    raise ConfigError(
        f"wanted a policy out of {', '.join(builders)}, curve, baselines, openai, package.module:Name or the folder of "
        f"a training run, got {spec!r}"
    )


def _load_model(spec: str, system: str | None, device: str) -> Policy:
    """Load what a training run left behind, or a model as it came."""
    try:
        from vz_agents.checkpoint import load_policy as load_trained
        from vz_agents.checkpoint import untrained_policy
        from vz_agents.smollm2 import resolve_model
    except ModuleNotFoundError as fault:
        raise ConfigError(
            f"a language model wants the language-model extra: pip install 'vz-env[llm]' ({fault})"
        ) from fault
    folder = resolve_model(spec)
    if Path(folder).is_dir():
        return load_trained(Path(folder), system=system, device=device)
    return untrained_policy(spec, system=system, device=device)
