from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch

from vz_agents.checkpoint import Checkpoints, load_policy, save_policy, write_folder
from vz_agents.optimizers import adamw, muon_adamw
from vz_env.errors import ConfigError


def put(name, text="new"):
    def write(folder):
        folder.mkdir()
        (folder / name).write_text(text)

    return write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_written_and_replaced_whole(tmp_path):
    target = tmp_path / "deep" / "target"
    write_folder(target, put("a"))
    write_folder(target, put("b"))
    assert names(target) == ["b"]
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    write_folder(tmp_path / "target", put("a", "old"))

    def fail(folder):
        put("b")(folder)
        raise error

    with pytest.raises(type(error)):
        write_folder(tmp_path / "target", fail)
    assert (tmp_path / "target" / "a").read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_the_folder_does_not_exist_under_its_name_before_it_is_complete(tmp_path):
    def write(folder):
        put("a")(folder)
        assert not (tmp_path / "target").exists()

    write_folder(tmp_path / "target", write)


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path):
    write_folder(tmp_path / "target", put("a", "old"))
    (tmp_path / "target").rename(tmp_path / ".replaced-target")  # as a kill right there leaves it
    put("b")(tmp_path / ".unfinished-target")

    def fail(folder):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "target", fail)
    assert (tmp_path / "target" / "a").read_text() == "old"

    write_folder(tmp_path / "target", put("c"))
    assert names(tmp_path) == ["target"]


@pytest.fixture
def run(make_model, tmp_path):
    """A model with two optimisers that have a state, and where its checkpoints go."""
    model = make_model(seed=2)
    optimizers = {"policy": muon_adamw(model.lm, lr=1e-3), "value": adamw(model.value_head, lr=1e-3)}
    hidden = model.hidden(torch.tensor([[5, 6, 7]]))
    (model.logits(hidden).square().mean() + model.value_head(hidden).sum()).backward()
    for optimizer in optimizers.values():
        optimizer.step(scale=0.5)
    return model, optimizers, Checkpoints(tmp_path / "checkpoints")


def test_everything_comes_back_bit_for_bit(run, make_model):
    model, optimizers, checkpoints = run
    checkpoints.save(7, model, optimizers, {"best": 0.25, "names": ["a"]})
    other = make_model(seed=3)
    others = {"policy": muon_adamw(other.lm, lr=9.0), "value": adamw(other.value_head, lr=9.0)}

    state = checkpoints.restore(checkpoints.latest(), other, others)

    assert state == {"step": 7, "best": 0.25, "names": ["a"]}
    assert all(torch.equal(w, other.state_dict()[name]) for name, w in model.state_dict().items())
    for name, group in optimizers.items():
        for mine, theirs in zip(group.state_dict(), others[name].state_dict(), strict=True):
            assert mine["state"].keys() == theirs["state"].keys()
            for weight, held in mine["state"].items():
                assert all(torch.equal(value, theirs["state"][weight][key]) for key, value in held.items())
            for one, two in zip(mine["param_groups"], theirs["param_groups"], strict=True):
                assert json.loads(json.dumps(one)) == json.loads(json.dumps(two))


def test_an_optimiser_that_never_stepped_can_be_saved(make_model, tmp_path):
    model = make_model()
    optimizers = {"policy": adamw(model.lm, lr=1e-3)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model, optimizers, {})
    assert checkpoints.restore(checkpoints.latest(), model, optimizers) == {"step": 1}


def test_the_newest_few_are_kept(run):
    model, optimizers, checkpoints = run
    assert checkpoints.latest() is None
    for step in (1, 2, 999_999, 1_000_000):
        checkpoints.save(step, model, optimizers, {})
    (checkpoints.folder / "step-notes").mkdir()
    assert names(checkpoints.folder) == ["step-1000000", "step-999999", "step-notes"]
    assert checkpoints.latest().name == "step-1000000"
    with pytest.raises(ConfigError, match="keep wants 1 checkpoint or more"):
        Checkpoints(checkpoints.folder, keep=0)


def test_a_save_that_fails_leaves_the_last_one(run, monkeypatch):
    model, optimizers, checkpoints = run
    checkpoints.save(1, model, optimizers, {})
    with pytest.raises(TypeError):
        checkpoints.save(2, model, optimizers, {"not json": object()})
    assert names(checkpoints.folder) == ["step-000001"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def as_pickle(path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path.write_bytes(pickle.dumps(Bomb()))


@pytest.mark.parametrize("spoil", [flip, cut, as_pickle, os.unlink])
@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "value_head.safetensors",
        "optimizers.safetensors",
        "optimizers.json",
        "config.json",
        "tokenizer.json",
    ],
)
def test_an_altered_file_is_refused_and_the_model_left_alone(run, make_model, name, spoil):
    model, optimizers, checkpoints = run
    checkpoints.save(1, model, optimizers, {})
    spoil(checkpoints.latest() / name)
    other = make_model(seed=3)
    before = {key: weight.clone() for key, weight in other.state_dict().items()}
    others = {"policy": muon_adamw(other.lm, lr=1e-3), "value": adamw(other.value_head, lr=1e-3)}

    with pytest.raises(ConfigError, match="does not fit this run") as caught:
        checkpoints.restore(checkpoints.latest(), other, others)

    assert name in str(caught.value)
    assert all(torch.equal(weight, before[key]) for key, weight in other.state_dict().items())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"sha256": {}}', '{"sha256": [], "state": {}}', '{"sha256": null}', "\x80"]
)
def test_a_state_that_is_none_is_refused(run, text):
    model, optimizers, checkpoints = run
    checkpoints.save(1, model, optimizers, {})
    (checkpoints.latest() / "state.json").write_text(text)
    with pytest.raises(ConfigError, match="does not fit this run"):
        checkpoints.restore(checkpoints.latest(), model, optimizers)


