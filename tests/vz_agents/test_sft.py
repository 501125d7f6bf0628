from __future__ import annotations

import pytest
import torch

from vz_agents.batching import Example
from vz_agents.needle_expert import NeedleExpert
from vz_agents.rollout import run_episode
from vz_agents.sft import SFTConfig, example_of, train_sft
from vz_agents.trajectory import TokenRecord, Trajectory, TurnRecord
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def played(make_envs, needle):
    """Twenty episodes as the scripted expert played them."""
    (env,) = make_envs(1)
    return [run_episode(env, NeedleExpert(), name, 0) for name in (needle.ids * 3)[:20]]


def test_texts_are_rendered_as_the_conversation_they_were(make_model, played):
    chat = make_model().chat
    trajectory = max(played, key=lambda one: len(one.turns))
    assert len(trajectory.turns) > 2

    example = example_of(trajectory, chat)

    messages = []
    for turn in trajectory.turns:
        messages += [{"role": "user", "content": turn.observation}, {"role": "assistant", "content": turn.action}]
    whole = chat.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert example.ids == whole[: len(example.ids)]
    assert chat.tokenizer.decode(whole[len(example.ids) :]).strip() == ""
    written = [token for token, mask in zip(example.ids, example.mask, strict=True) if mask]
    assert written == [token for turn in trajectory.turns for token in chat.reply_ids(turn.action)]
    assert example.mask[-1] == 1


def test_sampled_tokens_are_taken_verbatim_and_never_rendered_again(make_model):
    # "red" as three tokens, which no tokenizer of ours would write; the mask leaves out a token in the middle.
    record = TokenRecord([3, 4, 5, 6, 7], [0, 0, 1, 0, 1], [0.0, 0.0, -1.0, 0.0, -1.0], [-1, -1, 0, -1, 1])
    turns = [TurnRecord(observation="Question", timestamps=[], action="<answer>red</answer>")]
    trajectory = Trajectory(episode_id="a", turns=turns, tokens=record)

    example = example_of(trajectory, make_model().chat)

    assert example == Example([3, 4, 5, 6, 7], [0, 0, 1, 0, 1])
    example.ids.append(9)
    assert len(record) == 5  # a copy


def test_a_special_token_in_a_replayed_action_stays_text(make_model):
    chat = make_model().chat
    turns = [TurnRecord(observation="Q <|im_end|>", timestamps=[], action="<|im_end|><answer>A</answer>")]
    example = example_of(Trajectory(episode_id="a", turns=turns), chat)
    assert sum(token == chat.end_id for token, mask in zip(example.ids, example.mask, strict=True) if mask) == 1


def test_the_loss_falls_on_twenty_exemplars(make_model, played):
    model = make_model()
    examples = [example_of(trajectory, model.chat) for trajectory in played]
    seen = []

    config = SFTConfig(epochs=5, batch_tokens=3000, lr=3e-3, optimizer="muon")
    last = train_sft(model, examples, config, on_progress=seen.append)

    assert len(examples) == 20
    assert [progress.step for progress in seen] == list(range(1, last.steps + 1))
    first, final = (sum(progress.loss for progress in part) / 3 for part in (seen[:3], seen[-3:]))
    assert first > 4.0, (first, final)  # near ln(vocabulary)
    assert final < 0.6 * first
    assert last.accuracy > seen[0].accuracy


def gradient(model, example):
    model.zero_grad()
    logits = model.logits(model.hidden(torch.tensor([example.ids])))[0, :-1]
    mask = torch.tensor(example.mask[1:], dtype=torch.bool)
    torch.nn.functional.cross_entropy(logits[mask], torch.tensor(example.ids[1:])[mask]).backward()
    return {name: weight.grad for name, weight in model.lm.named_parameters()}


def test_a_step_is_the_gradient_of_the_written_tokens_alone(make_model, monkeypatch):
    from vz_agents import sft

    example = Example([5, 6, 7, 8, 9, 10, 11], [0, 0, 1, 1, 0, 0, 1])
    model = make_model()
    expected = gradient(make_model(), example)
    seen = {}

    class Spy:
        def step(self, *, scale):
            seen.update({name: weight.grad.clone() for name, weight in model.lm.named_parameters()})

    monkeypatch.setattr(sft, "_optimizer", lambda *_: Spy())
    train_sft(model, [example], SFTConfig(epochs=1))

    for name, grad in expected.items():
        torch.testing.assert_close(seen[name], grad, atol=1e-5, rtol=1e-3)


def test_tokens_the_policy_did_not_write_behind_its_last_one_teach_nothing(make_model):
    results = []
    for tail in ([30, 31], [40, 41]):
        model = make_model()
        train_sft(model, [Example([5, 6, 7, *tail], [0, 1, 1, 0, 0])], SFTConfig(epochs=3))
        results.append(torch.cat([weight.detach().flatten() for weight in model.lm.parameters()]))
    # Muon and AdamW with decay move every weight alike; the tokens themselves must not matter.
    assert torch.equal(*results)


def test_the_critic_is_left_alone(make_model):
    model = make_model()
    before = [weight.clone() for weight in model.value_head.parameters()]
    train_sft(model, [Example([5, 6], [0, 1])], SFTConfig(epochs=2))
    assert all(torch.equal(a, b) for a, b in zip(before, model.value_head.parameters(), strict=True))


def test_the_same_seed_trains_the_same_model(make_model, played):
    examples = [example_of(trajectory, make_model().chat) for trajectory in played[:6]]
    models = [make_model() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        train_sft(model, examples, SFTConfig(epochs=1, batch_tokens=1500, seed=seed))
    first, same, other = (torch.cat([w.detach().flatten() for w in model.parameters()]) for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_both_optimisers_train(make_model):
    for optimizer in ("muon", "adamw"):
        config = SFTConfig(epochs=60, optimizer=optimizer, lr=1e-2)
        last = train_sft(make_model(), [Example([5, 6, 7, 8], [0, 1, 1, 1])], config)
        assert last.loss < 1.0


@pytest.mark.parametrize(
    ("examples", "config", "match"),
    [
        ([], {}, "at least one exemplar, got none"),
        ([Example([5, 6], [0, 0])], {}, "tokens of the policy's own in every exemplar, 1 have none"),
        ([Example([5] * 3000, [0] * 2999 + [1])], {}, "context of 2048 tokens, got one of 3000"),
        ([Example([5, 6], [0, 1])], {"optimizer": "sgd"}, "wants muon or adamw, got 'sgd'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(make_model, examples, config, match):
    with pytest.raises(ConfigError, match=match):
        train_sft(make_model(), examples, SFTConfig(**config))


def test_every_example_is_seen_once_an_epoch():
    from vz_agents.sft import _schedule

    examples = [Example([0] * length, [1] * length) for length in (10, 500, 70, 64, 1200, 3, 65)]
    schedule = _schedule(examples, SFTConfig(epochs=3, batch_tokens=600))
    assert sorted(index for batch in schedule for index in batch) == sorted(list(range(7)) * 3)
    assert [4] in schedule  # longer than a batch by itself, and trained on all the same
