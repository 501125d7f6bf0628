"""Training a policy in two stages: SFT cold start on exemplars, then PPO. The same command continues a killed run.

A run folder holds `training.json` (what was asked for), `exemplars.jsonl`, `sft/` (the policy after the cold start),
`checkpoints/` (PPO, newest two), `policy/` (the finished policy), `learning_curve.jsonl` and `tensorboard/`. Every
stage writes its result under its final name only when it is complete, so whatever is there need not be made again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import torch

from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.prompts import system_message

from .checkpoint import POLICY_FOLDER, Checkpoints, load_policy, save_policy
from .cold_base import REHEARSALS, load_base, make_base
from .curriculum import CurriculumConfig
from .exemplars import AnswerTeacher, collect_exemplars, read_exemplars, write_exemplars
from .language_policy import LanguagePolicy
from .learning_log import LearningLog
from .model import LanguageModel
from .needle_expert import HastyExpert
from .policy import Policy
from .policy import load_policy as import_policy
from .ppo import PPO, PPOConfig
from .rollout import episode_seed
from .sampler import SamplerConfig, sample_episodes
from .sft import SFTConfig, example_of, train_sft
from .stages import Stage, silent
from .trajectory import as_plain

__all__ = ["SFT_FOLDER", "TrainConfig", "train_policy", "train_uniform"]

SFT_FOLDER: Final = "sft"
CONFIG_NAME: Final = "training.json"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a policy is trained."""

    model: str = ""
    """A folder (or hub id) of a causal language model; empty: the tiny model on its cold-start base."""
    from_scratch: bool = False
    """Make the tiny model's cold-start base anew instead of taking the shipped one."""
    teacher: str = ""
    """Who plays the exemplars, as package.module:Name; empty: the hasty scripted expert of the needle dataset."""
    exemplar_episodes: int = 0
    """Episodes that the teacher plays, the first of the split; 0: all. PPO plays all of them in any case."""
    describe: str = "palette"
    """What describes a frame in words: none, palette or captions."""
    seed: int = 0
    """Added to the seed of every stage: runs with different seeds differ in all of them."""
    eval_every: int = 5
    """PPO iterations between evaluations on the validation split."""
    eval_episodes: int = 32
    """Episodes of such an evaluation."""
    budget: Budget = field(default_factory=Budget)
    """What an episode may cost."""
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    """Of a cold-start base made from scratch."""
    rehearsals: int = REHEARSALS
    """Conversations about generated lists that such a base is trained on after the curriculum."""
    sft: SFTConfig = field(default_factory=SFTConfig)
    """The cold start."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """The second stage."""

    def seeded(self) -> TrainConfig:
        """This configuration with `seed` added to its stages'; the curriculum keeps its own, as the base is shared."""
        sft, ppo = replace(self.sft, seed=self.sft.seed + self.seed), replace(self.ppo, seed=self.ppo.seed + self.seed)
        return replace(self, sft=sft, ppo=ppo)

    @property
    def env_options(self) -> dict[str, Any]:
        """Arguments of the environments, besides dataset and budget."""
        return {"describe": self.describe, "with_frames": False}


