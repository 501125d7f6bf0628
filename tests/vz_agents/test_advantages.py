from __future__ import annotations

import math
from statistics import fmean, pvariance

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vz_agents.advantages import Discounts, gae, group_relative, leave_one_out, whiten

numbers = st.floats(-3, 3, width=32)
discount = st.floats(0.5, 1.0)


@st.composite
def episodes(draw):
    """One episode as a list of (turn, reward, value), one a sampled token, rewards anywhere."""
    turns = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return [(turn, draw(numbers), draw(numbers)) for turn, count in enumerate(turns) for _ in range(count)]


def written_out(tokens, discounts, bootstrap):
    """Equation 16 of arXiv 1506.02438 with two levels of discount, from the last sampled token to the first."""
    advantages = []
    ahead, next_value, next_turn = 0.0, bootstrap, None
    for turn, reward, value in reversed(tokens):
        crosses = next_turn is not None and next_turn != turn
        gamma = discounts.turn_gamma if crosses else discounts.gamma
        lam = discounts.turn_lam if crosses else discounts.lam
        ahead = reward + gamma * next_value - value + gamma * lam * ahead
        advantages.insert(0, ahead)
        next_value, next_turn = value, turn
    return advantages


def columns(tokens, *, gaps=(), length=None):
    """Tensors of one episode, with environment tokens between the sampled ones: `gaps[i]` of them before token i."""
    rows = {"rewards": [], "values": [], "mask": [], "turn": []}

    def add(reward, value, mask, turn):
        for name, number in zip(rows, (reward, value, mask, turn), strict=True):
            rows[name].append(number)

    for position, (turn, reward, value) in enumerate(tokens):
        for _ in range(gaps[position] if position < len(gaps) else 0):
            add(0.0, 0.0, 0, -1)
        add(reward, value, 1, turn)
    while length is not None and len(rows["mask"]) < length:
        add(0.0, 0.0, 0, -1)
    kinds = {"turn": torch.long}
    return {name: torch.tensor([row], dtype=kinds.get(name, torch.float64)) for name, row in rows.items()}


@given(tokens=episodes(), g=discount, lam=discount, turn_g=discount, turn_lam=discount, bootstrap=numbers)
def test_gae_is_the_written_out_loop(tokens, g, lam, turn_g, turn_lam, bootstrap):
    discounts = Discounts(gamma=g, lam=lam, turn_gamma=turn_g, turn_lam=turn_lam)

    advantages, returns = gae(**columns(tokens), discounts=discounts, bootstrap=torch.tensor([bootstrap]).double())

    expected = written_out(tokens, discounts, bootstrap)
    assert advantages[0].tolist() == pytest.approx(expected, abs=1e-9)
    assert returns[0].tolist() == pytest.approx(
        [a + value for a, (_, _, value) in zip(expected, tokens, strict=True)], abs=1e-9
    )


@given(tokens=episodes(), gaps=st.lists(st.integers(0, 3), max_size=16), tail=st.integers(0, 4))
def test_observation_tokens_change_nothing(tokens, gaps, tail):
    discounts = Discounts(gamma=0.9, lam=0.8, turn_gamma=0.7, turn_lam=0.6)
    plain, _ = gae(**columns(tokens), discounts=discounts)
    total = len(tokens) + sum(gaps[: len(tokens)]) + tail
    batch = columns(tokens, gaps=gaps, length=total)

    advantages, returns = gae(**batch, discounts=discounts)

    sampled = batch["mask"].bool()
    assert torch.equal(advantages[sampled], plain[0])
    assert not advantages[~sampled].any()
    assert not returns[~sampled].any()


@given(first=episodes(), second=episodes())
def test_episodes_of_a_batch_do_not_touch(first, second):
    discounts = Discounts(gamma=0.9, turn_gamma=0.7)
    length = max(len(first), len(second))
    one, two = columns(first, length=length), columns(second, length=length)

    advantages, _ = gae(**{name: torch.cat([one[name], two[name]]) for name in one}, discounts=discounts)

    assert torch.equal(advantages[:1], gae(**one, discounts=discounts)[0])
    assert torch.equal(advantages[1:], gae(**two, discounts=discounts)[0])


