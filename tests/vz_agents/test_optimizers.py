from __future__ import annotations

import copy
import math

import pytest
import torch

from vz_agents.optimizers import adamw, muon_adamw


def train(model, optimizer, steps, *, seed=0):
    torch.manual_seed(seed)
    for _ in range(steps):
        ids = torch.randint(0, 1000, (2, 8))
        torch.nn.functional.cross_entropy(
            model.logits(model.hidden(ids))[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
        ).backward()
        optimizer.step()


@pytest.fixture(params=[lambda lm: adamw(lm, lr=1e-3), lambda lm: muon_adamw(lm, lr=1e-3)], ids=["adamw", "muon"])
def make_optimizer(request):
    return request.param


def test_every_weight_has_one_optimiser(make_model):
    lm = make_model().lm
    group = muon_adamw(lm, lr=1e-3)
    held = [id(weight) for part in group.optimizers for g in part.param_groups for weight in g["params"]]
    assert sorted(held) == sorted(id(weight) for weight in lm.parameters())
    assert all(weight.ndim == 2 for g in group.optimizers[0].param_groups for weight in g["params"])


def test_a_resumed_optimiser_goes_on_as_the_first_one_did(make_model, make_optimizer):
    model = make_model()
    optimizer = make_optimizer(model.lm)
    train(model, optimizer, 2)
    other = copy.deepcopy(model)
    resumed = make_optimizer(other.lm)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    train(model, optimizer, 2, seed=1)
    train(other, resumed, 2, seed=1)

    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_gradients_are_clipped_cleared_and_their_norm_is_told(make_model):
    lm = make_model().lm
    optimizer = adamw(lm, lr=1e-3)
    for weight in lm.parameters():
        weight.grad = torch.ones_like(weight)
    assert optimizer.step() == pytest.approx(math.sqrt(sum(weight.numel() for weight in lm.parameters())), rel=1e-4)
    assert all(weight.grad is None for weight in lm.parameters())


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_skips_the_step(make_model, make_optimizer, broken):
    lm = make_model().lm
    before = copy.deepcopy(lm.state_dict())
    optimizer = make_optimizer(lm)
    for weight in lm.parameters():
        weight.grad = torch.ones_like(weight)
    next(iter(lm.parameters())).grad[0, 0] = broken

    assert not math.isfinite(optimizer.step())
    assert all(torch.equal(weight, before[name]) for name, weight in lm.state_dict().items())
    assert all(weight.grad is None for weight in lm.parameters())


def test_scale_multiplies_the_rates_and_is_forgotten(make_model):
    lm = make_model().lm
    optimizer = muon_adamw(lm, lr=1e-3)
    rates = []
    for scale in (0.5, 1.0):
        for weight in lm.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step(scale=scale)
        rates.append([group["lr"] for part in optimizer.optimizers for group in part.param_groups])
    assert rates == [pytest.approx([5e-3, 1e-3]), pytest.approx([1e-2, 2e-3])]


def test_frozen_weights_are_left_out(make_model):
    model = make_model()
    model.lm.get_input_embeddings().requires_grad_(False)
    held = [id(w) for part in adamw(model.lm, lr=1.0).optimizers for g in part.param_groups for w in g["params"]]
    assert id(model.lm.get_input_embeddings().weight) not in held