def test_a_checkpoint_of_another_model_or_other_optimisers_is_refused(run, tokenizer):
    from vz_agents.model import LanguageModel, TinyConfig

    model, optimizers, checkpoints = run
    checkpoints.save(1, model, optimizers, {})
    wider = LanguageModel.tiny(tokenizer, TinyConfig(hidden_size=64, intermediate_size=64, num_layers=2))
    with pytest.raises(ConfigError, match="does not fit this run"):
        checkpoints.restore(checkpoints.latest(), wider, {})
    with pytest.raises(ConfigError, match="does not fit this run"):
        checkpoints.restore(checkpoints.latest(), model, {"third": adamw(model.lm, lr=1.0)})
    with pytest.raises(ConfigError, match="does not fit this run"):
        checkpoints.restore(checkpoints.latest(), model, {"policy": adamw(model.lm, lr=1.0)})


KILL_SAVES = """
import os
import signal
import sys
import time
from pathlib import Path

import torch

from vz_agents.checkpoint import Checkpoints
from vz_agents.model import LanguageModel
from vz_agents.optimizers import adamw

torch.set_num_threads(1)
model = LanguageModel.load(Path(sys.argv[1]))
optimizers = {"policy": adamw(model.lm, lr=1e-3)}
checkpoints = Checkpoints(Path(sys.argv[2]))


def save_forever(first):
    for step in range(first, first + 10_000):
        with torch.no_grad():
            model.value_head.outer.bias.fill_(step)
        checkpoints.save(step, model, optimizers, {"number": step})


reached = 0
for attempt in range(12):
    child = os.fork()
    if not child:
        save_forever(reached)  # the first one overwrites the newest checkpoint
    time.sleep(0.04 + 0.017 * attempt)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    newest = checkpoints.latest()
    if newest is None:
        assert reached == 0
        continue
    state = checkpoints.restore(newest, model, optimizers)
    assert state["number"] == state["step"] == int(newest.name.removeprefix("step-")), state
    assert model.value_head.outer.bias.item() == state["step"]
    assert state["step"] >= reached - 1, (state, reached)  # killed while the newest was being replaced: the one before
    reached = state["step"]
assert reached > 3, reached
"""


def test_kill_9_at_any_moment_leaves_a_complete_checkpoint(make_model, tmp_path):
    make_model().save(tmp_path / "model")
    command = [sys.executable, "-c", KILL_SAVES, str(tmp_path / "model"), str(tmp_path / "checkpoints")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_policy_comes_back_with_its_settings(make_model, tmp_path):
    model = make_model()
    save_policy(tmp_path / "run" / "policy", model, name="PPO", overview_frames=8, system="Be brief.")

    for folder in (tmp_path / "run", tmp_path / "run" / "policy"):
        policy = load_policy(folder)
        assert (policy.name, policy.overview_frames) == ("PPO", 8)
        assert "Be brief." in policy.model.tokenizer.decode(policy.model.chat.first("x"))
        assert all(torch.equal(w, policy.model.state_dict()[name]) for name, w in model.state_dict().items())


def test_a_bare_model_folder_is_a_policy_named_after_it(make_model, tmp_path):
    make_model().save(tmp_path / "mine")
    assert load_policy(tmp_path / "mine").name == "mine"


@pytest.mark.parametrize("text", ["", "[]", '{"speed": 9}', "\x80"])
def test_settings_that_are_none_are_refused(make_model, tmp_path, text):
    save_policy(tmp_path / "run", make_model())
    (tmp_path / "run" / "policy.json").write_text(text)
    with pytest.raises(ConfigError, match=r"policy\.json"):
        load_policy(tmp_path / "run")


def test_a_policy_computes_where_it_is_told_to(make_model, tmp_path):
    save_policy(tmp_path / "run", make_model())
    make_model().save(tmp_path / "bare")
    for folder in (tmp_path / "run", tmp_path / "bare"):
        assert load_policy(folder, device="cpu").model.device.type == "cpu"
        usual = load_policy(folder).model.device.type
        assert usual == ("cuda" if torch.cuda.is_available() else "cpu")
        with pytest.raises(ConfigError, match=r"got 'cuda:97': .*; try --device cpu"):
            load_policy(folder, device="cuda:97")


def test_a_folder_without_a_policy_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="wanted a causal language model"):
        load_policy(tmp_path / "nothing")


def test_the_best_checkpoint_is_kept_however_old(make_model, tmp_path):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.best() is None
    for step, score in enumerate([0.2, 0.8, None, 0.8, 0.1, None], 1):
        checkpoints.save(step, model, {}, {}, score=score)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000005", "step-000006"]
    assert checkpoints.best() == tmp_path / "step-000004"
    assert checkpoints.latest() == tmp_path / "step-000006"