def train_policy(
    train: Dataset,
    validation: Dataset | None,
    out: Path,
    config: TrainConfig,
    *,
    stage: Stage = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> LanguagePolicy | None:
    """Train a policy on a split, from its cold start through PPO.

    Args:
        train: the episodes to learn from.
        validation: evaluated now and then; None leaves that out.
        out: the run folder; a run that was killed in it goes on.
        config: how.
        stage: shows progress.
        should_stop: asked after every PPO iteration; once true, a checkpoint is written and None is returned.

    Returns:
        The finished policy, or None when stopped.

    Raises:
        ConfigError: the folder holds a run with another configuration, or the model cannot be loaded.
    """
    _claim(out, {"train": as_plain(asdict(config)), "revision": train.revision})
    if (out / POLICY_FOLDER).is_dir():
        return load_policy(out)
    start = cold_start(train, out, config, stage=stage)
    return _reinforce(train, validation, out, config, start, stage=stage, should_stop=should_stop)


def _claim(out: Path, description: Mapping[str, Any]) -> None:
    """Write what the run folder is for, or check that it is for the same."""
    path = out / CONFIG_NAME
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(known, dict) or known.keys() != description.keys():
            raise ConfigError(f"{path} is not of a training run: choose another folder with --out")
        if known != description:
            raise ConfigError(
                f"{out} holds a run with another configuration ({', '.join(_differences(known, description))}): "
                "choose another folder with --out, or remove that one"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{CONFIG_NAME}")
    unfinished.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _differences(known: Any, wanted: Any, name: str = "") -> list[str]:
    """What differs between two configurations as JSON holds them: `ppo.lr is 0.1, not 0.2` and so on."""
    if not (isinstance(known, Mapping) and isinstance(wanted, Mapping)):
        return [] if known == wanted else [f"{name} is {json.dumps(known)}, not {json.dumps(wanted)}"]
    return [
        line
        for inner in sorted({*known, *wanted})
        for line in _differences(
            known.get(inner), wanted.get(inner), (f"{name}.{inner}" if name else inner).removeprefix("train.")
        )
    ]


def begin_model(train: Dataset, out: Path, config: TrainConfig, *, stage: Stage) -> LanguageModel:
    """The weights before any training: a model folder, the shipped base, or a base made from scratch."""
    if config.model:
        return LanguageModel.load(config.model, system=system_message(config.budget))
    if not config.from_scratch:
        return load_base()
    folder = out / "base"
    if folder.is_dir():
        return load_base(folder)
    return make_base(folder, train, curriculum=config.curriculum, rehearsals=config.rehearsals, stage=stage)


def _teacher(config: TrainConfig) -> Policy:
    return import_policy(config.teacher) if config.teacher else HastyExpert()


def cold_start(train: Dataset, out: Path, config: TrainConfig, *, stage: Stage = silent) -> LanguageModel:
    """SFT on the exemplars of a teacher; the result is kept in `sft/`."""
    folder = out / SFT_FOLDER
    if not folder.is_dir():
        model = begin_model(train, out, config, stage=stage)
        model = _fit(train, out / "exemplars.jsonl", config, teacher=_teacher(config), model=model, stage=stage)
        save_policy(folder, model, name="SFT", **_system(config))
    return load_policy(folder).model


def train_uniform(
    train: Dataset, out: Path, frames: int, config: TrainConfig, *, base_out: Path, stage: Stage = silent
) -> LanguagePolicy:
    """The uniform-sampling arm: the same weights, the same SFT on as many exemplars, of `frames` frames and no zooms.

    Args:
        train: the split to learn from; its answers are told to the teacher.
        out: folder of this arm.
        frames: frames an episode.
        config: the configuration of the policy it is compared with.
        base_out: that policy's run folder, where a base made from scratch lies.
        stage: shows progress.
    """
    folder = out / POLICY_FOLDER
    if not folder.is_dir():
        model = begin_model(train, base_out, config, stage=stage)
        budget = LanguagePolicy(model, overview_frames=frames).budget_for(config.budget)
        model = _fit(
            train,
            out / "exemplars.jsonl",
            config,
            teacher=AnswerTeacher(train),
            model=model,
            stage=stage,
            budget=budget,
            at_most=len(read_exemplars(base_out / "exemplars.jsonl")),
        )
        save_policy(folder, model, name=f"UniformSampling-{frames} (SFT)", overview_frames=frames, **_system(config))
    return load_policy(folder)


def _system(config: TrainConfig) -> dict[str, Any]:
    return {"system": system_message(config.budget)} if config.model else {}


def _fit(
    train: Dataset,
    path: Path,
    config: TrainConfig,
    *,
    teacher: Policy,
    model: LanguageModel,
    stage: Stage,
    budget: Budget | None = None,
    at_most: int | None = None,
) -> LanguageModel:
    """Collect a teacher's exemplars, once, and train on them, or on `at_most` of them."""
    if not path.is_file():
        with stage("Exemplars of the scripted teacher") as progress:
            collected = collect_exemplars(
                train.subset(limit=config.exemplar_episodes) if config.exemplar_episodes else train,
                teacher,
                env_options=config.env_options,
                budget=budget or config.budget,
                seed=config.seed,
                progress=progress,
            )
        write_exemplars(path, collected)
    kept = read_exemplars(path)
    if at_most is not None and at_most < len(kept):
        kept = Random(config.seed).sample(kept, at_most)
    examples = [example_of(trajectory, model.chat) for trajectory in kept]
    with stage("Cold start (SFT)") as progress:
        train_sft(model, examples, config.seeded().sft, on_progress=lambda made: progress(made.step, made.steps))
    return model


def _reinforce(
    train: Dataset,
    validation: Dataset | None,
    out: Path,
    config: TrainConfig,
    model: LanguageModel,
    *,
    stage: Stage,
    should_stop: Callable[[], bool],
) -> LanguagePolicy | None:
    """PPO from the cold start, or from the newest checkpoint."""

    def make_env() -> VideoZoomEnv:
        return VideoZoomEnv(train, budget=config.budget, **config.env_options)

    total = config.ppo.iterations
    envs = [make_env() for _ in range(config.ppo.prompts * config.ppo.samples)]
    ppo = PPO(model, copy.deepcopy(model), envs, train.ids, config.seeded().ppo)
    checkpoints = Checkpoints(out / "checkpoints")
    optimizers = {"policy": ppo.policy_optimizer, "value": ppo.value_optimizer}
    if (newest := checkpoints.latest()) is not None:
        ppo.iteration = int(checkpoints.restore(newest, model, optimizers)["step"])
    log = LearningLog(out, iteration=ppo.iteration)
    try:
        with stage("Reinforcement (PPO)") as progress:
            while ppo.iteration < total:
                iteration = ppo.iteration
                _, metrics = ppo.step()
                is_last = ppo.iteration == total
                if validation is not None and (is_last or iteration % config.eval_every == 0):
                    metrics |= _evaluate(ppo.model, validation, config, log, iteration)
                log.scalars(iteration, ppo.iteration * len(envs), metrics)
                progress(ppo.iteration, total)
                is_stopped = should_stop()
                if is_stopped or is_last or ppo.iteration % config.eval_every == 0:
                    checkpoints.save(ppo.iteration, model, optimizers, {})
                if is_stopped and not is_last:
                    return None
    finally:
        log.close()
    save_policy(out / POLICY_FOLDER, model, name="PPO", **_system(config))
    return load_policy(out)


@torch.no_grad()
def _evaluate(
    model: LanguageModel, validation: Dataset, config: TrainConfig, log: LearningLog, iteration: int
) -> dict[str, float]:
    """Greedy accuracy on some validation episodes, spread over its videos; one whole trajectory goes to TensorBoard."""
    step = max(1, len(validation) // config.eval_episodes)
    names = list(validation.ids)[::step][: config.eval_episodes]
    envs = [VideoZoomEnv(validation, budget=config.budget, **config.env_options) for _ in names]
    sampling = SamplerConfig(temperature=0.0, max_new_tokens=config.ppo.max_new_tokens)
    seeds = [episode_seed(config.seed, name) for name in names]
    rollouts = sample_episodes(model, envs, names, seeds, config=sampling)
    log.text(iteration, rollouts[iteration % len(rollouts)].trajectory)
    scores = [rollout.trajectory.score for rollout in rollouts if rollout.trajectory.score is not None]
    return {"eval/accuracy": sum(scores) / max(1, len(scores))}
