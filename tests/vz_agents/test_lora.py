from __future__ import annotations

import dataclasses

import pytest
import torch

from vz_agents.checkpoint import Checkpoints
from vz_agents.lora import WithoutAdapter, add_adapter, has_adapter
from vz_agents.model import LanguageModel
from vz_agents.optimizers import adamw
from vz_agents.weights import WeightsConfig, explain_memory, load_weights, make_trainable
from vz_env.errors import ConfigError

IDS = torch.tensor([[3, 4, 5, 600, 7, 8]])


@pytest.fixture(params=["text", "vlm"])
def model(request, make_model, make_vlm):
    return make_model() if request.param == "text" else make_vlm()


def take_steps(model, optimizer, count):
    for _ in range(count):
        model.hidden(IDS).square().mean().backward()
        optimizer.step()


def adapted(model):
    add_adapter(model, rank=4, seed=1)
    return model


def test_a_new_adapter_changes_nothing_and_is_all_that_is_trained(model):
    before = model.hidden(IDS)

    adapted(model)

    assert torch.equal(model.hidden(IDS), before)
    trained = {name for name, weight in model.lm.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name and "visual" not in name for name in trained)
    assert sum(model.lm.get_parameter(name).numel() for name in trained) < model.num_parameters / 4


def test_the_reference_is_the_model_without_it_however_far_it_was_trained(model):
    before = model.hidden(IDS).detach()
    adapted(model)
    reference = model.reference()
    take_steps(model, adamw(model.lm, lr=1e-2), 3)

    assert isinstance(reference, WithoutAdapter)
    after = model.hidden(IDS)
    assert torch.equal(reference.eval().requires_grad_(False).hidden(IDS), before)
    assert not torch.equal(after, before)
    assert torch.equal(model.hidden(IDS), after)  # switched on again
    assert any(weight.requires_grad for weight in model.lm.parameters())
    assert reference.chat is model.chat


def test_a_frozen_copy_is_the_reference_of_a_model_that_is_trained_whole(model):
    reference = model.reference()
    before = model.hidden(IDS).detach()
    take_steps(model, adamw(model.lm, lr=1e-2), 1)

    assert torch.equal(reference.hidden(IDS), before)
    assert not any(weight.requires_grad for weight in reference.parameters())


def test_it_is_saved_merged(model, tmp_path):
    adapted(model)
    take_steps(model, adamw(model.lm, lr=1e-2), 3)

    model.save(tmp_path)
    loaded = LanguageModel.load(tmp_path)

    assert not has_adapter(loaded)
    torch.testing.assert_close(loaded.hidden(IDS), model.hidden(IDS), atol=1e-5, rtol=1e-5)
    assert not torch.equal(loaded.hidden(IDS), WithoutAdapter(model).hidden(IDS))


def test_two_steps_and_two_more_after_a_checkpoint_are_four(model, make_model, make_vlm, tmp_path):
    def fresh():
        made = adapted(make_vlm() if model.needs_frames else make_model())
        return made, adamw(made.lm, lr=1e-2)

    straight, optimizer = fresh()
    take_steps(straight, optimizer, 4)
    first, optimizer = fresh()
    take_steps(first, optimizer, 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, first, {"policy": optimizer}, {})
    second, optimizer = fresh()
    checkpoints.restore(checkpoints.latest(), second, {"policy": optimizer})
    take_steps(second, optimizer, 2)

    assert torch.equal(second.hidden(IDS), straight.hidden(IDS))
    size = sum(path.stat().st_size for path in checkpoints.latest().glob("adapter.safetensors"))
    assert 0 < size < 4 * model.num_parameters  # the frozen weights are not in it
    with pytest.raises(ConfigError, match="does not fit this run: it is of a model with an adapter"):
        checkpoints.restore(checkpoints.latest(), model, {"policy": adamw(model.lm, lr=1e-2)})


def test_without_projections_there_is_no_adapter(make_model):
    model = make_model()
    model.lm.model.layers = torch.nn.ModuleList()
    with pytest.raises(ConfigError, match="projections named like q_proj"):
        add_adapter(model, rank=4)


@pytest.mark.parametrize("is_training", [True, False])
def test_recomputing_gives_the_same_gradients(model, is_training, monkeypatch):
    model.train(is_training)
    take = [weight for weight in model.lm.parameters() if weight.requires_grad]
    model.hidden(IDS).square().mean().backward()
    kept = [weight.grad.clone() for weight in take if weight.grad is not None]
    model.zero_grad()
    model.recompute()
    calls = []
    layer = model.lm.model.get_submodule("language_model.layers.0" if model.needs_frames else "layers.0")
    inner = layer.self_attn.forward
    layer.self_attn.forward = lambda *args, **given: calls.append(1) or inner(*args, **given)

    model.hidden(IDS).square().mean().backward()

    assert len(calls) == 2  # forward, and again in the backward pass
    assert layer.training is is_training
    for one, weight in zip(kept, (weight for weight in take if weight.grad is not None), strict=True):
        assert torch.equal(one, weight.grad)


def test_weights_are_held_and_trained_as_asked(model, tmp_path):
    model.save(tmp_path)
    config = WeightsConfig(dtype="bfloat16", lora_rank=4, device="cpu", gradient_checkpointing=True)

    loaded = make_trainable(load_weights(str(tmp_path), config, system="Look."), config)

    assert loaded.lm.dtype == torch.bfloat16
    assert {weight.dtype for weight in loaded.lm.parameters() if weight.requires_grad} == {torch.float32}
    loaded.hidden(IDS).float().square().mean().backward()
    assert all(weight.grad is not None for weight in loaded.lm.parameters() if weight.requires_grad)
    whole = load_weights(str(tmp_path), WeightsConfig(device="cpu"))
    assert whole.lm.dtype == torch.float32


def test_the_tower_is_trained_when_asked_and_only_where_there_is_one(make_model, make_vlm):
    config = WeightsConfig(train_vision=True, lora_rank=2)
    assert make_trainable(make_vlm(), config).trains_vision
    assert not make_trainable(make_vlm(), dataclasses.replace(config, train_vision=False)).trains_vision
    with pytest.raises(ConfigError, match="a model that sees, to train its vision tower"):
        make_trainable(make_model(), config)


def test_a_device_that_is_not_there_is_one_message(make_model, tmp_path):
    make_model().save(tmp_path)
    with pytest.raises(ConfigError, match="a device to compute on, got 'cuda:97'"):
        load_weights(str(tmp_path), WeightsConfig(device="cuda:97"))


def test_out_of_memory_says_what_to_change():
    with pytest.raises(ConfigError, match=r"out of memory.*--ppo.micro-tokens"), explain_memory():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
