"""Arms of a study: training runs that differ in a flag or two, over several seeds, on the same needle videos.

What arms have in common is made once and lent on, such as exemplars and a cold start. Everything is kept, so the same
command continues after a kill. Tables go to the terminal and between two markers of a page.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vz_agents.advantages import Discounts
from vz_agents.checkpoint import load_policy
from vz_agents.ppo import PPOConfig
from vz_agents.sft import SFTConfig
from vz_agents.train import SFT_FOLDER, TrainConfig, train_policy
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.errors import ConfigError

from ..commands.train import stage
from ..console import note, show
from ..demo import DemoArgs
from ..rejections import telling_rejections
from ..results import EvalResult, compare_runs
from ..runner import evaluate
from ..statistics import Interval, accuracy

__all__ = [
    "FOR_EXEMPLARS",
    "FOR_REFLECTION",
    "Arm",
    "StudyArgs",
    "finish",
    "markdown",
    "pooled",
    "quick",
    "run_arms",
    "write_between",
]

FOR_EXEMPLARS: Final = ("exemplars.jsonl", "exemplars.json", "attempts.jsonl")
FOR_REFLECTION: Final = (*FOR_EXEMPLARS, "student", "student.jsonl", "reflections.jsonl", "reflections.json")
"""What arms that differ later alone have in common in their run folders."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train.

    `borrows` are (arm, its file or folder, what it is here): an earlier arm made it with the same settings and seed.
    """

    name: str
    config: TrainConfig
    borrows: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def lend(cls, arm: str, names: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
        """What an arm lends under the same names."""
        return tuple((arm, name, name) for name in names)


@dataclass(frozen=True, kw_only=True)
class StudyArgs:
    """How large a study is."""

    out: Path
    """Folder with one folder an arm and seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; the videos stay."""
    videos_train: int = DemoArgs.videos_train
    """Videos to learn from."""
    videos_test: int = DemoArgs.videos_test
    """Videos to be tested on."""
    page: Path | None = Path("docs/results.md")
    """Page that takes the table between its markers; none: the terminal alone."""
    quick: bool = False
    """A minute's run on two short videos, to see that everything works; its figures mean nothing."""
    config: TrainConfig = field(default_factory=TrainConfig)
    """What the arms have in common."""


def quick(args: StudyArgs) -> StudyArgs:
    """The smallest study that goes through every step."""
    config = replace(
        args.config,
        budget=Budget(overview_frames=12, max_turns=4, max_zooms=3, max_frames=60),
        eval_episodes=2,
        sft=SFTConfig(epochs=1),
        ppo=PPOConfig(iterations=1, prompts=2, samples=2, critic_warmup=0, discounts=Discounts()),
    )
    return replace(args, seeds=args.seeds[:1], videos_train=2, videos_test=2, config=config)


def run_arms(arms: Sequence[Arm], args: StudyArgs) -> dict[str, list[dict[str, EvalResult]]]:
    """Train and test every arm with every seed; what is there is not made again.

    Returns:
        By the arm's name, for each seed: the results of the cold start (`sft`) and of the finished policy (`policy`).
    """
    train, validation, test = _open_splits(args)
    results: dict[str, list[dict[str, EvalResult]]] = {arm.name: [] for arm in arms}
    for seed in args.seeds:
        for arm in arms:
            folder = args.out / f"seed-{seed}" / arm.name
            note(f"seed {seed}, {arm.name}: {folder}")
            _borrow(arm, folder)
            config = replace(arm.config, seed=seed)
            train_policy(train, validation, folder, config, stage=telling_rejections(folder, stage))
            results[arm.name].append(_test(folder, config, test))
    return results


def _open_splits(args: StudyArgs) -> list[Dataset]:
    short: dict[str, Any] = {"overview_frames": 12, "spacings_seconds": (8,)} if args.quick else {}
    videos = {"train": args.videos_train, "validation": 1 if args.quick else 6, "test": args.videos_test}
    with stage("Needle videos") as progress:
        return [
            load_needle(split=split, config=NeedleConfig(videos=videos, **short), progress=progress) for split in videos
        ]


def _borrow(arm: Arm, folder: Path) -> None:
    """Copy what earlier arms made, each under a name that says that it is not whole until it is."""
    for lender, theirs, ours in arm.borrows:
        source, target = folder.parent / lender / theirs, folder / ours
        if target.exists() or not source.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".unfinished-{target.name}")
        if source.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(source, unfinished)
        else:
            shutil.copy(source, unfinished)
        unfinished.replace(target)


def _test(folder: Path, config: TrainConfig, test: Dataset) -> dict[str, EvalResult]:
    """Both stages of a run on the test split."""
    found: dict[str, EvalResult] = {}
    for name, place in (("sft", folder / SFT_FOLDER), ("policy", folder)):
        with stage(f"Test: {name}") as progress:
            found[name] = evaluate(
                load_policy(place),
                test,
                out=folder / "test",
                env_options={"describe": config.describe, "budget": config.budget},
                workers=2,
                progress=progress,
            )
    return found


def pooled(results: Sequence[EvalResult]) -> Interval:
    """Accuracy over several runs on the same videos: a video is resampled with what every seed said about it."""
    graded = [record for result in results for record in result.records if record.trajectory.score is not None]
    return accuracy([float(record.trajectory.score or 0.0) for record in graded], [one.video_group for one in graded])


def _difference(mine: Sequence[EvalResult], theirs: Sequence[EvalResult]) -> str:
    """A paired difference over seeds in points, with its 95% interval."""
    found = compare_runs(zip(mine, theirs, strict=True))
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def markdown(
    results: Mapping[str, Sequence[Mapping[str, EvalResult]]], *, baseline: str, labels: Mapping[str, str]
) -> str:
    """The table of a study.

    Args:
        results: what `run_arms` returned.
        baseline: the arm that the others are compared with.
        labels: what the table calls an arm.

    Returns:
        Markdown: a row an arm, with accuracy after both stages, and the difference from the baseline.
    """
    head = ["arm", "after the cold start %", "after PPO % (95%)", "zooms", "frames", "PPO - cold start", "against"]
    rows = [[*head[:-1], f"against {labels[baseline]}"], ["---"] * len(head)]
    theirs = [found["policy"] for found in results[baseline]]
    for name, runs in results.items():
        first, last = ([found[which] for found in runs] for which in ("sft", "policy"))
        rows.append(
            [
                labels[name],
                str(pooled(first)),
                str(pooled(last)),
                f"{_mean(run.zooms_per_episode for run in last):.2f}",
                f"{_mean(run.frames_per_episode for run in last):.1f}",
                _difference(last, first),
                "" if name == baseline else _difference(last, theirs),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def finish(args: StudyArgs, name: str, table: str) -> int:
    """Show a table and write it to the page, where one is named and the figures mean something; the exit code."""
    show(table)
    if args.page is not None and not args.quick:
        write_between(args.page, name, table)
        note(f"table: {args.page}")
    return 0


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: begin -->` and `<!-- name: end -->` of a page.

    Raises:
        ConfigError: no such page, or no such markers in it.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    try:
        before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    except OSError as fault:
        raise ConfigError(f"wanted a page to write the table to, cannot read {page}: {fault.strerror}") from fault
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ConfigError(f"wanted the lines {begin} and {end} in {page}: add them, or pass --page none")
    unfinished = page.with_name(f".unfinished-{page.name}")
    unfinished.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    unfinished.replace(page)
