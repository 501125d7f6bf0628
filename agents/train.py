"""Training a policy in two stages: SFT cold start on exemplars, then PPO. The same command continues a killed run.

A run folder holds `training.json` (what was asked for), what the cold start leaves (`cold_start`: `exemplars.jsonl`,
`sft/` and so on), `checkpoints/` (PPO: the newest few and the best), `policy/` (the finished policy),
`learning_curve.jsonl` and `tensorboard/`; with `track`, `tracking.json` and that service's files. Every stage writes
its result under its final name only when it is complete, so whatever is there need not be made again. Of several
processes, all of them learn, and the main one writes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .checkpoint import POLICY_FOLDER, Checkpoints, load_policy, save_policy
from .cold_start import SFT_FOLDER, cold_start
from .language_policy import LanguagePolicy
from .learning_log import LearningLog
from .model import LanguageModel
from .ppo import PPO
from .processes import ALONE, Processes
from .replay import replay_trajectory
from .rollout import episode_seed
from .run_models import system_of
from .sampler import SamplerConfig, sample_episodes
from .stages import Stage, silent
from .tracking import NoTracker, Track, Tracker, open_tracker
from .train_config import CONFIG_NAME, TrainConfig, claim_folder
from .trajectory import Trajectory
from .uniform_arm import train_uniform
from .weights import explain_memory, make_trainable

__all__ = ["CONFIG_NAME", "SFT_FOLDER", "TrainConfig", "train_policy", "train_uniform"]


def train_policy(
    train: Dataset,
    validation: Dataset | None,
    out: Path,
    config: TrainConfig,
    *,
    stage: Stage = silent,
    should_stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
) -> LanguagePolicy | None:
    """Train a policy on a split, from its cold start through PPO.

    Args:
        train: the episodes to learn from.
        validation: evaluated now and then; None leaves that out.
        out: the run folder; a run that was killed in it goes on.
        config: how.
        stage: shows progress.
        should_stop: asked after every step of SFT and every PPO iteration; once true, a checkpoint is written and None
            is returned. Of several processes each is asked, and one is enough.
        processes: that train together, all called with the same; `out` is a folder that each of them sees.

    Returns:
        The finished policy, or None when stopped.

    Raises:
        ConfigError: the folder holds a run with another configuration, the model cannot be loaded, or whoever is to be
            told of the run (`config.track`) cannot be.
        ProcessFailed: another process failed, or is gone.
    """
    processes.first(lambda: claim_folder(out, config, train.revision))
    if (out / POLICY_FOLDER).is_dir():
        return load_policy(out)
    track: Track = config.track if config.reinforce else ""  # SFT has nothing to show
    opened = processes.first(lambda: open_tracker(track, out, config.plain()))
    with opened or NoTracker() as tracker, explain_memory():
        given = {"stage": stage, "should_stop": should_stop, "processes": processes}
        start = cold_start(train, out, config, **given)
        if start is None:
            return None
        if config.reinforce:
            return _reinforce(train, validation, out, config, start, tracker=tracker, **given)
        name = "SFT" if config.cold_start else "Start"
        processes.first(lambda: save_policy(out / POLICY_FOLDER, start, name=name, **system_of(config)))
        return load_policy(out)


def _reinforce(
    train: Dataset,
    validation: Dataset | None,
    out: Path,
    config: TrainConfig,
    model: LanguageModel,
    *,
    tracker: Tracker,
    stage: Stage,
    should_stop: Callable[[], bool],
    processes: Processes,
) -> LanguagePolicy | None:
    """PPO from the cold start, or from the newest checkpoint."""

    def make_env() -> VideoZoomEnv:
        return VideoZoomEnv(train, budget=config.budget, **options)

    make_trainable(model, config.weights, seed=config.ppo.seed + config.seed)
    options = {**config.env_options, "with_frames": model.needs_frames}
    total = config.ppo.iterations
    envs = [make_env() for _ in range(processes.largest_share(config.ppo.prompts) * config.ppo.samples)]
    ppo = PPO(model, model.reference(), envs, train.ids, config.seeded().ppo, out=out, processes=processes)
    checkpoints = Checkpoints(out / "checkpoints", keep=config.keep_last)
    if (newest := checkpoints.latest()) is not None:
        ppo.load_state(checkpoints.restore(newest, model, ppo.optimizers))
    log = processes.first(lambda: LearningLog(out, iteration=ppo.iteration, tracker=tracker))
    try:
        with stage("Reinforcement (PPO)") as progress:
            while ppo.iteration < total:
                iteration = ppo.iteration
                _, metrics = ppo.step()
                is_last = ppo.iteration == total
                if validation is not None and (is_last or iteration % config.eval_every == 0):
                    metrics |= _evaluate(ppo, validation, config, log)
                progress(ppo.iteration, total)
                is_stopped = any(processes.gather(should_stop))
                is_due = is_stopped or is_last or "eval/accuracy" in metrics or ppo.iteration % config.save_every == 0
                processes.first(partial(_keep, log, ppo, metrics, checkpoints if is_due else None))
                if is_stopped and not is_last:
                    return None
    finally:
        if log is not None:
            log.close()
    processes.first(lambda: save_policy(out / POLICY_FOLDER, model, name="PPO", **system_of(config)))
    return load_policy(out)


def _keep(log: LearningLog, ppo: PPO, metrics: Mapping[str, float], checkpoints: Checkpoints | None) -> None:
    """Write what an iteration came to, and a checkpoint where one is due."""
    played = ppo.config.prompts * ppo.config.samples
    log.scalars(ppo.iteration - 1, ppo.iteration * played, metrics)
    if checkpoints is not None:
        checkpoints.save(ppo.iteration, ppo.model, ppo.optimizers, ppo.state(), score=metrics.get("eval/accuracy"))


@torch.no_grad()
def _evaluate(ppo: PPO, validation: Dataset, config: TrainConfig, log: LearningLog | None) -> dict[str, float]:
    """Greedy accuracy on some validation episodes, spread over its videos; one whole trajectory goes to TensorBoard."""
    model, processes = ppo.model, ppo.processes
    step = max(1, len(validation) // config.eval_episodes)
    names = processes.share(list(validation.ids)[::step][: config.eval_episodes])
    options = {**config.env_options, "with_frames": model.needs_frames}
    envs = [VideoZoomEnv(validation, budget=config.budget, **options) for _ in names]
    length, is_compiled = config.ppo.max_new_tokens, config.ppo.compile
    sampling = SamplerConfig(temperature=0.0, max_new_tokens=length, compile=is_compiled)
    seeds = [episode_seed(config.seed, name) for name in names]

    def play() -> list[Trajectory]:
        return [rollout.trajectory for rollout in sample_episodes(model, envs, names, seeds, config=sampling)]

    played = [trajectory for part in processes.gather(play) for trajectory in part]
    if log is not None:
        iteration = ppo.iteration - 1
        chosen = played[iteration % len(played)]
        log.trajectory(iteration, chosen, _sheets(validation, config, chosen))
    scores = [trajectory.score for trajectory in played if trajectory.score is not None]
    return {"eval/accuracy": sum(scores) / max(1, len(scores))}


def _sheets(validation: Dataset, config: TrainConfig, trajectory: Trajectory) -> list[NDArray[np.uint8]]:
    """Play an episode again and draw every turn: the frames that it was shown, and where in the video they lie."""
    options = {**config.env_options, "with_frames": True, "render_mode": "rgb_array"}
    env = VideoZoomEnv(validation, budget=config.budget, **options)
    sheets: list[NDArray[np.uint8]] = []
    replay_trajectory(env, trajectory, on_observation=lambda *_: sheets.append(np.asarray(env.render())))
    env.close()
    return sheets
