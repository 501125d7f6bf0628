from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vz_agents.batching import Example
from vz_agents.checkpoint import Checkpoints
from vz_agents.needle_expert import NeedleExpert
from vz_agents.rollout import run_episode
from vz_agents.sft import SFTConfig, _step, example_of, padding_share, train_sft
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
        weights = ()

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


@st.composite
def masked(draw):
    """Ids with a mask that is 1 somewhere behind the first."""
    length = draw(st.integers(2, 12))
    ids = draw(st.lists(st.integers(3, 200), min_size=length, max_size=length))
    mask = draw(st.lists(st.integers(0, 1), min_size=length, max_size=length))
    mask[draw(st.integers(1, length - 1))] = 1
    return Example(ids, mask)


@settings(max_examples=40, deadline=None)
@given(batch=st.lists(masked(), min_size=1, max_size=3))
def test_no_gradient_comes_from_a_token_that_the_policy_did_not_write(make_model, batch):
    model = make_model()
    forward, seen = model.hidden, []

    def keep(ids, **options):
        seen.append(forward(ids, **options))
        seen[0].retain_grad()
        return seen[0]

    model.hidden = keep
    _step(model, batch)
    (states,) = seen  # (batch, length, hidden_size): the last states, each of which predicts the next token alone
    for row, example in enumerate(batch):
        for place in range(states.shape[1]):
            is_written = place + 1 < len(example.ids) and example.mask[place + 1] == 1
            assert bool(states.grad[row, place].abs().sum() > 0) == is_written


DRAW = random.Random(0)
EXAMPLES = [
    Example([DRAW.randint(3, 200) for _ in range(length)], [0, *(DRAW.randint(0, 1) for _ in range(length - 2)), 1])
    for length in (DRAW.randint(4, 40) for _ in range(24))
]


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.lm.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stopped_run_ends_as_if_it_had_not_been(make_model, tmp_path, optimizer):
    config = SFTConfig(epochs=2, batch_tokens=120, lr=1e-3, optimizer=optimizer)
    straight, stopped, resumed = make_model(), make_model(), make_model()
    last = train_sft(straight, EXAMPLES, config)
    checkpoints, asked = Checkpoints(tmp_path), []
    half = train_sft(
        stopped, EXAMPLES, config, checkpoints=checkpoints, should_stop=lambda: asked.append(0) or len(asked) == 5
    )
    assert (half.step, half.steps) == (5, last.steps)
    steps = []
    train_sft(resumed, EXAMPLES, config, checkpoints=checkpoints, on_progress=lambda made: steps.append(made.step))
    assert steps == list(range(6, last.steps + 1))
    assert torch.equal(weights(resumed), weights(straight))
    assert not torch.equal(weights(stopped), weights(straight))
    with pytest.raises(ConfigError, match="of other examples or another configuration"):
        train_sft(make_model(), EXAMPLES[1:], config, checkpoints=checkpoints)


def test_dropout_is_drawn_alike_after_a_resume(make_model, tmp_path):
    def with_dropout():
        model = make_model()
        for layer in model.lm.model.layers:
            layer.self_attn.attention_dropout = 0.3
        return model

    config = SFTConfig(epochs=1, batch_tokens=120, lr=1e-3)
    straight, stopped, resumed = with_dropout(), with_dropout(), with_dropout()
    before = torch.random.get_rng_state()
    train_sft(straight, EXAMPLES, config)
    train_sft(stopped, EXAMPLES, config, checkpoints=Checkpoints(tmp_path), should_stop=lambda: True)
    torch.rand(7)
    train_sft(resumed, EXAMPLES, config, checkpoints=Checkpoints(tmp_path))
    assert torch.equal(weights(resumed), weights(straight))
    torch.random.set_rng_state(before)
    plain = make_model()
    train_sft(plain, EXAMPLES, config)
    assert not torch.equal(weights(plain), weights(straight))  # dropout did something


TRAIN = """
import sys, time
from pathlib import Path
import json
import torch
from vz_agents.batching import Example
from vz_agents.checkpoint import Checkpoints
from vz_agents.model import LanguageModel
from vz_agents.sft import SFTConfig, train_sft
torch.set_num_threads(1)
model = LanguageModel.load(sys.argv[1])
examples = [Example(ids, mask) for ids, mask in json.loads(sys.argv[4])]
train_sft(model, examples, eval(sys.argv[3]), checkpoints=Checkpoints(Path(sys.argv[2])))
"""


def test_kill_9_costs_the_steps_since_the_last_checkpoint_and_nothing_else(make_model, tmp_path):
    start, folder = tmp_path / "start", tmp_path / "checkpoints"
    make_model().save(start)
    slow = SFTConfig(epochs=400, batch_tokens=120, lr=1e-3, checkpoint_every=3)
    given = json.dumps([(example.ids, example.mask) for example in EXAMPLES])
    command = [sys.executable, "-c", TRAIN, str(start), str(folder), repr(slow), given]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while Checkpoints(folder).latest() is None:
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)
    time.sleep(random.Random(1).uniform(0.0, 0.2))  # into a step, or into the next checkpoint
    process.kill()
    process.communicate()
    done = int(Checkpoints(folder).latest().name.removeprefix("step-"))

    def until(model, **options):
        """Fifteen steps beyond the checkpoint."""
        count = []
        train_sft(
            model, EXAMPLES, slow, should_stop=lambda: bool(count) and count[-1] == done + 15,
            on_progress=lambda made: count.append(made.step), **options,
        )  # fmt: skip
        return count

    resumed, straight = make_model(), make_model()
    assert until(resumed, checkpoints=Checkpoints(folder)) == list(range(done + 1, done + 16))
    until(straight)
    assert torch.equal(weights(resumed), weights(straight))


def test_little_of_a_batch_is_padding():
    draw = random.Random(0)  # as long as the demo's exemplars: 300 to 1400 tokens, 950 of them
    lengths = [draw.randint(300, 1400) for _ in range(950)]
    many = [Example([5] * length, [1] * length) for length in lengths]
    assert 0.0 < padding_share(many, SFTConfig(epochs=2)) < 0.05
    assert padding_share(many[:1], SFTConfig(epochs=2)) == 0.0
