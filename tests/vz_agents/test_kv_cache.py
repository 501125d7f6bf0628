from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from vz_agents.kv_cache import GrowingCache


@pytest.fixture
def lm(make_model):
    return make_model().lm.base_model


def run(lm, cache, ids, mask=None):
    with torch.no_grad():
        return lm(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True).last_hidden_state


def test_it_answers_as_the_stock_cache_does(lm):
    torch.manual_seed(1)
    growing, stock = GrowingCache(), DynamicCache()
    for length in (7, 1, 1, 5, 30, 1, 1):
        ids = torch.randint(0, 1000, (3, length))
        torch.testing.assert_close(run(lm, growing, ids), run(lm, stock, ids), atol=0, rtol=0)
    assert growing.get_seq_length() == stock.get_seq_length() == 46


def test_rows_can_be_dropped_repeated_and_reordered(lm):
    torch.manual_seed(1)
    ids, more = torch.randint(0, 1000, (3, 6)), torch.randint(0, 1000, (4, 3))
    cache = GrowingCache()
    run(lm, cache, ids)
    rows = torch.tensor([2, 0, 0, 1])
    cache.select(rows)

    expected = run(lm, GrowingCache(), torch.cat([ids[rows], more], 1))[:, 6:]
    torch.testing.assert_close(run(lm, cache, more), expected, atol=1e-5, rtol=0)


def test_a_forked_row_does_not_write_into_the_other(lm):
    torch.manual_seed(1)
    ids = torch.randint(0, 1000, (1, 6))
    cache = GrowingCache()
    run(lm, cache, ids)
    cache.select(torch.tensor([0, 0]))
    tails = torch.randint(0, 1000, (2, 4))
    run(lm, cache, tails)

    probe = torch.randint(0, 1000, (2, 1))
    expected = run(lm, GrowingCache(), torch.cat([ids.repeat(2, 1), tails, probe], 1))[:, -1:]
    torch.testing.assert_close(run(lm, cache, probe), expected, atol=1e-5, rtol=0)


def test_a_step_seldom_moves_what_is_held(lm):
    cache = GrowingCache()
    run(lm, cache, torch.randint(0, 1000, (2, 32)))
    moves, place = 0, None
    for _ in range(200):
        run(lm, cache, torch.randint(0, 1000, (2, 1)))
        moved = cache.layers[0].keys.data_ptr() != place
        moves, place = moves + moved, cache.layers[0].keys.data_ptr()
    assert moves <= 4  # doublings, not 200
