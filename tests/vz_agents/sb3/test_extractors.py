"""What the extractors see: no colour, place or option by its name; text by a language model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from vz_agents.sb3 import BinExtractor, TextExtractor
from vz_agents.sb3.recipe import select_scores
from vz_env.env import VideoZoomEnv
from vz_env.errors import ConfigError
from vz_env.wrappers import DiscreteZoom
from vz_env.wrappers.discrete_zoom import ZOOM

BUDGET = {"overview_frames": 12, "max_turns": 5, "max_zooms": 4}


@pytest.fixture
def make(needle):
    def make_env(**options) -> DiscreteZoom:
        return DiscreteZoom(VideoZoomEnv(needle, budget=BUDGET, with_frames=False), bins=12, **options)

    return make_env


def seen(env: DiscreteZoom) -> dict[str, torch.Tensor]:
    env.reset(seed=2)
    shown = env.step([ZOOM, 3, 1, 0, 0])[0]
    return {name: torch.as_tensor(array, dtype=torch.float32)[None] for name, array in shown.items()}


@pytest.fixture
def extractor(make):
    torch.manual_seed(0)
    return BinExtractor(make().observation_space).eval()


def test_other_colours_give_the_same_features(make, extractor):
    shown = seen(make())
    order = torch.randperm(16)
    recoloured = {
        name: column[..., order] if name in {"overview", "zoomed", "early", "runs"} or "colors" in name else column
        for name, column in shown.items()
    }

    assert torch.allclose(extractor(shown), extractor(recoloured), atol=1e-5)


def test_options_in_another_order_get_their_scores_in_that_order(make, extractor):
    shown = seen(make())
    order = torch.tensor([2, 0, 3, 1])
    shuffled = {name: column[:, order] if name.startswith("option") else column for name, column in shown.items()}
    scores, others = extractor(shown), extractor(shuffled)
    options = slice(extractor.num_scores - 4, extractor.num_scores)

    assert torch.allclose(scores[:, options][:, order], others[:, options], atol=1e-5)
    assert torch.allclose(scores[:, : options.start], others[:, : options.start], atol=1e-5)


def test_an_option_that_is_not_there_has_no_chance(make, extractor):
    shown = seen(make())
    shown["option_mask"][0, 2] = 0.0

    assert int(extractor(shown)[0, extractor.num_scores - 4 : extractor.num_scores].argmin()) == 2


def test_scores_begin_as_the_policys_own(make, extractor):
    model = PPO(
        "MultiInputPolicy",
        DummyVecEnv([make]),
        device="cpu",
        policy_kwargs={"features_extractor_class": BinExtractor, "net_arch": {"pi": [], "vf": [8]}},
    )
    select_scores(model)
    shown = seen(make())
    logits = torch.cat([d.logits for d in model.policy.get_distribution(shown).distribution], -1)
    scores = model.policy.features_extractor(shown)[:, : extractor.num_scores]
    parts = torch.split(scores, [2, 12, 4, 3, 4], -1)

    assert torch.allclose(logits, torch.cat([part.log_softmax(-1) for part in parts], -1), atol=1e-5)


def test_other_observations_are_refused(make):
    with pytest.raises(ConfigError, match="features='palette'"):
        BinExtractor(make(features="thumbnails").observation_space)
    with pytest.raises(ConfigError, match="text_bytes"):
        TextExtractor(make().observation_space, model="nowhere")


@pytest.mark.parametrize("is_trained", [False, True])
def test_a_language_model_is_a_backbone_of_sb3s_ppo(make, make_model, is_trained):
    backbone = make_model()
    before = {name: weight.clone() for name, weight in backbone.lm.state_dict().items()}
    model = PPO(
        "MultiInputPolicy",
        DummyVecEnv([lambda: make(text_bytes=1500)]),
        n_steps=8,
        batch_size=4,
        n_epochs=1,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": TextExtractor,
            "features_extractor_kwargs": {"model": backbone, "is_trained": is_trained, "max_tokens": 128},
        },
    )
    backbone = model.policy.features_extractor.backbone
    model.learn(8)
    changed = [name for name, weight in backbone.lm.state_dict().items() if not torch.equal(weight, before[name])]

    assert bool(changed) == is_trained


def test_texts_of_other_lengths_in_a_batch_change_nothing(make, make_model):
    extractor = TextExtractor(make(text_bytes=400).observation_space, model=make_model(), max_tokens=64).eval()
    rows = np.zeros((2, 400), np.uint8)
    rows[0, :9] = np.frombuffer(b"Question:", np.uint8)
    rows[1, :20] = np.frombuffer(b"<|im_end|>Zoom 8s to", np.uint8)
    both = extractor({"text": torch.as_tensor(rows).float()})
    apart = [extractor({"text": torch.as_tensor(rows[i : i + 1]).float()}) for i in range(2)]

    assert torch.allclose(both, torch.cat(apart), atol=1e-5)
    assert extractor({"text": torch.zeros(1, 400)}).shape == both[:1].shape  # an empty text is one too
