"""Two real processes that train together, over gloo. Run as a program, this file is the two of them.

Everything that wants two is looked at in one start of them, which is what takes the time.
"""

from __future__ import annotations

import copy
import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from safetensors.torch import load_file, save_file

from vz_agents import policy_loss
from vz_agents import ppo as module
from vz_agents.batching import Example
from vz_agents.learning_log import read_curve
from vz_agents.model import LanguageModel
from vz_agents.ppo import PPO, PPOConfig, TrainingDiverged
from vz_agents.processes import ALONE, Processes, ProcessFailed, joined
from vz_agents.sft import SFTConfig, train_sft
from vz_agents.train import TrainConfig, train_policy
from vz_agents.weights import WeightsConfig
from vz_env.budget import Budget
from vz_env.datasets.needle import NeedleConfig, load_needle
from vz_env.errors import ConfigError

IDS = tuple(f"q{number}" for number in range(8))
CONFIG = PPOConfig(
    **{"prompts": 4, "samples": 2, "epochs": 2, "minibatches": 3, "micro_tokens": 700, "refills": 1},
    **{"critic_warmup": 1, "critic_steps": 2, "max_new_tokens": 6, "kl_coef": 0.1, "lr": 1e-4, "seed": 5},
)
ITERATIONS = 3
NEEDLE = NeedleConfig(seed=3, videos={"train": 2}, overview_frames=12, spacings_seconds=(8,))  # the fixture's
USELESS = ("q1", "q2", "q6")


@dataclass(frozen=True)
class Recorder(Processes):
    """Processes that keep every gradient that a step is taken on."""

    steps: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def sum_gradients(self, weights):
        super().sum_gradients(weights)
        self.steps.append({str(n): w.grad.clone() for n, w in enumerate(weights) if w.grad is not None})


