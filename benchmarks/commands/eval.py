"""`vz eval`: play a dataset's questions with one or more policies, and print the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vz_agents.policy import policy_name
from vz_agents.remote_config import without_password
from vz_agents.rollout import collect_rollouts
from vz_agents.stopping import StopRequest
from vz_agents.trajectory import as_plain
from vz_env.budget import PUBLISHED_BUDGET, Budget
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.jsonl import load_jsonl
from vz_env.datasets.registry import load_dataset

from ..adapters.catalogue import find_variant
from ..console import note, progress_bar, show, show_table
from ..decoding import DecodingArgs
from ..lineup import line_up
from ..prompt_template import PromptTemplate
from ..records import to_pretty_json, write_atomically
from ..results import EvalResult
from ..runner import evaluate
from ..server import ServerArgs
from ..sharding import take_shard
from ..tables import comparison_table, group_table
from .score import show_figures

__all__ = ["CONFIG_NAME", "DatasetArgs", "EvalArgs", "open_dataset", "run_eval"]

CONFIG_NAME = "config.json"
EXIT_TOO_MANY_ERRORS = 3


@dataclass(frozen=True, kw_only=True)
class DatasetArgs:
    """Which questions."""

    benchmark: str = ""
    """An official benchmark by its variant, such as mlvu-dev (see `vz list`); --root is the folder of its files."""
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
    """uniform@64, first-frames@64, random, subtitles, blind, oracle, curve, baselines (see `vz list`),
    openai, package.module:Name, or the folder of a training run; several may be given."""
    reader: str = ""
    """Who answers where the baselines look: openai, package.module:Name or a folder. By default they answer by rules of
    their own, which read the words beside frames and nothing of pictures."""
    server: Annotated[ServerArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=ServerArgs)
    """Of the policy `openai`."""
    device: str = ""
    """Where a model computes: cpu, cuda, cuda:1; empty: cuda where there is one."""
    out: Path = Path("runs/eval")
    """Folder for results.jsonl; several evaluations may share one."""
    frames: int = 32
    """Frames that uniform and first-frames see where their word states none."""
    fps: float | None = None
    """At most so many overview frames a second, beside the limit of their number."""
    max_pixels: int | None = None
    """Most pixels of a frame, its aspect kept; short for --budget.max-pixels."""
    limit: int | None = None
    """Only the first so many questions."""
    ids: tuple[str, ...] = ()
    """Only these questions."""
    shard: str = ""
    """Only one part of the questions, as i/n, such as 0/8; `vz merge` joins what the parts wrote."""
    prompt: Literal["environment", "one-shot"] = "environment"
    """one-shot: --frames frames, a prompt laid out as the benchmark's own, one reply and no zoom."""
    prompt_file: Path | None = None
    """A one-shot prompt of your own, such as the official one: text with {question}, {options}, {subtitles} in it."""
    seed: int = 0
    """Seed of the episodes."""
    workers: int = 2
    """Threads that decode, or Ray workers."""
    ray: bool = False
    """Play over Ray: over the engine that `ray start` started, else one on this machine."""
    describe: str = "palette"
    """The words beside each frame: none, palette or captions."""
    overview_from: Literal["exact", "keyframes"] = "exact"
    """keyframes: overview frames are the keyframes before the exact moments, many times faster to decode."""
    protocol: Literal["strict", "videozoomer"] = "strict"
    """videozoomer: frames, errors and end of the published system, and its budget where --budget is the default."""
    eyes: tuple[Literal["crop", "subtitle_search", "several_zooms", "aliases"], ...] = ()
    """What may be asked for besides one zoom or one answer, in the protocol strict."""
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
    if args.benchmark:
        benchmark, options = find_variant(args.benchmark)
        dataset = load_dataset(benchmark.name, root=args.root, **options)
        _tell_notes(dataset)
        return dataset
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
    root = {} if args.root is None else {"root": args.root}
    return load_dataset(args.dataset, split=args.split, **root)


def _tell_notes(dataset: Dataset, limit: int = 5) -> None:
    """What the loader corrected or could not use, up to a limit."""
    for line in dataset.notes[:limit]:
        note(line)
    if len(dataset.notes) > limit:
        note(f"... and {len(dataset.notes) - limit} more notes of the loader")


def run_eval(args: EvalArgs) -> int:
    """Run the command; returns its exit code: 0, 3 with too many errors, 130 or 143 when stopped."""
    dataset = open_dataset(args.data)
    if args.ids or args.limit is not None:
        dataset = dataset.subset(ids=args.ids or None, limit=args.limit)
    dataset = take_shard(dataset, args.shard)
    policies = line_up(
        args.policy,
        dataset,
        frames=args.frames,
        seed=args.seed,
        reader=args.reader,
        is_one_shot=args.prompt == "one-shot",
        template=PromptTemplate.read(args.prompt_file) if args.prompt_file is not None else None,
        server=args.server,
        device=args.device,
    )
    kept = replace(args, server=replace(args.server, base_url=without_password(args.server.base_url)))
    write_atomically(args.out / CONFIG_NAME, to_pretty_json(as_plain(asdict(kept))))
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
                    collect=_collector(args),
                )
            if stop.is_set():
                note(f"stopped after {result.episodes} of {len(dataset)} questions; the same command continues")
                return stop.exit_code(0)
            results.append(result)
    return _show_results(results, args.out, dataset)


def _collector(args: EvalArgs) -> Callable[..., Any]:
    """Who plays the episodes: threads of this process, or Ray."""
    if not args.ray:
        return collect_rollouts
    from ..ray_engine import collect_with_ray

    return collect_with_ray


def _env_options(args: EvalArgs) -> dict[str, Any]:
    """Arguments of the environment; what stays at its default is left out, so that earlier results still count."""
    is_published = args.protocol == "videozoomer"
    budget = PUBLISHED_BUDGET if is_published and args.budget == Budget() else args.budget
    budget = budget if args.max_pixels is None else replace(budget, max_pixels=args.max_pixels)
    options: dict[str, Any] = {"budget": budget, "describe": args.describe}
    if args.fps is not None:
        options["overview_fps"] = args.fps
    if args.overview_from != "exact":
        options["overview_from"] = args.overview_from
    if is_published:
        options["protocol"] = args.protocol
    if args.eyes:
        options["eyes"] = args.eyes
    return options


def _show_results(results: list[EvalResult], out: Path, dataset: Dataset) -> int:
    show_table(comparison_table(results))
    if any(group.group == "task" for result in results for group in result.groups):
        show_table(group_table(results))
    show_figures(results, dataset)
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
