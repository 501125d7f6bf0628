from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.batching import pad, predict, token_batches


@given(lengths=st.lists(st.integers(1, 50), max_size=30), most=st.integers(1, 200), seed=st.randoms())
def test_every_example_is_in_one_batch_and_no_batch_is_too_wide(lengths, most, seed):
    order = list(range(len(lengths)))
    seed.shuffle(order)

    batches = list(token_batches(lengths, max_tokens=most, order=order))

    assert [index for batch in batches for index in batch] == order
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= most


def test_batches_are_as_wide_as_they_may_be():
    assert list(token_batches([4, 4, 4, 4], max_tokens=8, order=range(4))) == [[0, 1], [2, 3]]
    assert list(token_batches([], max_tokens=8, order=[])) == []


def test_padding_is_on_the_right():
    assert pad([[1, 2], [3], []], dtype=torch.long, fill=-1).tolist() == [[1, 2], [3, -1], [-1, -1]]
    assert pad([[0.5]], dtype=torch.float32).dtype == torch.float32


def test_predictions_are_those_before_each_written_token(make_model):
    model = make_model()
    ids = torch.tensor([[5, 6, 7, 8, 9], [15, 16, 17, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 0, 0, 0]])

    logits, hidden, written = predict(model, ids, mask)

    assert written.tolist() == [7, 8, 16]
    for row, (text, end) in enumerate([([5, 6], -1), ([5, 6, 7], -1), ([15], -1)]):
        alone = model.hidden(torch.tensor([text]))[0, end]
        torch.testing.assert_close(hidden[row], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(logits[row], model.logits(alone), atol=1e-5, rtol=0)


def embedding_gradient(model, ids, mask):
    """The gradient of a loss on the written tokens with respect to every position's input embedding: (rows, length)."""
    seen = []

    def keep(module, given, output):
        output = output.detach().requires_grad_()
        seen.append(output)
        return output

    hook = model.lm.get_input_embeddings().register_forward_hook(keep)
    try:
        logits, _, written = predict(model, ids, mask)
    finally:
        hook.remove()
    torch.nn.functional.cross_entropy(logits, written).backward()
    return seen[0].grad.abs().sum(-1)


def test_no_gradient_reaches_what_comes_after_the_last_written_token(make_model):
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [15, 16, 17, 18, 19, 20]])
    mask = torch.tensor([[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]])

    gradient = embedding_gradient(make_model(), ids, mask)

    assert (gradient[0] > 0).tolist() == [True, True, False, False, False, False]
    assert (gradient[1] > 0).tolist() == [True, True, True, True, False, False]


def test_masked_tokens_are_no_targets(make_model):
    # The output weights of a token that is only ever observed get no pull towards it: change it, and only its own
    # embedding's effect as an input is left, which is nothing behind the last written token.
    model = make_model()
    mask = torch.tensor([[0, 0, 1, 0]])
    gradients = []
    for last in (9, 11):
        model.zero_grad()
        logits, _, written = predict(model, torch.tensor([[5, 6, 7, last]]), mask)
        torch.nn.functional.cross_entropy(logits, written).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.lm.parameters()]))
    assert torch.equal(*gradients)


@pytest.mark.parametrize("filler", [0, 7])
def test_what_the_padding_holds_does_not_matter(make_model, filler):
    model = make_model()
    mask = torch.tensor([[0, 1, 1, 0, 0]])
    logits, *_ = predict(model, torch.tensor([[5, 6, 7, filler, filler]]), mask)
    alone, *_ = predict(model, torch.tensor([[5, 6, 7]]), mask[:, :3])
    torch.testing.assert_close(logits, alone, atol=1e-6, rtol=0)
