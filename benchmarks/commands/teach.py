"""`vz teach`: a teacher plays a train split, or repairs what a student did wrong on it; no model is trained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tyro

from vz_agents.exemplar_filters import REASONS, Exemplars
from vz_agents.exemplars import EXEMPLARS, ExemplarConfig, collect_exemplars, write_exemplars
from vz_agents.policy import Policy, needs_frames
from vz_agents.reflection import REFLECTION_REASONS, REFLECTIONS, choose_wrong, reflect
from vz_agents.remote_config import ServerConfig, without_password
from vz_agents.teachers import find_teacher, open_teacher
from vz_agents.trajectory import as_plain
from vz_agents.trajectory_files import read_trajectories
from vz_env.budget import PUBLISHED_BUDGET, Budget
from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError, DatasetError

from ..console import note, progress_bar, show, show_table
from ..records import to_pretty_json, write_atomically
from ..rejections import rejection_table
from .eval import DatasetArgs, open_dataset

__all__ = ["TeachArgs", "run_teach"]

EXIT_SOME_FAILED: Final = 3
CONFIG_NAME: Final = "teaching.json"


@dataclass(frozen=True, kw_only=True)
class TeachArgs:
    """Let a teacher play, and keep what is fit to be imitated. The same command goes on where it was stopped."""

    data: Annotated[DatasetArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=lambda: DatasetArgs(split="train"))
    """What is played; a split to learn from, as scripted searches read its keys."""
    out: Path = Path("runs/taught")
    """Folder for exemplars.jsonl or reflections.jsonl, and for what was played on the way there."""
    teacher: str = "evidence"
    """evidence, binary or coarse-to-fine (scripted searches of any dataset), openai, or package.module:Name."""
    base_url: str = ""
    """Of the server, with --teacher openai; empty: OPENAI_BASE_URL. The key is OPENAI_API_KEY of the environment."""
    model: str = ""
    """The server's model; empty: OPENAI_MODEL."""
    server: Annotated[ServerConfig, tyro.conf.arg(name="")] = field(default_factory=ServerConfig)
    """How the server is asked, and its limits."""
    repair: Path | None = None
    """Trajectories of a student on this split (.jsonl, such as results of an evaluation): the teacher goes on from
    those that ended wrong, in place of playing anew, and reflections.jsonl is written."""
    limit: int | None = None
    """Only the first so many questions."""
    describe: str = "palette"
    """The words beside each frame: none, palette or captions."""
    protocol: Literal["strict", "videozoomer"] = "strict"
    """The protocol; videozoomer with its budget where --budget is the default."""
    budget: Budget = field(default_factory=Budget)
    """What an episode may cost."""
    exemplars: ExemplarConfig = field(default_factory=ExemplarConfig)
    """How often each question is played, and what is asked of an exemplar."""
    seed: int = 0
    """Of the episodes."""


def run_teach(args: TeachArgs) -> int:
    """Run the command; returns its exit code: 0, or 3 when attempts ended in a fault."""
    whole = open_dataset(args.data)
    train = whole if args.limit is None else whole.subset(limit=args.limit)
    _claim(args, train)
    found = find_teacher(args.teacher, train, args.out, base_url=args.base_url, model=args.model, server=args.server)
    with open_teacher(found) as teacher, progress_bar("teaching") as progress:
        options = {"describe": args.describe, "protocol": args.protocol, "with_frames": needs_frames(teacher)}
        is_published = args.protocol == "videozoomer" and args.budget == Budget()
        asked = {
            "env_options": options,
            "budget": PUBLISHED_BUDGET if is_published else args.budget,
            "progress": progress,
        }
        if args.repair is not None:
            return _finish(
                args.out / REFLECTIONS, _repair(args, args.repair, train, teacher, asked), REFLECTION_REASONS
            )
        collected = collect_exemplars(
            train, teacher, seed=args.seed, config=args.exemplars, journal=args.out / "attempts.jsonl", **asked
        )
    return _finish(args.out / EXEMPLARS, collected, REASONS)


def _repair(args: TeachArgs, path: Path, train: Dataset, teacher: Policy, asked: Mapping[str, Any]) -> Exemplars:
    """Repairs of what ended wrong, and counts of the rest; other splits' trajectories are not looked at."""
    read = read_trajectories(path)
    for line, message in read.rejected.items():
        note(f"{path}:{line}: left out: {message}")
    known = set(train.ids)
    played = [one for one in read.trajectories.values() if one.episode_id in known]
    if not played:
        raise DatasetError(f"{path} holds no trajectory of {train.name} ({train.split}): name the split that it is of")
    wrong = choose_wrong(played)
    repaired = reflect(train, wrong.kept, teacher, journal=args.out / "repairs.jsonl", **asked)
    return Exemplars(repaired.kept, dict(Counter(wrong.rejected) + Counter(repaired.rejected)))


def _claim(args: TeachArgs, train: Dataset) -> None:
    """Write what the folder is for, or check that it is for the same; limits, filters and retries may change."""
    asked: dict[str, Any] = as_plain(asdict(args))
    asked = {name: asked[name] for name in ("teacher", "base_url", "model", "describe", "protocol", "budget", "seed")}
    asked |= {"base_url": without_password(args.base_url), "revision": train.revision}
    path = args.out / CONFIG_NAME
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != asked:
            raise ConfigError(f"{args.out} holds what another teacher, or another question, left: choose another --out")
        return
    write_atomically(path, to_pretty_json(asked))


def _finish(path: Path, collected: Exemplars, meanings: Mapping[str, str]) -> int:
    write_exemplars(path, collected)
    show_table(rejection_table(f"{path.stem} ({path})", len(collected.kept), collected.rejected, meanings))
    failed = sum(count for reason, count in collected.rejected.items() if reason.startswith("error:"))
    if failed:
        show(f"{failed} ended in a fault; the same command makes those again that were not the student's")
        return EXIT_SOME_FAILED
    show(f"{path.stem}: {path}   try: vz sft {path}, or vz export {path} --to llama-factory --out sft")
    return 0