def test_inside_a_turn_nothing_is_discounted_by_default_and_across_turns_it_is():
    tokens = [(0, 0.0, 0.0)] * 3 + [(1, 0.0, 0.0)] * 2 + [(2, 0.0, 0.0), (2, 1.0, 0.0)]

    advantages, returns = gae(**columns(tokens), discounts=Discounts())

    assert advantages[0].tolist() == pytest.approx([0.95**2] * 3 + [0.95] * 2 + [1.0] * 2)
    assert torch.equal(advantages, returns)


def test_an_episode_that_paid_nothing_is_worth_nothing_to_a_critic_of_zeros():
    advantages, returns = gae(**columns([(0, 0.0, 0.0), (1, 0.0, 0.0)]), discounts=Discounts())
    assert not advantages.any()
    assert not returns.any()


def test_an_episode_that_paid_nothing_disappoints_a_hopeful_critic():
    advantages, _ = gae(**columns([(0, 0.0, 0.5), (1, 0.0, 0.5)]), discounts=Discounts())
    assert advantages[0].tolist() == pytest.approx([-0.95 * 0.5, -0.5])


def test_an_episode_of_which_nothing_was_sampled_gives_zeros():
    batch = columns([], length=3)
    advantages, returns = gae(**batch, discounts=Discounts())
    assert torch.equal(advantages, torch.zeros(1, 3).double())
    assert torch.equal(returns, advantages)


def test_whitened_advantages_have_mean_0_and_deviation_1_over_sampled_tokens():
    torch.manual_seed(0)
    mask = (torch.rand(5, 40) < 0.3).double()
    advantages = (torch.randn(5, 40).double() * 3 + 7) * mask

    white = whiten(advantages, mask)

    kept, own = white[mask.bool()], advantages[mask.bool()].tolist()
    mean, variance = fmean(own), pvariance(own)
    assert kept.tolist() == pytest.approx([(value - mean) / math.sqrt(variance + 1e-6) for value in own], abs=1e-9)
    assert float(kept.mean()) == pytest.approx(0.0, abs=1e-9)
    assert float(kept.std(correction=0)) == pytest.approx(1.0, abs=1e-6)
    assert not white[~mask.bool()].any()
    assert torch.equal(kept.argsort(), advantages[mask.bool()].argsort())


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_advantages_without_spread_become_zero_not_nan(value):
    assert not whiten(torch.full((2, 3), value), torch.ones(2, 3)).any()
    assert not whiten(torch.zeros(2, 3), torch.zeros(2, 3)).any()


def test_the_baseline_is_the_mean_of_the_others():
    rewards, groups = [1.0, 0.0, 0.5, 3.0, 0.25], ["a", "a", "a", "b", "c"]
    assert leave_one_out(rewards, groups) == pytest.approx([0.25, 0.75, 0.5, 0.0, 0.0])


@given(st.lists(st.tuples(numbers, st.sampled_from("abc")), min_size=1, max_size=12))
def test_an_episodes_own_reward_never_moves_its_baseline(episodes):
    rewards, groups = [reward for reward, _ in episodes], [group for _, group in episodes]
    moved = [rewards[0] + 5.0, *rewards[1:]]
    assert leave_one_out(moved, groups)[0] == pytest.approx(leave_one_out(rewards, groups)[0], abs=1e-5)
    assert len(leave_one_out(rewards, groups)) == len(rewards)


@given(rewards=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=12), data=st.data())
def test_group_relative_advantages_are_grpos(rewards, data):
    groups = data.draw(st.lists(st.sampled_from("ab"), min_size=len(rewards), max_size=len(rewards)))
    for scale_by_std in (True, False):
        got = group_relative(rewards, groups, scale_by_std=scale_by_std)
        for reward, group, advantage in zip(rewards, groups, got, strict=True):
            alike = torch.tensor([r for r, name in zip(rewards, groups, strict=True) if name == group]).double()
            scale = float(alike.std()) + 1e-6 if scale_by_std and len(alike) > 1 else 1.0
            assert advantage == pytest.approx((reward - float(alike.mean())) / scale, abs=1e-6, rel=1e-6)


def test_a_group_that_earned_the_same_has_no_advantage():
    assert group_relative([0.1, 0.1, 0.1, 5.0], ["a", "a", "a", "b"]) == pytest.approx([0.0] * 4, abs=1e-9)
