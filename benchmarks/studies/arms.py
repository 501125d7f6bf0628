"""Arms of a study: training runs that differ in a flag or two, over several seeds, on the same needle videos.

What arms have in common is made once and lent on, such as exemplars and a cold start; what another study at the same
size made alike is taken over from it. Everything is kept, so the same command continues after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vz_agents.advantages import Discounts
from vz_agents.checkpoint import load_policy
from vz_agents.ppo import PPOConfig
from vz_agents.sft import SFTConfig
from vz_agents.train import SFT_FOLDER, TrainConfig, train_policy
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import NeedleConfig, load_needle

from ..commands.train import stage
from ..console import note, show
from ..demo import DemoArgs
from ..page_tables import write_between
from ..records import write_atomically
from ..rejections import telling_rejections
from ..results import EvalResult
from ..runner import evaluate
from .lending import Loan, borrow, borrow_from_study
from .study_table import StudyResults, markdown, verdict

__all__ = ["Arm", "StudyArgs", "run_arms", "run_table", "sized"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train.

    `borrows` names what earlier arms of the same seed made with the same settings; `borrows_outside` what arms of the
    study in `StudyArgs.lender` may have made.
    """

    name: str
    config: TrainConfig
    borrows: tuple[Loan, ...] = ()
    borrows_outside: tuple[Loan, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyArgs:
    """How large a study is."""

    out: Path
    """Folder with one folder an arm and seed."""
    size: Literal["full", "small", "quick"] = "full"
    """full: as much as the demo learns from. small: half of the questions, two thirds of PPO, the same tests. quick: a
    minute's run on two short videos, to see that everything works; its figures mean nothing."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; the videos stay."""
    lender: Path | None = None
    """Folder of another study at the same size: what it made with the same settings is copied, not made again."""
    page: Path | None = Path("docs/results.md")
    """Page that takes the table between its markers; none: the terminal alone."""
    videos_train: int = DemoArgs.videos_train
    """Videos to learn from."""
    questions_train: int = 0
    """Only the first so many of their questions; 0: all."""
    videos_test: int = DemoArgs.videos_test
    """Videos to be tested on."""
    config: TrainConfig = field(default_factory=TrainConfig)
    """What the arms have in common."""


def sized(args: StudyArgs) -> StudyArgs:
    """The arguments in the size that was asked for; what was set besides stays where a size says nothing of it."""
    if args.size == "small":
        ppo = replace(args.config.ppo, iterations=20)
        return replace(args, questions_train=1000, config=replace(args.config, ppo=ppo))
    if args.size == "quick":
        config = replace(
            args.config,
            budget=Budget(overview_frames=12, max_turns=4, max_zooms=3, max_frames=60),
            eval_episodes=2,
            sft=SFTConfig(epochs=1),
            ppo=PPOConfig(iterations=1, prompts=2, samples=2, critic_warmup=0, discounts=Discounts()),
        )
        return replace(args, seeds=args.seeds[:1], videos_train=2, videos_test=2, config=config)
    return args


def run_arms(
    arms: Sequence[Arm], args: StudyArgs, *, on_seed: Callable[[StudyResults], None] = lambda results: None
) -> dict[str, list[dict[str, EvalResult]]]:
    """Train and test every arm with every seed; what is there is not made again.

    Args:
        arms: in an order in which every arm comes after those that it borrows from.
        args: in their size.
        on_seed: called with the results so far when all arms of a seed are done.

    Returns:
        By the arm's name, for each seed: the results of the cold start (`sft`) and of the finished policy (`policy`).
    """
    train, validation, test = _open_splits(args)
    results: dict[str, list[dict[str, EvalResult]]] = {arm.name: [] for arm in arms}
    for seed in args.seeds:
        for arm in arms:
            folder = args.out / f"seed-{seed}" / arm.name
            note(f"seed {seed}, {arm.name}: {folder}")
            config = replace(arm.config, seed=seed)
            _borrow_all(arm, folder, args.lender, config, train)
            train_policy(train, validation, folder, config, stage=telling_rejections(folder, stage))
            results[arm.name].append(_test(folder, config, test))
        on_seed(results)
    return results


def _open_splits(args: StudyArgs) -> list[Dataset]:
    is_quick = args.size == "quick"
    short: dict[str, Any] = {"overview_frames": 12, "spacings_seconds": (8,)} if is_quick else {}
    videos = {"train": args.videos_train, "validation": 1 if is_quick else 6, "test": args.videos_test}
    with stage("Needle videos") as progress:
        train, *others = (
            load_needle(split=split, config=NeedleConfig(videos=videos, **short), progress=progress) for split in videos
        )
    if args.questions_train:
        whole, train = train, train.subset(limit=args.questions_train)
        train.revision = f"{whole.revision}, the first {args.questions_train}"  # no run on these is one on all of them
    return [train, *others]


def _borrow_all(arm: Arm, folder: Path, lender: Path | None, config: TrainConfig, train: Dataset) -> None:
    """Take over what other arms made, those of this study first."""
    for loan in arm.borrows:
        borrow(loan, folder.parent / loan.arm, folder)
    for loan in arm.borrows_outside if lender is not None else ():
        theirs = lender / folder.parent.name / loan.arm
        if hindrances := borrow_from_study(loan, theirs, folder, config, train.revision):
            note(f"{theirs} lends nothing to {arm.name}: it was asked for otherwise in {', '.join(hindrances)}")


def _test(folder: Path, config: TrainConfig, test: Dataset) -> dict[str, EvalResult]:
    """Both stages of a run on the test split; arms of a seed share a file, so that the same weights are tested once."""
    found: dict[str, EvalResult] = {}
    for name, place in (("sft", folder / SFT_FOLDER), ("policy", folder)):
        with stage(f"Test: {name}") as progress:
            found[name] = evaluate(
                load_policy(place),
                test,
                out=folder.parent / "test",
                env_options={"describe": config.describe, "budget": config.budget},
                workers=2,
                progress=progress,
            )
    return found


def run_table(name: str, arms: Sequence[Arm], args: StudyArgs, *, baseline: str, labels: Mapping[str, str]) -> int:
    """Run what is missing of a study and show its table.

    The table lies in `table.md` of its folder, renewed with every seed, and on the page when all seeds are done, where
    one is named and the figures mean something.

    Args:
        name: of the markers on the page.
        arms: see `run_arms`.
        args: in their size.
        baseline: the arm that the others are compared with.
        labels: what the table calls an arm.

    Returns:
        The exit code.
    """

    def table_of(results: StudyResults) -> str:
        told = {"baseline": baseline, "labels": labels}
        done = args.seeds[: len(results[baseline])]
        return "\n\n".join([_caption(args, done), markdown(results, **told), verdict(results, **told)])

    def keep(results: StudyResults) -> None:
        write_atomically(args.out / "table.md", table_of(results) + "\n")

    table = table_of(run_arms(arms, args, on_seed=keep))
    show(table)
    if args.page is not None and args.size != "quick":
        write_between(args.page, name, table)
        note(f"table: {args.page}")
    return 0


def _caption(args: StudyArgs, seeds: Sequence[int]) -> str:
    """What made the table, in one line."""
    ppo = args.config.ppo
    learnt = f"the first {args.questions_train} questions about " if args.questions_train else ""
    return (
        f"Size `{args.size}`: {learnt}{args.videos_train} videos to learn from, {args.videos_test} to be tested on, "
        f"{ppo.iterations} PPO iterations of {ppo.prompts * ppo.samples} episodes, seeds {', '.join(map(str, seeds))}."
    )
