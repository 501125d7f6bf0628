"""PPO over the scripted environment, from one random model: what the tests of its parts share, and how they look at it.

The fixture `trainer` of tests/vz_agents makes the trainers.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from vz_agents.ppo import PPO, PPOConfig

IDS = tuple(f"q{number}" for number in range(4))
FAST = PPOConfig(prompts=4, samples=2, epochs=1, minibatches=1, critic_warmup=0, max_new_tokens=8, seed=5)


def make_trainer(make_model, scripted_env, config=FAST, *, ids=IDS, model=None, **changes):
    """A trainer over `ids`; `changes` are of the configuration, and the model is a random one unless given."""
    config = replace(config, **changes)
    model = model or make_model(end_bias=3.0)
    envs = [scripted_env(*ids) for _ in range(config.prompts * config.samples)]
    return PPO(model, copy.deepcopy(model), envs, ids, config)


def weights(model):
    """A copy of every weight, by name."""
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def changed(before, model, part):
    """Whether a weight whose name begins so is another than before."""
    return any(not torch.equal(w, before[name]) for name, w in model.state_dict().items() if name.startswith(part))


def remembered(optimizers):
    """Every number that optimisers remember, by optimiser, weight and kind."""
    return {
        (name, number, weight, kind): torch.as_tensor(kept).tolist()
        for name, group in optimizers.items()
        for number, state in enumerate(group.state_dict())
        for weight, kinds in state["state"].items()
        for kind, kept in kinds.items()
    }
