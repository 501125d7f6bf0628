from __future__ import annotations

import json

import pytest
import torch

from vz_agents.cold_base import load_base, make_base, verify_base
from vz_agents.curriculum import CurriculumConfig
from vz_env.errors import ConfigError


@pytest.fixture(scope="module")
def made(needle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "tiny-base"
    return make_base(folder, needle, curriculum=CurriculumConfig(steps=20, batch_size=2), rehearsals=4), folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy to spoil."""
    import shutil

    return shutil.copytree(made[1], tmp_path / "base")


def test_a_base_is_small_made_of_safe_files_and_says_what_it_is(made):
    _, folder = made
    manifest = json.loads((folder / "base.json").read_text())

    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert set(manifest["sha256"]) == {path.name for path in folder.iterdir()} - {"base.json"}
    assert manifest["curriculum"]["steps"] >= 1
    assert 0.8e6 < manifest["parameters"] < 1.5e6
    assert (folder / "model.safetensors").stat().st_size < 2.2 * manifest["parameters"]  # half precision


def test_what_was_kept_on_the_way_is_gone_once_a_base_is_made(made):
    _, folder = made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_it_loads_in_single_precision_as_it_was_made(made):
    model, folder = made
    loaded = load_base(folder)

    assert loaded.lm.dtype == torch.float32
    assert all(torch.equal(w, loaded.state_dict()[name]) for name, w in model.state_dict().items())
    assert verify_base(folder)["parameters"] == loaded.num_parameters
    loaded.chat.first("Question: which?")


def test_its_tokenizer_knows_the_questions_and_the_actions(made, needle):
    model, _ = made
    text = f"Question: {needle.episodes[0].question}"
    assert len(model.chat.text_ids(text)) < len(text.split()) * 2.5
    for action in ("<answer>red</answer>", '<video_zoom>{"segment":[130,140],"fps":1.6}</video_zoom>'):
        assert len(model.chat.text_ids(action)) <= 9


NAMES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]


@pytest.mark.parametrize("name", NAMES)
def test_an_altered_file_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ConfigError, match=f"was altered: {name} does not match its sha256; reinstall"):
        load_base(folder)


@pytest.mark.parametrize("name", [*NAMES, "base.json"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match="wanted a cold-start base in"):
        load_base(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": {}}', '{"sha256": 3}', '{"sha256": {"../a": "0"}}'])
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / "base.json").write_text(text)
    with pytest.raises(ConfigError, match="wanted a cold-start base in"):
        load_base(folder)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="wanted a cold-start base in"):
        load_base(tmp_path / "nothing")
