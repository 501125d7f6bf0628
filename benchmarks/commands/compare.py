"""`vz compare A B`: do two runs really differ, on which questions, and which settings differ between them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vz_env.errors import ConfigError

from ..console import show
from ..official import clue_recovery_rate, knowledge_gain
from ..records import read_json
from ..reproducibility import differences
from ..results import EvalResult, paired
from ..runner import RUNS_NAME
from ..sheets import load_results

__all__ = ["CompareArgs", "run_compare"]


@dataclass(frozen=True, kw_only=True)
class CompareArgs:
    """Compare two runs: the paired test, the questions that changed, and the settings that differ."""

    first: Annotated[Path, tyro.conf.Positional]
    """A folder that `vz eval` wrote."""
    second: Annotated[Path, tyro.conf.Positional]
    """Another, or the same with another policy."""
    first_policy: str = ""
    """Which policy of the first folder; wanted where it holds several."""
    second_policy: str = ""
    """Which policy of the second folder; by default the one of the same name, else the only one."""
    show_questions: int = 10
    """How many of the questions that changed are named."""


def run_compare(args: CompareArgs) -> int:
    """Run the command; returns its exit code."""
    first = _pick(args.first, args.first_policy, "--first-policy")
    second = _pick(args.second, args.second_policy, "--second-policy", like=first.policy)
    for label, result in (("first", first), ("second", second)):
        show(
            f"{label}: {result.policy} {result.accuracy} % over {result.graded} questions ({args_folder(args, label)})"
        )
    test = paired(first, second)
    show(f"first minus second: {test}")
    _show_gain(first, second)
    descriptions = [_description(args.first, first), _description(args.second, second)]
    _show_recovery(first, second, descriptions)
    _show_changes(first, second, args.show_questions)
    found = differences(*descriptions)
    show("settings that differ:" if found else "settings: all the same")
    for difference in found:
        show(f"  {difference}")
    return 0


def args_folder(args: CompareArgs, label: str) -> Path:
    """The folder behind a label."""
    return args.first if label == "first" else args.second


def _pick(folder: Path, name: str, flag: str, *, like: str = "") -> EvalResult:
    results, _ = load_results(folder)
    named = {result.policy: result for result in results}
    if not name and len(results) == 1:
        return results[0]
    wanted = name or like
    if wanted not in named:
        raise ConfigError(f"{folder} holds {', '.join(named)}: name one of them with {flag}")
    return named[wanted]


def _description(folder: Path, result: EvalResult) -> Mapping[str, Any]:
    value = read_json(folder / RUNS_NAME).get(result.run, {})
    return value if isinstance(value, dict) else {}


def _show_changes(first: EvalResult, second: EvalResult, limit: int) -> None:
    others = {one.episode_id: one.score for one in second.trajectories}
    pairs = [(one.episode_id, one.score, others.get(one.episode_id)) for one in first.trajectories]
    graded = [
        (name, mine >= 0.5, theirs >= 0.5) for name, mine, theirs in pairs if mine is not None and theirs is not None
    ]
    for title, changed in (
        ("only the first got right", [name for name, mine, theirs in graded if mine and not theirs]),
        ("only the second got right", [name for name, mine, theirs in graded if theirs and not mine]),
    ):
        show(f"{title}: {len(changed)}{_names(changed, limit)}")


def _names(names: Sequence[str], limit: int) -> str:
    shown = ", ".join(names[:limit])
    return f" ({shown}{', ...' if len(names) > limit else ''})" if shown else ""


def _show_gain(first: EvalResult, second: EvalResult) -> None:
    """VideoMMMU's delta-knowledge, where both hold its adaptation track: the first with, the second without video."""
    accuracies = [
        next((one.accuracy.mean for one in result.groups if (one.group, one.value) == ("track", "adaptation")), None)
        for result in (first, second)
    ]
    after, before = accuracies
    if first.dataset == "VideoMMMU" and after is not None and before is not None:
        show(f"delta-knowledge (first with the video, second without): {knowledge_gain(before, after):+.1f} %")


def _show_recovery(first: EvalResult, second: EvalResult, descriptions: Sequence[Mapping[str, Any]]) -> None:
    """CG-Bench's CRR, where the first saw whole videos and the second the clips of the clues alone."""
    clues = ["clues" in str(one.get("dataset", {}).get("revision", "")).partition("-")[2] for one in descriptions]
    if first.dataset == "CGBench" and clues == [False, True]:
        rate = clue_recovery_rate(first.accuracy.mean, second.accuracy.mean)
        show(f"clue recovery rate (first on whole videos, second on the clues): {100 * rate:.1f} %")
