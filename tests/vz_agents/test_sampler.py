from __future__ import annotations

import math
from random import Random

import pytest
import torch

from vz_agents import decoder
from vz_agents.batching import pad, predict
from vz_agents.sampler import ContextFull, SamplerConfig, complete, sample_episodes
from vz_env.actions import format_answer, format_zoom
from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv

ZOOMS = [format_zoom((8 * slot, 8 * slot + 8), 2) for slot in range(4)]


def train_forward(model, rollouts):
    """Log-probabilities and values of all sampled tokens by one training forward of all sequences at once."""
    tokens = [rollout.trajectory.tokens for rollout in rollouts]
    ids = pad([record.ids for record in tokens], dtype=torch.long)
    mask = pad([record.mask for record in tokens], dtype=torch.long)
    with torch.no_grad():
        logits, hidden, written = predict(model, ids, mask)
        values = model.value_head(hidden)
    return torch.log_softmax(logits, -1).gather(-1, written[:, None])[:, 0], values


def recorded(rollouts):
    tokens = [rollout.trajectory.tokens for rollout in rollouts]
    log_probs = [
        p for record in tokens for p, is_sampled in zip(record.log_probs, record.mask, strict=True) if is_sampled
    ]
    return torch.tensor(log_probs), torch.tensor([value for rollout in rollouts for value in rollout.values])


@pytest.fixture
def model(make_model):
    return make_model(end_bias=4.0)


@pytest.fixture
def ragged(script_replies):
    """Seeds 0..4 zoom seed times and then answer, so episodes last from one to five turns."""
    thought = "<think>teal</think>"
    script_replies({seed: [*(thought + zoom for zoom in ZOOMS[:seed]), format_answer("A")] for seed in range(5)})


def test_log_probs_and_values_are_those_of_a_training_forward_over_ragged_turns(model, make_envs, needle, ragged):
    ids = [*needle.ids[:3], *needle.ids[-2:]]

    rollouts = sample_episodes(model, make_envs(5), ids, range(5), config=SamplerConfig(max_new_tokens=40))

    assert [len(rollout.trajectory.turns) for rollout in rollouts] == [1, 2, 3, 4, 5]
    assert [rollout.trajectory.metrics["zooms"] for rollout in rollouts] == [0, 1, 2, 3, 4]
    assert all(rollout.trajectory.status == "answered" for rollout in rollouts)
    for rollout in rollouts:
        rollout.trajectory.tokens.check()
    (log_probs, values), (expected, expected_values) = recorded(rollouts), train_forward(model, rollouts)
    torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(values, expected_values, atol=1e-5, rtol=0)
    assert values.std() > 0.01  # the critic said something


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_log_probs_are_of_the_tempered_distribution(model, make_envs, needle, temperature):
    config = SamplerConfig(temperature=temperature, max_new_tokens=6)

    rollouts = sample_episodes(model, make_envs(4), needle.ids[:4], range(4), config=config)

    tokens = [rollout.trajectory.tokens for rollout in rollouts]
    with torch.no_grad():
        logits, _, written = predict(
            model, pad([r.ids for r in tokens], dtype=torch.long), pad([r.mask for r in tokens], dtype=torch.long)
        )
    expected = torch.log_softmax(logits / temperature, -1).gather(-1, written[:, None])[:, 0]
    torch.testing.assert_close(recorded(rollouts)[0], expected, atol=1e-5, rtol=0)


