"""`vz sft`: fine-tune a language model on files of trajectories; the same command continues a killed run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from vz_agents.batching import Example
from vz_agents.checkpoint import POLICY_FOLDER, Checkpoints, save_policy
from vz_agents.cold_base import load_base
from vz_agents.model import LanguageModel
from vz_agents.seen_examples import pictured_example, seen_example
from vz_agents.sft import SFTConfig, SFTProgress, example_of, padding_share, train_sft
from vz_agents.smollm2 import resolve_model
from vz_agents.stopping import StopRequest
from vz_agents.train_config import TrainConfig
from vz_agents.trajectory import Trajectory, as_plain
from vz_agents.trajectory_files import read_trajectories
from vz_agents.weights import WeightsConfig, explain_memory, load_weights, make_trainable
from vz_env.budget import Budget
from vz_env.errors import ConfigError, DatasetError, VZError

from ..console import note, progress_bar, show, show_table
from ..records import to_pretty_json, write_atomically
from ..rejections import rejection_table
from .environment import EnvironmentArgs, EnvironmentShelf

__all__ = ["SFTArgs", "run_sft"]

CONFIG_NAME: Final = "sft.json"
CHECKPOINTS: Final = "sft-checkpoints"

_MEANINGS: Final = {
    "unreadable": "the line holds no trajectory",
    "error:<type>": "the episode failed",
    "not_right": "it was not graded right (--any-score takes these too)",
    "unplayable": "it could not be played again for its frames",
    "nothing_written": "the policy wrote nothing in it",
    "too_long": "it is longer than the model's context",
}


@dataclass(frozen=True, kw_only=True)
class SFTArgs:
    """Fine-tune a language model on trajectories, such as exemplars and reflections of `vz train`."""

    trajectories: tyro.conf.Positional[tuple[Path, ...]]
    """Files of trajectories (.jsonl): exemplars, reflections, imported conversations, results of an evaluation."""
    out: Path = Path("runs/sft")
    """The run folder; the finished policy is in its folder `policy`."""
    model: str = ""
    """A folder or hub id of a causal language model, or smollm2; empty: the tiny model on its shipped base."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """How its weights are held, and which of them are trained."""
    pictures: Path | None = None
    """Of imported conversations: the folder of the pictures that they name; the folder of their file by default."""
    any_score: bool = False
    """Train on trajectories that were not graded right too."""
    mask_student: bool = True
    """Keep out of the loss what a student did wrong before a teacher took over; --no-mask-student is as published."""
    environment: Annotated[EnvironmentArgs, tyro.conf.arg(name="")] = field(default_factory=EnvironmentArgs)
    """What the rules tell a --model, and where a model that sees is shown the frames: the recorded actions are played
    again there."""
    config: Annotated[SFTConfig, tyro.conf.arg(name="")] = field(default_factory=SFTConfig)
    """How to train."""


def run_sft(args: SFTArgs) -> int:
    """Run the command; returns its exit code."""
    if not args.trajectories:
        raise ConfigError("wanted a file of trajectories or more (.jsonl)")
    _claim(args)
    if (args.out / POLICY_FOLDER).is_dir():
        show(f"policy: {args.out / POLICY_FOLDER} (it was finished)")
        return 0
    where = args.environment
    rules = TrainConfig(protocol=where.protocol, budget=where.played_budget).rules
    system = rules if args.model else None
    model = load_weights(resolve_model(args.model), args.weights, system=system) if args.model else load_base()
    make_trainable(model, args.weights, seed=args.config.seed)
    examples = _examples(args, model)
    padding = padding_share(examples, args.config)
    note(f"{len(examples)} trajectories, {sum(len(one.ids) for one in examples)} tokens, {padding:.1%} padding")
    with StopRequest() as stop, progress_bar("SFT") as progress, explain_memory():

        def tell(made: SFTProgress) -> None:
            progress(made.step, made.steps)

        last = train_sft(
            model,
            examples,
            args.config,
            checkpoints=Checkpoints(args.out / CHECKPOINTS, keep=1),
            should_stop=stop.is_set,
            on_progress=tell,
        )
    if last.step < last.steps:
        show(f"stopped after {last.step} of {last.steps} steps; the same command continues in {args.out}")
        return stop.exit_code(0)
    save_policy(args.out / POLICY_FOLDER, model, name="SFT", **({"system": system} if system else {}))
    shutil.rmtree(args.out / CHECKPOINTS, ignore_errors=True)
    show(f"last step: loss {last.loss:.4f}, {last.accuracy:.1%} of the written tokens predicted right")
    show(f"policy: {args.out / POLICY_FOLDER}   try: vz eval --policy {args.out}")
    return 0


def _claim(args: SFTArgs) -> None:
    """Write what the run folder is for, or check that it is for the same files and settings."""
    try:
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in args.trajectories}
    except OSError as fault:
        raise DatasetError(f"wanted a file of trajectories, cannot read {fault.filename}: {fault.strerror}") from fault
    asked: dict[str, Any] = {"files": list(files.items()), "sft": asdict(args.config), "model": args.model}
    asked["weights"] = asdict(args.weights)
    asked |= {"any_score": args.any_score, "mask_student": args.mask_student}
    asked |= {"budget": asdict(args.environment.budget)}
    if replace(args.environment, budget=Budget()) != EnvironmentArgs():
        asked["environment"] = as_plain(asdict(args.environment))
    path = args.out / CONFIG_NAME
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(asked)):
            raise ConfigError(f"{args.out} holds a run on other files or with other settings: choose another --out")
        return
    write_atomically(path, to_pretty_json(asked))


def _examples(args: SFTArgs, model: LanguageModel) -> list[Example]:
    """What can be trained on, with a table of the rest; lines that hold no trajectory are named."""
    examples: list[Example] = []
    rejected: Counter[str] = Counter()
    maker = _Maker(args, model)
    try:
        for path in args.trajectories:
            read = read_trajectories(path)
            for line, message in read.rejected.items():
                note(f"{path}:{line}: left out: {message}")
            rejected["unreadable"] += len(read.rejected)
            for line, trajectory in read.trajectories.items():
                example = maker.make(trajectory, path, line)
                if isinstance(example, str):
                    rejected[example] += 1
                else:
                    examples.append(example)
    finally:
        maker.shelf.close()
    counts = {reason: count for reason, count in rejected.items() if count}
    show_table(rejection_table("trajectories", len(examples), counts, _MEANINGS))
    return examples


class _Maker:
    """Makes examples of trajectories; a model that sees is shown them, with frames that are kept once."""

    def __init__(self, args: SFTArgs, model: LanguageModel) -> None:
        self.args, self.model, self.store = args, model, model.new_store()
        self.shelf = EnvironmentShelf(args.environment, with_frames=True)

    def make(self, trajectory: Trajectory, path: Path, line: int) -> Example | str:
        """The example, or why there can be none."""
        if trajectory.is_error:
            return trajectory.status
        if not self.args.any_score and trajectory.score != 1.0:
            return "not_right"
        try:
            example = self._example(trajectory, self.args.pictures or path.parent)
        except VZError as fault:
            note(f"{path}:{line}: left out: {fault}")
            return "unplayable"
        if not any(example.mask[1:]):
            return "nothing_written"
        return "too_long" if len(example.ids) > self.model.max_length else example

    def _example(self, trajectory: Trajectory, pictures: Path) -> Example:
        mask = self.args.mask_student
        if not self.model.needs_frames:
            return example_of(trajectory, self.model.chat, mask_student=mask)
        if any(turn.info.get("images") for turn in trajectory.turns):
            told = {"max_pixels": self.args.environment.budget.max_pixels, "store": self.store, "mask_student": mask}
            return pictured_example(self.model, trajectory, pictures.resolve(), **told)
        env = self.shelf.get(trajectory)
        return seen_example(self.model, trajectory, env, store=self.store, mask_student=mask)
