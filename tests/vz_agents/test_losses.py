from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.losses import MAX_LOG_RATIO, clipped_surrogate, clipped_value_loss, entropy, kl_estimate, token_weights

log_p = st.floats(-6, 0)
number = st.floats(-4, 4)


def exact(*values):
    """A tensor that rounds as the written-out references do, so that they can be held to 1e-6 and better."""
    return torch.tensor(values, dtype=torch.float64)


def surrogate(log_prob, old, advantage, **given):
    bounds = {"clip_low": 0.2, "clip_high": 0.27, **given}
    loss, clipped = clipped_surrogate(exact(log_prob), exact(old), exact(advantage), **bounds)
    return float(loss), bool(clipped)


def written_out(log_prob, old, advantage, low, high, dual):
    ratio = math.exp(log_prob - old)
    bounded = min(max(ratio, 1 - low), 1 + high)
    objective = min(ratio * advantage, bounded * advantage)
    if advantage < 0:
        objective = max(objective, dual * advantage)
    return -objective


@given(log_prob=log_p, old=log_p, advantage=number)
def test_the_surrogate_is_the_papers(log_prob, old, advantage):
    loss, _ = surrogate(log_prob, old, advantage)
    assert loss == pytest.approx(written_out(log_prob, old, advantage, 0.2, 0.27, 3.0), rel=1e-9, abs=1e-9)


@given(log_prob=log_p, old=log_p, advantage=number)
def test_in_single_precision_the_surrogate_is_as_near_as_its_ratio_can_be(log_prob, old, advantage):
    log_prob, old, advantage = (float(torch.tensor(value)) for value in (log_prob, old, advantage))
    loss, _ = clipped_surrogate(
        *(torch.tensor([value]) for value in (log_prob, old, advantage)), clip_low=0.2, clip_high=0.27
    )
    assert float(loss) == pytest.approx(written_out(log_prob, old, advantage, 0.2, 0.27, 3.0), rel=2e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "is_clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.5, 2.0, -2.54, True),  # up to 1.27 and no further
        (0.5, 2.0, -1.0, False),
        (0.5, -2.0, 1.6, True),  # down to 0.8 and no further
        (1.5, -2.0, 3.0, False),
        (9.0, -2.0, 6.0, False),  # dual clip: at most 3 x the advantage
        (9.0, 0.0, 0.0, False),
    ],
)
def test_the_surrogate_by_example(ratio, advantage, expected, is_clipped):
    loss, clipped = surrogate(math.log(ratio), 0.0, advantage)
    assert loss == pytest.approx(expected, rel=1e-9)
    assert clipped is is_clipped


@pytest.mark.parametrize(("ratio", "advantage"), [(1.5, 1.0), (0.5, -1.0), (9.0, -1.0)])
def test_what_is_clipped_has_no_gradient(ratio, advantage):
    log_prob = torch.tensor([math.log(ratio)], requires_grad=True)
    loss, _ = clipped_surrogate(log_prob, torch.zeros(1), torch.tensor([advantage]), clip_low=0.2, clip_high=0.27)
    loss.sum().backward()
    assert float(log_prob.grad) == 0.0


def test_the_gradient_at_ratio_1_is_the_policy_gradient():
    log_prob = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantages = torch.tensor([0.7, -0.3])
    loss, _ = clipped_surrogate(log_prob, log_prob.detach(), advantages, clip_low=0.2, clip_high=0.27)
    loss.sum().backward()
    torch.testing.assert_close(log_prob.grad, -advantages)


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_one_broken_log_probability_is_no_infinity(gap):
    loss, _ = surrogate(gap, 0.0, -1.0)
    assert math.isfinite(loss)
    assert loss <= 3.0
    assert math.isfinite(float(kl_estimate(torch.tensor([gap]), torch.tensor([0.0]))))
    assert math.isfinite(math.exp(MAX_LOG_RATIO))