def test_the_record_is_what_was_shown_and_written_in_order(model, make_envs, needle, ragged):
    (rollout,) = sample_episodes(model, make_envs(1), needle.ids[:1], [2], config=SamplerConfig(max_new_tokens=40))

    first, second, third = rollout.trajectory.turns
    chat = model.chat
    expected = chat.first(first.observation) + chat.reply_ids(first.action)
    expected += chat.next(second.observation) + chat.reply_ids(second.action)
    expected += chat.next(third.observation) + chat.reply_ids(third.action)
    tokens = rollout.trajectory.tokens
    assert tokens.ids == expected
    assert [number for number in tokens.turn if number >= 0] == sorted(number for number in tokens.turn if number >= 0)
    written = [token for token, is_sampled in zip(tokens.ids, tokens.mask, strict=True) if is_sampled]
    assert written == [token for turn in rollout.trajectory.turns for token in chat.reply_ids(turn.action)]
    assert len(rollout.values) == sum(tokens.mask)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_trajectory_is_the_same_whoever_shares_its_batch(model, make_envs, needle, script_replies, temperature):
    # Turn 0 of some is a zoom; every later turn, and all turns of the others, is the model's own and ragged.
    script_replies({seed: ZOOMS[seed % 3 : seed % 3 + 1 + seed % 2] for seed in range(0, 8, 2)})
    config = SamplerConfig(temperature=temperature, max_new_tokens=24)
    ids = [needle.ids[0], *needle.ids[:7]]
    together = sample_episodes(model, make_envs(8), ids, range(8), config=config)
    order = [5, 2, 0]
    apart = [sample_episodes(model, make_envs(1), [ids[seed]], [seed], config=config)[0] for seed in range(8)]
    few = sample_episodes(model, make_envs(3), [ids[seed] for seed in order], order, config=config)

    lengths = {len(turn.action) for rollout in together for turn in rollout.trajectory.turns}
    assert len(lengths) > 3  # ragged
    for one, other in [*zip(together, apart, strict=True), *((together[seed], few[i]) for i, seed in enumerate(order))]:
        assert one.trajectory.tokens.ids == other.trajectory.tokens.ids
        assert one.trajectory.turns == other.trajectory.turns
        assert one.values == pytest.approx(other.values, abs=1e-5)
        assert one.trajectory.tokens.log_probs == pytest.approx(other.trajectory.tokens.log_probs, abs=1e-5)


def test_another_seed_gives_another_trajectory_unless_greedy(model, make_envs, needle):
    names = [needle.ids[0]] * 2

    sampled = sample_episodes(model, make_envs(2), names, [1, 2], config=SamplerConfig(max_new_tokens=8))
    greedy = sample_episodes(model, make_envs(2), names, [1, 2], config=SamplerConfig(temperature=0, max_new_tokens=8))

    assert sampled[0].trajectory.tokens.ids != sampled[1].trajectory.tokens.ids
    assert greedy[0].trajectory.tokens.ids == greedy[1].trajectory.tokens.ids


def test_equal_first_prompts_are_prefilled_once(model, make_envs, needle, monkeypatch):
    shapes = []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids, **given: shapes.append(tuple(ids.shape)) or hidden(ids, **given))
    names = [needle.ids[0]] * 3 + [needle.ids[1]] * 2

    rollouts = sample_episodes(model, make_envs(5), names, range(5), config=SamplerConfig(max_new_tokens=4))

    assert shapes[0][0] == 2
    assert {rows for rows, length in shapes[1:] if length == 1} <= {5, 4, 3, 2, 1}
    assert shapes[1] == (5, 1)
    torch.testing.assert_close(recorded(rollouts)[0], train_forward(model, rollouts)[0], atol=1e-5, rtol=0)


def test_a_reply_that_is_cut_is_ended_for_the_model_with_mask_0(make_model, make_envs, needle):
    model = make_model(end_bias=-50.0)  # never ends by itself

    (rollout,) = sample_episodes(model, make_envs(1), needle.ids[:1], [0], config=SamplerConfig(max_new_tokens=5))

    tokens = rollout.trajectory.tokens
    assert rollout.trajectory.status == "invalid_limit"
    assert tokens.turn.count(0) == tokens.turn.count(1) == 5
    for turn in range(3):
        after = max(at for at, number in enumerate(tokens.turn) if number == turn) + 1
        assert (tokens.ids[after], tokens.mask[after]) == (model.chat.end_id, 0)
    assert tokens.mask[-1] == 1
    torch.testing.assert_close(recorded([rollout])[0], train_forward(model, [rollout])[0], atol=1e-5, rtol=0)


def test_no_state_and_no_record_is_ever_nan(model, make_envs, needle, ragged, monkeypatch):
    caches = []
    made = decoder.GrowingCache
    monkeypatch.setattr(decoder, "GrowingCache", lambda: caches.append(made()) or caches[-1])

    rollouts = sample_episodes(model, make_envs(5), needle.ids[:5], range(5), config=SamplerConfig(max_new_tokens=40))

    assert all(math.isfinite(number) for rollout in rollouts for number in rollout.values)
    assert all(math.isfinite(number) for rollout in rollouts for number in rollout.trajectory.tokens.log_probs)
    for layer in caches[0].layers:  # padding positions attend to nothing, and must not poison the rest
        assert layer.keys.isfinite().all()
        assert layer.values.isfinite().all()


