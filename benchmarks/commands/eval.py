"""`vz eval`: play a dataset's questions with one or more policies, and print the table."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vz_agents.baselines import Blind, Oracle, RandomZoom, UniformSampling
from vz_agents.policy import Policy, load_policy, policy_name
from vz_agents.stopping import StopRequest
from vz_agents.trajectory import as_plain
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.jsonl import load_jsonl
from vz_env.datasets.registry import load_dataset
from vz_env.errors import ConfigError

from ..console import note, progress_bar, show, show_table
from ..decoding import DecodingArgs
from ..records import to_pretty_json, write_atomically
from ..results import EvalResult
from ..runner import evaluate
from ..tables import comparison_table, group_table

__all__ = ["CONFIG_NAME", "DatasetArgs", "EvalArgs", "find_policy", "open_dataset", "run_eval"]

CONFIG_NAME = "config.json"
EXIT_TOO_MANY_ERRORS = 3


@dataclass(frozen=True, kw_only=True)
class DatasetArgs:
    """Which questions."""

    dataset: str = "Needle"
    """A registered name (see `vz list`) or the path of an annotation file (.jsonl)."""
    root: Path | None = None
    """Folder of the videos: the annotation file's own by default; for Needle, a folder made by `vz needle make`."""
    split: str = "test"
    """Which part of the dataset."""


@dataclass(frozen=True, kw_only=True)
class EvalArgs:
    """Evaluate policies on a dataset. The same command continues an interrupted evaluation."""

    data: Annotated[DatasetArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=DatasetArgs)
    """Which questions."""
    policy: tuple[str, ...] = ("uniform",)
    """uniform, blind, random, oracle, package.module:Name, or the folder of a training run; several may be given."""
    out: Path = Path("runs/eval")
    """Folder for results.jsonl; several evaluations may share one."""
    frames: int = 32
    """Frames that the uniform policy sees."""
    limit: int | None = None
    """Only the first so many questions."""
    ids: tuple[str, ...] = ()
    """Only these questions."""
    seed: int = 0
    """Seed of the episodes."""
    workers: int = 2
    """Threads that decode."""
    describe: str = "palette"
    """The words beside each frame: none, palette or captions."""
    overview_from: Literal["exact", "keyframes"] = "exact"
    """keyframes: overview frames are the keyframes before the exact moments, many times faster to decode."""
    decoding: Annotated[DecodingArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=DecodingArgs)
    """How videos are read."""
    budget: Budget = field(default_factory=Budget)
    """What an episode may cost."""
    deadline_seconds: float | None = None
    """Wall-clock limit of one episode; passing it is an error, not a wrong answer."""


def open_dataset(args: DatasetArgs) -> Dataset:
    """Load the dataset that the arguments name; malformed annotation lines are told on stderr and left out.

    Raises:
        ConfigError: no such name.
        DatasetError: nothing usable in it.
    """
    path = Path(args.dataset)
    if path.suffix == ".jsonl":
        split = None if args.split in {"", "all"} else args.split
        dataset = load_jsonl(path, args.root or path.parent, split=split, on_error="skip")
        for line in dataset.rejected:
            note(f"{path}:{line.line}: {line.message} (left out)")
        return dataset
    if args.dataset == "Needle":
        with progress_bar("making the needle videos") as progress:
            return load_dataset("Needle", split=args.split, root=args.root, progress=progress)
    return load_dataset(args.dataset, split=args.split)


def find_policy(spec: str, dataset: Dataset, *, frames: int = 32, seed: int = 0) -> Policy:
    """Build the policy that a word of the command line names.

    Raises:
        ConfigError: no such baseline, module or folder.
    """
    builders = {
        "uniform": lambda: UniformSampling(frames=frames),
        "blind": lambda: Blind(seed=seed),
        "random": lambda: RandomZoom(seed=seed),
        "oracle": lambda: Oracle(dataset),
    }
    if spec in builders:
        return builders[spec]()
    if Path(spec).is_dir():
        return _load_trained(Path(spec))
    if ":" in spec:
        here = str(Path.cwd())
        if here not in sys.path:  # a policy in the folder one stands in, as `python -m` would find it
            sys.path.insert(0, here)
        return load_policy(spec)
    raise ConfigError(
        f"wanted a policy out of {', '.join(builders)}, package.module:Name or the folder of a training run, "
        f"got {spec!r}"
    )


def run_eval(args: EvalArgs) -> int:
    """Run the command; returns its exit code: 0, 3 with too many errors, 130 or 143 when stopped."""
    dataset = open_dataset(args.data)
    if args.ids or args.limit is not None:
        dataset = dataset.subset(ids=args.ids or None, limit=args.limit)
    policies = [find_policy(spec, dataset, frames=args.frames, seed=args.seed) for spec in args.policy]
    write_atomically(args.out / CONFIG_NAME, to_pretty_json(as_plain(asdict(args))))
    results: list[EvalResult] = []
    with StopRequest() as stop, args.decoding.configured():
        for policy in policies:
            with progress_bar(policy_name(policy)) as progress:
                result = evaluate(
                    policy,
                    dataset,
                    out=args.out,
                    env_options=_env_options(args),
                    seed=args.seed,
                    workers=args.workers,
                    deadline_seconds=args.deadline_seconds,
                    progress=progress,
                    should_stop=stop.is_set,
                )
            if stop.is_set():
                note(f"stopped after {result.episodes} of {len(dataset)} questions; the same command continues")
                return stop.exit_code(0)
            results.append(result)
    return _show_results(results, args.out)


def _env_options(args: EvalArgs) -> dict[str, Any]:
    """Arguments of the environment; what stays at its default is left out, so that earlier results still count."""
    options: dict[str, Any] = {"budget": args.budget, "describe": args.describe}
    if args.overview_from != "exact":
        options["overview_from"] = args.overview_from
    return options


def _show_results(results: list[EvalResult], out: Path) -> int:
    show_table(comparison_table(results))
    if any(group.group == "task" for result in results for group in result.groups):
        show_table(group_table(results))
    _tell_errors(results)
    show(f"results: {out}   page: vz report {out}")
    return EXIT_TOO_MANY_ERRORS if any(result.has_too_many_errors for result in results) else 0


def _tell_errors(results: list[EvalResult], limit: int = 10) -> None:
    """One line for each failed episode, up to a limit."""
    failed = [trajectory for result in results for trajectory in result.trajectories if trajectory.is_error]
    for trajectory in failed[:limit]:
        note(f"{trajectory.policy}, {trajectory.episode_id}: {trajectory.status}: {trajectory.error}")
    if len(failed) > limit:
        note(f"... and {len(failed) - limit} more errors, all in the results")


def _load_trained(folder: Path) -> Policy:
    """Load what a training run left behind."""
    try:
        from vz_agents.checkpoint import load_policy as load_trained
    except ModuleNotFoundError as fault:
        raise ConfigError(
            f"a trained policy wants the language-model extra: pip install 'vz-env[llm]' ({fault})"
        ) from fault
    policy: Policy = load_trained(folder)
    return policy