@given(value=number, old=number, wanted=number)
def test_the_value_loss_is_the_worse_of_two(value, old, wanted):
    near = old + min(max(value - old, -0.2), 0.2)
    expected = 0.5 * max((value - wanted) ** 2, (near - wanted) ** 2)
    got = clipped_value_loss(exact(value), exact(old), exact(wanted), clip=0.2)
    assert float(got) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_k3_is_never_negative_zero_at_equality_and_unbiased():
    torch.manual_seed(0)
    p, q = torch.log_softmax(torch.randn(2, 8, dtype=torch.float64), -1)
    assert float(kl_estimate(p, p).abs().max()) == 0.0
    assert (kl_estimate(p, q) >= 0).all()

    expected = float((p.exp() * (p - q)).sum())
    estimate = float((p.exp() * kl_estimate(p, q)).sum())  # its expectation under p
    assert estimate == pytest.approx(expected, rel=1e-9)


def test_entropy_of_known_distributions():
    rows = torch.stack([exact(*[0.0] * 8), exact(100.0, *[0.0] * 7)])
    assert entropy(rows).tolist() == pytest.approx([math.log(8), 0.0], abs=1e-9)


def test_terms_keep_the_shape_of_the_tokens():
    flat = torch.zeros(5)
    loss, clipped = clipped_surrogate(flat, flat, flat, clip_low=0.2, clip_high=0.2)
    assert loss.shape == clipped.shape == kl_estimate(flat, flat).shape == (5,)
    assert clipped_value_loss(flat, flat, flat, clip=0.2).shape == entropy(torch.zeros(5, 9)).shape == (5,)


@given(log_prob=log_p, reference=log_p)
def test_the_three_estimates_of_the_kl_are_schulmans(log_prob, reference):
    ratio = reference - log_prob  # log of reference over policy
    expected = {"k1": -ratio, "k2": ratio**2 / 2, "k3": math.exp(ratio) - 1 - ratio}
    for kind, value in expected.items():
        got = kl_estimate(exact(log_prob), exact(reference), kind)
        assert float(got) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_k1_is_unbiased_and_only_k2_and_k3_pull_towards_the_reference():
    torch.manual_seed(0)
    logits = torch.randn(8, dtype=torch.float64, requires_grad=True)
    p, q = torch.log_softmax(logits, -1), torch.log_softmax(torch.randn(8, dtype=torch.float64), -1)
    divergence = (p.exp() * (p - q)).sum()
    (gradient,) = torch.autograd.grad(divergence, logits, retain_graph=True)
    weights = p.detach().exp()  # what an average over the policy's own samples does

    def average(kind):
        loss = (weights * kl_estimate(p, q, kind)).sum()
        return loss.item(), torch.autograd.grad(loss, logits, retain_graph=True)[0]

    assert average("k1")[0] == pytest.approx(divergence.item())
    assert float(average("k1")[1].abs().max()) < 1e-12
    torch.testing.assert_close(average("k2")[1], gradient)
    assert float(torch.cosine_similarity(average("k3")[1], gradient, dim=0)) > 0.5


def test_without_a_dual_clip_the_loss_of_a_negative_advantage_has_no_bound():
    assert surrogate(math.log(9.0), 0.0, -2.0, dual_clip=None)[0] == pytest.approx(18.0, rel=1e-9)
    assert surrogate(math.log(9.0), 0.0, -2.0, dual_clip=5.0)[0] == pytest.approx(10.0, rel=1e-9)


MASK = torch.tensor([[0, 1, 1, 0, 1.0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 1]])


def test_every_aggregation_weighs_what_it_says():
    def weights(aggregation, tokens=8.0):
        return token_weights(MASK, aggregation, tokens=torch.tensor(tokens), length=10)

    torch.testing.assert_close(weights("token"), MASK / 8)
    torch.testing.assert_close(weights("dapo", tokens=12.0), MASK / 12)  # with what other processes hold
    torch.testing.assert_close(weights("sequence"), MASK / torch.tensor([[3.0], [1.0], [4.0]]) / 3)
    torch.testing.assert_close(weights("constant"), MASK / 30)
    for aggregation in ("dapo", "token", "sequence"):
        assert float(weights(aggregation).sum()) == pytest.approx(1.0, abs=1e-6)


def test_an_episode_without_sampled_tokens_weighs_nothing():
    mask = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    for aggregation in ("dapo", "token", "sequence", "constant"):
        weights = token_weights(mask, aggregation, tokens=mask.sum(), length=2)
        assert weights[0].tolist() == [0.0, 0.0]
        assert math.isfinite(float(weights.sum()))