def train(model_folder, make_env, processes, config=CONFIG):
    """A few iterations; returns the gradients of every step, the weights in the end, metrics, rows by iteration."""
    sample, make_batch, rows = module.sample_episodes, module.make_batch, []

    def graded(*args, **given):
        rollouts = sample(*args, **given)
        for rollout in rollouts:
            trajectory = rollout.trajectory
            is_useless = trajectory.episode_id in USELESS
            for turn in trajectory.turns:
                turn.reward = 0.0
            trajectory.turns[-1].reward = trajectory.reward = 1.0 if is_useless else trajectory.seed % 7 / 7
        return rollouts

    def counted(rollouts, *args):
        batch = make_batch(rollouts, *args)
        rows.append([len(batch.own(range(len(batch)))), len(batch)])
        return batch

    module.sample_episodes, module.make_batch = graded, counted
    try:
        model = LanguageModel.load(model_folder)
        recorder = Recorder(processes.rank, processes.count)
        envs = [make_env(*IDS) for _ in range(processes.largest_share(config.prompts) * config.samples)]
        ppo = PPO(model, copy.deepcopy(model), envs, IDS, config, processes=recorder)
        for group in ppo.optimizers.values():  # Adam blows a gradient that is all rounding up to a whole step
            group.optimizers = [torch.optim.SGD(group.weights, lr=0.1)]
            group.__post_init__()
        told = [ppo.step()[1] for _ in range(ITERATIONS)]
    finally:
        module.sample_episodes, module.make_batch = sample, make_batch
    tensors = {f"weight/{name}": weight.clone() for name, weight in model.state_dict().items()}
    examples = [Example(list(range(5, 5 + n)), [n % 2] * (n // 2) + [1] * (n - n // 2)) for n in range(6, 11)]
    pace = SFTConfig(epochs=1, batch_tokens=20, lr=1e-4)  # batches of one example and of two
    tensors["sft/loss/"] = torch.tensor(train_sft(model, examples, pace, processes=recorder).loss)
    tensors |= {f"gradient/{n}/{name}": g for n, step in enumerate(recorder.steps) for name, g in step.items()}
    metrics = [{k: v for k, v in row.items() if not k.startswith(("time/", "memory/"))} for row in told]
    return tensors, metrics, rows


class Broken(gym.Env):
    """An environment that cannot be used, which is its user's mistake."""

    def reset(self, **given):
        raise ConfigError("no such episodes here")


def run(folder, processes):
    """A run that one process was asked to stop in SFT, then in PPO, then not: results, and checkpoints at each stop."""
    train = load_needle(split="train", root=Path((folder / "needle").read_text()), config=NEEDLE)
    held, pace = WeightsConfig(device="cpu"), PPOConfig(iterations=2, prompts=2, samples=2, max_new_tokens=4)
    limits = Budget(overview_frames=12, max_turns=2, max_zooms=1, max_frames=28)
    config = TrainConfig(
        model=str(folder / "model"), sft=SFTConfig(epochs=1), weights=held, ppo=pace, budget=limits, eval_episodes=3
    )
    out, is_asked, ended = folder / "run", processes.rank == 1, []
    for should_stop in (lambda: is_asked, lambda: is_asked and (out / "sft").is_dir(), lambda: False):
        policy = train_policy(train, train, out, config, should_stop=should_stop, processes=processes)
        ended.append(policy and policy.name)
        ended.append(sorted(str(path.relative_to(out)) for path in out.glob("*/step-*")))
        processes.gather(lambda: None)  # both have looked
    return ended


def two_processes(folder: Path) -> None:
    """What the tests below look at: each of the two writes what it saw into the folder."""
    import conftest

    with joined("cpu") as processes, pytest.MonkeyPatch.context() as patch:
        rank, faults = processes.rank, []
        tensors, metrics, rows = train(folder / "model", lambda *ids: conftest.ScriptedEnv(ids), processes)
        save_file(tensors, folder / f"trained-{rank}.safetensors")
        saw = {"metrics": metrics, "rows": rows, "faults": faults}

        def trainer(envs=None, **changes):
            model = LanguageModel.load(folder / "model")
            envs = envs or [conftest.ScriptedEnv(IDS) for _ in range(4)]
            config = replace(CONFIG, estimator="gae", critic_warmup=0, **changes)
            return PPO(model, copy.deepcopy(model), envs, IDS, config, processes=processes)

        def attempt(work):
            try:
                work()
            except (ConfigError, ProcessFailed, TrainingDiverged) as fault:
                faults.append([type(fault).__name__, str(fault)])

        saw["ended"] = run(folder, processes)
        attempt(trainer([Broken()] * 4 if rank else None).step)
        attempt(lambda: trainer(prompts=1))
        if rank:
            sample = module.sample_episodes
            patch.setattr(module, "sample_episodes", lambda *args, **given: conftest.tampered(sample(*args, **given)))
        attempt(trainer().step)
        patch.undo()
        if rank:
            nothing = torch.tensor(math.nan)
            patch.setattr(
                policy_loss, "clipped_surrogate", lambda log_probs, *a, **g: (log_probs * nothing, log_probs > 0)
            )
        ppo = trainer(epochs=1, minibatches=2)
        before = [weight.clone() for weight in ppo.model.lm.parameters()]
        ppo.step()
        saw["skipped"] = ppo.skipped_steps
        saw["unchanged"] = all(map(torch.equal, before, ppo.model.lm.parameters()))
        (folder / f"saw-{rank}.json").write_text(json.dumps(saw))
        attempt(lambda: processes.gather(lambda: os._exit(9) if rank else None))
        (folder / f"saw-{rank}.json").write_text(json.dumps(saw))


@pytest.fixture(scope="module")
def folder(make_model, needle, tmp_path_factory):
    """What two processes left that began with the same random model."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "needle").write_text(str(needle.root))
    make_model().save(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    many = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", __file__, str(folder)]
    ended = subprocess.run(command, check=False, env=os.environ | where | many, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder


def test_two_processes_take_the_steps_of_one_on_the_same_episodes(folder, scripted_env):
    expected, metrics, _ = train(folder / "model", scripted_env, ALONE)
    first, second = (load_file(folder / f"trained-{rank}.safetensors") for rank in (0, 1))
    saw = [json.loads((folder / f"saw-{rank}.json").read_text()) for rank in (0, 1)]

    assert first.keys() == second.keys() == expected.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())  # to the last bit
    for name, tensor in expected.items():
        step = name.rpartition("/")[0]
        whole = [float(other.norm()) for at, other in expected.items() if at.startswith(f"{step}/")]
        assert float((first[name] - tensor).abs().max()) <= 1e-6 * (1.0 if step == "weight" else math.hypot(*whole)), (
            name
        )
    assert saw[0]["metrics"] == saw[1]["metrics"]
    for row, wanted in zip(saw[0]["metrics"], metrics, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    # They did not come to the same because they did the same: each had rows of its own, and one of them once had none.
    shares = [[own for own, _ in one["rows"]] for one in saw]
    assert [sum(pair) for pair in zip(*shares, strict=True)] == [total for _, total in saw[0]["rows"]]
    assert any(min(pair) == 0 < max(pair) for pair in zip(*shares, strict=True)), shares
    assert any(min(pair) > 0 for pair in zip(*shares, strict=True))


def test_a_process_that_fails_ends_the_other_with_its_reason(folder):
    main, other = (json.loads((folder / f"saw-{rank}.json").read_text())["faults"] for rank in (0, 1))
    reason = "process 1 of 2 failed: ConfigError: no such episodes here. Process 0 stopped with it"
    assert main[0] == ["ProcessFailed", reason]
    assert other[0] == ["ConfigError", "no such episodes here"]
    few = "PPO wants a question an iteration for each of 2 processes, got 1: "
    assert main[1] == other[1] == ["ConfigError", f"{few}raise --ppo.prompts, or start fewer processes"]
    assert main[3][0] == "ProcessFailed"  # the other one was killed
    assert main[3][1].startswith("process 0 of 2 lost the others (")


def test_guards_decide_for_both(folder):
    main, other = (json.loads((folder / f"saw-{rank}.json").read_text()) for rank in (0, 1))
    assert main["faults"][2] == other["faults"][2]  # one of the two sampled what it does not train on
    assert main["faults"][2][0] == "TrainingDiverged"
    assert "by 0.01 on average" in main["faults"][2][1]  # and what the other did does not hide it
    assert main["skipped"] == other["skipped"] == 2  # one of the two had no finite gradient
    assert main["unchanged"]
    assert other["unchanged"]


def test_a_run_of_two_processes_leaves_what_a_run_leaves_and_stops_when_one_is_asked_to(folder):
    for rank in (0, 1):
        saw = json.loads((folder / f"saw-{rank}.json").read_text())
        stops = [None, ["sft-checkpoints/step-000001"], None, ["checkpoints/step-000001"]]
        assert saw["ended"] == [*stops, "PPO", ["checkpoints/step-000001", "checkpoints/step-000002"]]
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {
        *("training.json", "exemplars.jsonl", "exemplars.json", "attempts.jsonl", "sft", "checkpoints")
    } | {*("policy", "learning_curve.jsonl", "tensorboard")}
    assert [row["iteration"] for row in read_curve(folder / "run")] == [0, 1]
    assert [row["episodes"] for row in read_curve(folder / "run")] == [4, 8]
    assert len(list((folder / "run" / "tensorboard").iterdir())) == 2  # one writer, opened twice


def test_shares_are_the_whole_in_order():
    for count in (1, 2, 3, 7):
        for total in range(9):
            parts = [Processes(rank, count).share(range(total)) for rank in range(count)]
            assert [item for part in parts for item in part] == list(range(total))
            assert max(map(len, parts)) <= Processes(0, count).largest_share(total) <= total // count + 1


def test_one_process_exchanges_nothing():
    weight = torch.ones(2, requires_grad=True)
    ALONE.sum_gradients([weight])
    assert weight.grad is None
    assert ALONE.gather(lambda: unpicklable) == [unpicklable]
    with pytest.raises(ConfigError, match="mine"):
        ALONE.first(lambda: (_ for _ in ()).throw(ConfigError("mine")))
    with joined() as processes:
        assert processes is ALONE


def unpicklable():
    """Stands for what could not be sent."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    is_second = os.fork() == 0  # what was imported is imported once for both
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(int(is_second))
    two_processes(Path(sys.argv[1]))
    if not is_second:
        os.wait()
