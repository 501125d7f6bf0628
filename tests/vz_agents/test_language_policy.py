from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vz_agents import language_policy
from vz_agents.language_policy import LanguagePolicy
from vz_agents.policy import (
    Observation,
    PastTurn,
    batch_size,
    budget_for,
    fingerprint,
    needs_frames,
    policy_name,
    reads_key,
)
from vz_agents.rollout import collect_rollouts
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_env.actions import format_zoom
from vz_env.budget import Budget
from vz_env.errors import ConfigError

GREEDY = SamplerConfig(temperature=0.0, max_new_tokens=12)


class OneByOne(LanguagePolicy):
    """The same policy, rendered from its history at every turn instead of played whole."""

    run_episodes = property()  # hides the method: hasattr is False


@pytest.fixture
def model(make_model):
    return make_model(end_bias=4.0)


def test_it_is_a_policy_by_every_question_asked_of_one(model):
    policy = LanguagePolicy(model, name="Mine", batch_size=3)
    assert (policy_name(policy), batch_size(policy)) == ("Mine", 3)
    assert not needs_frames(policy)
    assert not reads_key(policy)


def test_a_device_without_memory_is_one_message(model, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(language_policy, "sample_episodes", full)
    with pytest.raises(ConfigError, match=r"out of memory \(CUDA.*--budget.max-pixels.*--device cpu"):
        LanguagePolicy(model).run_episodes([], [], [])


def test_its_budget_is_the_environments_or_uniform_frames(model):
    assert budget_for(LanguagePolicy(model), Budget()) == Budget()
    assert budget_for(LanguagePolicy(model, overview_frames=8), Budget()) == Budget(overview_frames=8, max_zooms=0)
    many = budget_for(LanguagePolicy(model, overview_frames=200), Budget())
    assert (many.overview_frames, many.max_frames, many.max_zooms) == (200, 200, 0)


def test_whole_episodes_in_batches_are_what_single_episodes_are(model, make_envs, needle):
    policy = LanguagePolicy(model, sampling=GREEDY, batch_size=3)
    names = needle.ids[:5]

    together = collect_rollouts(lambda: make_envs(1)[0], policy, names, seed=1)
    alone = [collect_rollouts(lambda: make_envs(1)[0], policy, [name], seed=1)[0] for name in names]

    assert [trajectory.episode_id for trajectory in together] == list(names)
    assert [trajectory.turns for trajectory in together] == [trajectory.turns for trajectory in alone]
    assert all(trajectory.policy == "LanguageModel" for trajectory in together)


def test_acting_on_a_history_reads_what_playing_whole_read(model, make_envs, needle, script_replies, monkeypatch):
    zooms = [format_zoom((8 * slot, 8 * slot + 8), 2) for slot in range(2)]
    script_replies({7: [f"<think>none</think>{zoom}" for zoom in zooms] + ["<answer>A</answer>"]})
    config = SamplerConfig(max_new_tokens=40)
    (rollout,) = sample_episodes(model, make_envs(1), needle.ids[:1], [7], config=config)
    prompts = []

    def complete(_, given, *args, **options):
        prompts.extend(chunk.ids for chunk in given)
        return [[5]] * len(given)

    monkeypatch.setattr(language_policy, "complete", complete)
    policy = LanguagePolicy(model)

    turns = rollout.trajectory.turns
    for number, turn in enumerate(turns):
        history = tuple(PastTurn(past.observation, past.action) for past in turns[:number])
        seen = {"frames": np.zeros((0, 2, 2, 3), np.uint8), "timestamps": np.zeros(0), "budget": {}}
        episode = needle.episodes[0]
        policy.act([Observation(text=turn.observation, episode=episode, turn=number, history=history, **seen)])

    tokens = rollout.trajectory.tokens
    assert len(turns) == 3
    assert prompts == [tokens.ids[: tokens.turn.index(number)] for number in range(3)]


def test_a_context_that_overflows_is_an_error_of_its_episode(make_model, make_envs, needle):
    model = make_model(max_length=64)
    (env,) = make_envs(1)
    for policy in (LanguagePolicy(model), OneByOne(model)):
        (trajectory,) = collect_rollouts(lambda: env, policy, needle.ids[:1], seed=0)
        assert trajectory.status == "error:ContextFull"


def test_nothing_to_act_on_is_no_action(model):
    assert LanguagePolicy(model).act([]) == []


def test_the_fingerprint_changes_with_whatever_changes_an_action(make_model):
    policies = {
        "same": LanguagePolicy(make_model()),
        "weights": LanguagePolicy(make_model(seed=1)),
        "sampling": LanguagePolicy(make_model(), sampling=GREEDY),
    }
    talkative = make_model()
    talkative.tokenizer = copy.deepcopy(talkative.tokenizer)
    talkative.chat = type(talkative.chat)(talkative.tokenizer, system="Be brief.")
    policies["system message"] = LanguagePolicy(talkative)
    prints = {name: fingerprint(policy) for name, policy in policies.items()}

    assert len(set(prints.values())) == 4
    assert fingerprint(LanguagePolicy(make_model())) == prints["same"]
    nudged = make_model()
    with torch.no_grad():
        nudged.lm.model.norm.weight[0] += 1e-6
    assert fingerprint(LanguagePolicy(nudged)) != prints["same"]
