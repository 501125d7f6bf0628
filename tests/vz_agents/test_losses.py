from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.losses import MAX_LOG_RATIO, clipped_surrogate, clipped_value_loss, entropy, kl_k3

log_p = st.floats(-6, 0, width=32)
number = st.floats(-4, 4, width=32)


def surrogate(log_prob, old, advantage, **given):
    loss, clipped = clipped_surrogate(
        torch.tensor([log_prob]),
        torch.tensor([old]),
        torch.tensor([advantage]),
        **{"clip_low": 0.2, "clip_high": 0.27, **given},
    )
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
    assert loss == pytest.approx(written_out(log_prob, old, advantage, 0.2, 0.27, 3.0), rel=1e-4, abs=1e-5)


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
    assert loss == pytest.approx(expected, rel=1e-5)
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
    assert math.isfinite(float(kl_k3(torch.tensor([gap]), torch.tensor([0.0]))))
    assert math.isfinite(math.exp(MAX_LOG_RATIO))


@given(value=number, old=number, wanted=number)
def test_the_value_loss_is_the_worse_of_two(value, old, wanted):
    near = old + min(max(value - old, -0.2), 0.2)
    expected = 0.5 * max((value - wanted) ** 2, (near - wanted) ** 2)
    got = clipped_value_loss(torch.tensor([value]), torch.tensor([old]), torch.tensor([wanted]), clip=0.2)
    assert float(got) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_k3_is_never_negative_zero_at_equality_and_unbiased():
    torch.manual_seed(0)
    p, q = torch.log_softmax(torch.randn(2, 8), -1)
    assert float(kl_k3(p, p).abs().max()) == 0.0
    assert (kl_k3(p, q) >= 0).all()

    exact = float((p.exp() * (p - q)).sum())
    estimate = float((p.exp() * kl_k3(p, q)).sum())  # its expectation under p
    assert estimate == pytest.approx(exact, rel=1e-4)


def test_entropy_of_known_distributions():
    rows = torch.stack([torch.zeros(8), torch.tensor([100.0] + [0.0] * 7)])
    assert entropy(rows).tolist() == pytest.approx([math.log(8), 0.0], abs=1e-5)


def test_terms_keep_the_shape_of_the_tokens():
    flat = torch.zeros(5)
    loss, clipped = clipped_surrogate(flat, flat, flat, clip_low=0.2, clip_high=0.2)
    assert loss.shape == clipped.shape == kl_k3(flat, flat).shape == (5,)
    assert clipped_value_loss(flat, flat, flat, clip=0.2).shape == entropy(torch.zeros(5, 9)).shape == (5,)
