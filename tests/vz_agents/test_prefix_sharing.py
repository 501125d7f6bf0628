from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from vz_agents import prefix_sharing
from vz_agents.batching import pad, predict, sharing_batches
from vz_agents.prefix_sharing import PrefixTree, enable_sharing
from vz_agents.token_scores import score_tokens

rows_of_few_ids = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=8), min_size=1, max_size=6)


@given(rows=rows_of_few_ids)
def test_a_tree_holds_every_distinct_prefix_once(rows):
    tree = PrefixTree(rows)

    assert len(tree) == len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})
    for row, places in zip(rows, tree.places, strict=True):
        found = [(rows[tree.rows[place]][tree.columns[place]], int(tree.columns[place])) for place in places]
        assert found == [(token, column) for column, token in enumerate(row)]


@given(rows=rows_of_few_ids, data=st.data(), most=st.integers(1, 20))
def test_every_row_is_in_one_run_and_no_run_packs_too_much(rows, data, most):
    order = data.draw(st.permutations(range(len(rows))))
    runs = list(sharing_batches(rows, max_tokens=most, order=order))

    assert sorted(row for run in runs for row in run) == sorted(order)
    for run in runs:
        assert len(run) == 1 or len(PrefixTree([rows[row] for row in run])) <= most


def test_a_run_takes_more_rows_where_they_begin_alike():
    rows = [[5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 9], [1, 2, 3, 5]]
    assert list(sharing_batches(rows, max_tokens=5, order=range(4))) == [[1, 3], [0, 2]]


class Bare(torch.nn.Module):
    """What `predict` and `score_tokens` want of a language model, around any causal one."""

    def __init__(self, lm):
        super().__init__()
        self.lm = lm

    def hidden(self, ids, *, frames=None, **options):
        return self.lm.base_model(input_ids=ids, **options).last_hidden_state

    def logits(self, hidden):
        return self.lm.get_output_embeddings()(hidden)


SHAPE = {"vocab_size": 30, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def make_lm(config=LlamaConfig, **options):
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config(**SHAPE, **HEADS, **options))
    return Bare(lm.double().eval())


def batch_of_groups():
    """Nine rows of three prompts; some share a reply and what followed it; one prompt begins like another."""
    torch.manual_seed(1)
    prompts = [torch.randint(1, 30, (n,)).tolist() for n in (17, 9, 13)]
    prompts[2][:5] = prompts[0][:5]
    replies = [torch.randint(1, 30, (n,)).tolist() for n in (4, 6, 3, 7)]
    ids, mask = [], []
    samples = {0: ["ABC", "ABD", "ABC", "BA"], 1: ["C", "CD", "D"], 2: ["A", "B"]}
    for prompt, picked in [(prompt, picked) for prompt, all_of_it in samples.items() for picked in all_of_it]:
        row, written = list(prompts[prompt]), [0] * len(prompts[prompt])
        for number, letter in enumerate(picked):
            reply = replies["ABCD".index(letter)]
            row += reply
            written += [1 if number % 2 == 0 else 0] * len(reply)
        while not written[-1]:
            row.pop(), written.pop()
        ids.append(row)
        mask.append(written)
    return pad(ids, dtype=torch.long), pad(mask, dtype=torch.float64)


def log_probs_alone(model, ids, mask):
    logits, _, written = predict(model, ids, mask)
    return torch.log_softmax(logits, -1).gather(-1, written[:, None])[:, 0]


def gradients_of(model, log_probs):
    torch.manual_seed(2)
    model.zero_grad()
    (log_probs * torch.randn(len(log_probs), dtype=log_probs.dtype)).sum().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config])
@pytest.mark.parametrize("is_long", [False, True])
def test_shared_and_plain_agree_in_scores_and_gradients(config, is_long, monkeypatch):
    if is_long:  # every path is long now, and its queries attend two by two
        monkeypatch.setattr(prefix_sharing, "_LONG_PATH", 2)
        monkeypatch.setattr(prefix_sharing, "_CPU_BLOCK", 2)
    model = make_lm(config)
    ids, mask = batch_of_groups()
    expected = log_probs_alone(model, ids, mask)
    wanted = gradients_of(model, expected)

    scores = score_tokens(model, ids, mask)

    assert enable_sharing(model.lm)
    torch.testing.assert_close(scores.log_probs, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(scores.hidden, predict(model, ids, mask)[1], atol=1e-12, rtol=0)
    error = (gradients_of(model, scores.log_probs) - wanted).norm() / wanted.norm()
    assert float(error) < 1e-6  # the norms compute in single precision


def test_in_single_precision_gradients_agree_to_1e_5():
    model = make_lm().float()
    ids, mask = batch_of_groups()
    wanted = gradients_of(model, log_probs_alone(model, ids, mask))
    got = gradients_of(model, score_tokens(model, ids, mask).log_probs)
    assert float((got - wanted).norm() / wanted.norm()) < 1e-5


def test_gradient_checkpointing_changes_nothing():
    model = make_lm()
    ids, mask = batch_of_groups()
    wanted = gradients_of(model, score_tokens(model, ids, mask).log_probs)
    model.lm.gradient_checkpointing_enable()
    model.train()
    got = gradients_of(model, score_tokens(model, ids, mask).log_probs)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)


def test_the_prompt_is_forwarded_once(monkeypatch):
    model = make_lm()
    ids, mask = batch_of_groups()
    seen = []
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids, **options: seen.append(ids.shape) or hidden(ids, **options))
    score_tokens(model, ids, mask)
    lengths = [int(row.nonzero()[-1]) for row in mask]
    distinct = {tuple(row[: n + 1].tolist()) for row, end in zip(ids, lengths, strict=True) for n in range(end)}
    assert seen == [(1, len(distinct))]
    assert len(distinct) < 0.6 * sum(lengths)


def test_temperature_and_entropy_are_of_what_was_drawn_from():
    model = make_lm()
    ids, mask = batch_of_groups()
    logits, _, written = predict(model, ids, mask)
    expected = torch.log_softmax(logits / 0.7, -1)
    scores = score_tokens(model, ids, mask, temperature=0.7)
    torch.testing.assert_close(scores.log_probs, expected.gather(-1, written[:, None])[:, 0], atol=1e-12, rtol=0)
    torch.testing.assert_close(scores.entropy, -(expected.exp() * expected).sum(-1), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: make_lm(MistralConfig, sliding_window=4), id="sliding window"),
        pytest.param(lambda: make_lm(attn_implementation="eager"), id="eager"),
    ],
)
def test_attention_that_cannot_be_packed_is_forwarded_row_by_row(model):
    model = model()
    ids, mask = batch_of_groups()
    expected = log_probs_alone(model, ids, mask)
    scores = score_tokens(model, ids, mask)
    assert not enable_sharing(model.lm)
    torch.testing.assert_close(scores.log_probs, expected, atol=1e-12, rtol=0)


def test_other_forwards_stay_what_they_were(make_model, tmp_path):
    model = make_model()
    ids = torch.randint(0, 20, (2, 9))
    seen = torch.ones(2, 9, dtype=torch.long)
    seen[0, :3] = 0
    plain, masked = model.hidden(ids), model.hidden(ids, attention_mask=seen)
    assert enable_sharing(model.lm)
    assert torch.equal(model.hidden(ids), plain)
    assert torch.equal(model.hidden(ids, attention_mask=seen), masked)
    model.save(tmp_path)  # and a folder written by it loads where nothing of this is known
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
    assert torch.equal(copy.deepcopy(model).hidden(ids), plain)
