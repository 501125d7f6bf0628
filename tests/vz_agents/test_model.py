from __future__ import annotations

import json
import pickle

import pytest
import torch

from vz_agents.model import LanguageModel, TinyConfig, ValueHead
from vz_env.errors import ConfigError


@pytest.fixture
def saved(make_model, tmp_path):
    model = make_model(seed=4)
    model.save(tmp_path / "model")
    return model, tmp_path / "model"


def weights(model):
    return {**model.lm.state_dict(), **{f"value.{name}": w for name, w in model.value_head.state_dict().items()}}


def test_a_saved_model_loads_bit_for_bit_with_its_value_head(saved):
    model, folder = saved

    loaded = LanguageModel.load(folder)

    assert weights(loaded).keys() == weights(model).keys()
    for name, weight in weights(model).items():
        assert torch.equal(weights(loaded)[name], weight), name
    ids = torch.tensor([model.chat.first("Question: which?")])
    assert torch.equal(loaded.hidden(ids), model.hidden(ids))
    assert loaded.chat.first("a <b> 12s") == model.chat.first("a <b> 12s")


def test_saving_over_a_folder_replaces_what_is_in_it(saved, make_model):
    _, folder = saved
    other = make_model(seed=9)
    other.save(folder)
    assert all(
        torch.equal(weights(LanguageModel.load(folder))[name], weight) for name, weight in weights(other).items()
    )


def test_saving_and_loading_print_nothing(make_model, tmp_path, capfd):
    make_model().save(tmp_path)
    LanguageModel.load(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_pickled(saved):
    _, folder = saved
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_a_model_without_a_value_head_gets_the_same_one_each_time(saved):
    _, folder = saved
    (folder / "value_head.safetensors").unlink()
    before = torch.random.get_rng_state()

    first = LanguageModel.load(folder)
    torch.rand(5)
    second = LanguageModel.load(folder)

    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))
    assert not first.value_head(torch.randn(3, 32)).any()  # says nothing before it was trained
    torch.random.set_rng_state(before)


def test_building_leaves_the_global_generator_alone(tokenizer):
    before = torch.random.get_rng_state()
    LanguageModel.tiny(tokenizer, TinyConfig(hidden_size=32, intermediate_size=64, num_layers=1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dtype_and_system_message_are_the_callers(saved):
    _, folder = saved
    loaded = LanguageModel.load(folder, system="Be brief.", dtype=torch.bfloat16)

    assert loaded.lm.dtype == torch.bfloat16
    assert "Be brief." in loaded.tokenizer.decode(loaded.chat.first("x"))
    hidden = loaded.hidden(torch.tensor([[3, 4, 5]]))
    assert loaded.logits(hidden).dtype == loaded.value_head(hidden).dtype == torch.float32


def refused(folder):
    with pytest.raises(ConfigError, match="wanted a causal language model in") as caught:
        LanguageModel.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_folder_that_is_none_is_refused_in_one_line(tmp_path):
    assert len(refused(tmp_path / "nothing")) < 500


@pytest.mark.parametrize("path", ["nothing", "here/nothing", "a/b/c", "./a/b", "/a/b", "../a", "a/"])
def test_a_path_that_is_none_is_never_looked_for_on_the_hub(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(ConfigError, match="got: no such folder"):
        LanguageModel.load(path)


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribble(path):
    path.write_bytes(b"\xff\xfe not what it was \x00")


def as_pickle(path):
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


@pytest.mark.parametrize("spoil", [cut, scribble, as_pickle])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "value_head.safetensors"])
def test_a_spoiled_file_is_refused(saved, name, spoil):
    _, folder = saved
    spoil(folder / name)
    refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_refused(saved, name):
    _, folder = saved
    (folder / name).unlink()
    refused(folder)


def test_a_value_head_of_another_model_is_refused(saved):
    from safetensors.torch import save_file

    _, folder = saved
    save_file(ValueHead(48).state_dict(), folder / "value_head.safetensors")
    refused(folder)


def test_weights_of_another_shape_are_refused(saved):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    refused(folder)


def test_a_pickle_beside_the_weights_is_never_opened(saved, tmp_path):
    _, folder = saved
    (folder / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(folder)


def test_code_in_the_folder_is_never_run(saved):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    refused(folder)


def test_a_tokenizer_without_a_chat_template_is_refused(saved):
    _, folder = saved
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="chat template"):
        LanguageModel.load(folder)


def test_the_default_tiny_model_has_a_million_parameters_and_depends_on_its_seed(tokenizer):
    one, same, other = (LanguageModel.tiny(tokenizer, seed=seed) for seed in (0, 0, 1))

    assert 0.9e6 < one.num_parameters < 1.3e6
    assert one.max_length == 2048
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.lm.model.embed_tokens.weight, other.lm.model.embed_tokens.weight)


def test_numbers_that_share_digits_begin_alike(tokenizer):
    embedding = LanguageModel.tiny(tokenizer).lm.model.embed_tokens.weight

    def vector(number):
        return embedding[tokenizer(str(number)).input_ids[0]]

    torch.testing.assert_close(vector(123) - vector(120), vector(453) - vector(450))


def test_the_critic_never_moves_the_policy(make_model):
    model = make_model()
    hidden = model.hidden(torch.tensor([[3, 4, 5]]))

    model.value_head(hidden).sum().backward()

    assert all(weight.grad is None for weight in model.lm.parameters())
    assert model.value_head.inner.weight.grad.abs().sum() > 0
