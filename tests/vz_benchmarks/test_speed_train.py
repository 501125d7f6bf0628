from __future__ import annotations

import torch

from vz_benchmarks.speed.train import MOST_ZOOMS, _group, _measure, _model


def test_both_sides_do_the_same_work():
    torch.set_num_threads(1)
    model = _model(32, layers=1)
    ids, mask = _group(model, 3)
    made = _measure(model, ids, mask, rounds=1)
    assert made["gradient_error"] < 1e-5
    assert made["forwarded"] < 0.75 * made["tokens"]
    assert sorted(int(row.sum()) // 32 for row in mask) == [zooms + 1 for zooms in range(MOST_ZOOMS + 1)]