def test_a_context_that_would_overflow_is_refused_before_it_is_built(make_model, make_envs, needle, ragged):
    probe = sample_episodes(make_model(), make_envs(1), needle.ids[:1], [1], config=SamplerConfig(max_new_tokens=40))
    room = len(probe[0].trajectory.tokens)  # a prompt, a zoom, its frames, an answer
    model = make_model(max_length=room + 40)
    lengths = []
    hidden = model.hidden
    model.hidden = lambda ids, **given: lengths.append(given["position_ids"].max()) or hidden(ids, **given)

    rollouts = sample_episodes(model, make_envs(2), needle.ids[:2], [1, 4], config=SamplerConfig(max_new_tokens=40))

    assert rollouts[0].trajectory.status == "answered"
    assert rollouts[1].trajectory.status == "error:ContextFull"
    assert f"the model's context has {model.max_length}" in rollouts[1].trajectory.error
    assert max(lengths) < model.max_length
    rollouts[1].trajectory.tokens.check()


def test_a_first_prompt_that_does_not_fit_leaves_an_empty_record(make_model, make_envs, needle):
    (rollout,) = sample_episodes(make_model(max_length=64), make_envs(1), needle.ids[:1], [0])

    assert rollout.trajectory.status == "error:ContextFull"
    assert len(rollout.trajectory.tokens) == 0
    assert rollout.values == []


def test_a_broken_video_is_an_error_of_its_own_episode(model, make_envs, needle, monkeypatch, tmp_path):
    (tmp_path / "empty.mp4").touch()
    import dataclasses

    from vz_env.datasets.dataset import Dataset

    good = needle.episodes[0]
    bad = dataclasses.replace(good, id="bad", video_path=tmp_path / "empty.mp4")
    keys = {good.id: needle.key(good.id), "bad": needle.key(good.id)}
    mixed = Dataset(name="Mixed", split="train", episodes=[good, bad], keys=keys)
    envs = [VideoZoomEnv(mixed, budget=Budget(overview_frames=12), with_frames=False) for _ in range(2)]

    broken, fine = sample_episodes(model, envs, ["bad", good.id], [0, 1], config=SamplerConfig(max_new_tokens=4))

    assert broken.trajectory.status == "error:VideoDecodeError"
    assert not fine.trajectory.is_error
    torch.testing.assert_close(recorded([fine])[0], train_forward(model, [fine])[0], atol=1e-5, rtol=0)


def test_nothing_to_play_is_nothing_played(model):
    assert sample_episodes(model, [], [], []) == []
    assert complete(model, [], [], config=SamplerConfig()) == []


def test_the_models_mode_is_given_back(model, make_envs, needle):
    for is_training in (True, False):
        model.train(is_training)
        sample_episodes(model, make_envs(1), needle.ids[:1], [0], config=SamplerConfig(max_new_tokens=2))
        assert model.training is is_training


def test_complete_continues_each_prompt_as_if_it_were_alone(model):
    prompts = [model.chat.first(text) for text in ("Question: a?", "Question: which colour is it, teal or gold?", "x")]
    config = SamplerConfig(max_new_tokens=12)

    together = complete(model, prompts, [Random(seed) for seed in range(3)], config=config)

    assert together == [
        complete(model, [prompt], [Random(seed)], config=config)[0] for seed, prompt in enumerate(prompts)
    ]
    assert all(len(reply) == 12 or reply[-1] == model.chat.end_id for reply in together)


def test_complete_refuses_a_prompt_that_leaves_no_room(make_model):
    model = make_model(max_length=32)
    with pytest.raises(ContextFull, match="wanted room for 38 tokens, the model's context has 32"):
        complete(model, [[5] * 30], [Random(0)], config=SamplerConfig(max_new_tokens=8))


def test_sampling_draws_from_the_models_distribution(model):
    prompt = model.chat.first("Question: a?")
    with torch.no_grad():
        wanted = torch.softmax(model.logits(model.hidden(torch.tensor([prompt]))[:, -1])[0], -1)

    replies = complete(
        model, [prompt] * 4000, [Random(seed) for seed in range(4000)], config=SamplerConfig(max_new_tokens=1)
    )

    share = sum(reply == [model.chat.end_id] for reply in replies) / 4000
    p = float(wanted[model.chat.end_id])
    assert 0.01 < p < 0.99
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 4000)
