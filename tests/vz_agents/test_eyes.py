from __future__ import annotations

import numpy as np
import pytest
import torch

from vz_agents.eyes import graft_eyes, teach_eyes
from vz_agents.tiny_vlm import TinyVisionConfig

EYES = TinyVisionConfig(patch_size=8, max_tokens=2)
COLORS = {"teal": (0, 128, 128), "gold": (255, 215, 0), "red": (220, 20, 20), "gray": (128, 128, 128)}


@pytest.fixture
def reader(make_model):
    return make_model(seed=2)


@torch.no_grad()
def test_what_it_reads_is_what_the_reader_reads(reader):
    model = graft_eyes(reader, EYES)
    ids = torch.tensor([reader.chat.first("Question: In the teal scene a card appears.\n0s: new teal 88%")])

    theirs, ours = (torch.log_softmax(one.logits(one.hidden(ids)), -1) for one in (reader, model))

    # A new reader has no bias behind its attention, so that nothing is lost; the new tokens are four more words.
    ours = torch.log_softmax(ours[..., : theirs.shape[-1]], -1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_only_the_tower_is_taught_and_then_frozen_again(reader):
    model = graft_eyes(reader, EYES, seed=1)
    random = np.random.default_rng(0)
    names = list(COLORS) * 16
    frames = [
        np.clip(np.array(COLORS[name]) + random.normal(0, 8, (16, 32, 3)), 0, 255).astype(np.uint8) for name in names
    ]
    before = {name: weight.clone() for name, weight in model.lm.state_dict().items()}

    explained = teach_eyes(model, frames, [f"{name} 88%" for name in names], steps=10, lr=3e-3)

    assert explained <= 1.0
    changed = {name for name, weight in model.lm.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed
    assert all("visual" in name for name in changed)
    assert not model.trains_vision
