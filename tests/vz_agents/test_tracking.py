"""Weights & Biases told of a run: the real package, offline, whose files are read back. Nothing leaves the machine."""

from __future__ import annotations

import json
import logging
import struct
import sys
import time

import numpy as np
import pytest

from vz_agents.learning_log import LearningLog, read_curve
from vz_agents.tracking import TRACKING_NAME, NoTracker, open_tracker
from vz_agents.trajectory import Trajectory, TurnRecord
from vz_env.errors import ConfigError

CONFIG = {"seed": 3, "ppo": {"lr": 0.5}, "base_url": "https://me:secret@host/v1"}
KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def service(monkeypatch, tmp_path):
    """Set the service's own configuration, which it reads once; no process of it is left in the end."""
    import wandb

    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("CONFIG_DIR", "CACHE_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "service"))
    yield lambda **given: [monkeypatch.setenv(f"WANDB_{name}", value) for name, value in given.items()]
    wandb.teardown()


@pytest.fixture
def offline(service):
    """Offline, with a key that must not be written anywhere."""
    service(MODE="offline", SILENT="true", API_KEY=KEY)


def told(folder):
    """The records that one run left for the service, once they are all there."""
    (file,) = folder.glob("*.wandb")
    deadline = time.monotonic() + 30
    while not (records := list(parsed(file.read_bytes()))) or not records[-1].HasField("exit"):
        assert time.monotonic() < deadline, [record.WhichOneof("record_type") for record in records]
        time.sleep(0.01)
    return records


def parsed(data):
    """The records of a log in LevelDB's format behind a header of seven bytes, one protocol buffer each."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, part = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no record begins so near the end of a block
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if at + 7 + length > len(data):
            return
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(part)
            part = b""


def rows(folder):
    """What was logged, a row a call: the value by its name."""
    histories = [record.history for record in told(folder) if record.HasField("history")]
    return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in row.item} for row in histories]


def write(out, iterations):
    """What training tells, of some iterations."""
    turn = TurnRecord(observation="Question: <b>?</b>", timestamps=[0.0], action="<answer>B</answer>")
    trajectory = Trajectory(episode_id="e", policy="P", turns=[turn], status="answered", reward=1.0, score=1.0)
    with open_tracker("wandb", out, CONFIG) as tracker:
        log = LearningLog(out, iteration=iterations[0], tracker=tracker)
        for iteration in iterations:
            log.scalars(iteration, iteration + 1, {"rollout/accuracy": iteration / 8, "train/kl_to_reference": 0.25})
            log.trajectory(iteration, trajectory, [np.full((6, 9, 3), 200, np.uint8)])
        log.close()


def test_the_service_is_told_what_tensorboard_is_and_a_second_process_goes_on_with_the_run(offline, tmp_path):
    out = tmp_path / "my-run"
    out.mkdir()
    write(out, [0, 1])
    write(out, [1, 2])

    known = json.loads((out / TRACKING_NAME).read_text())["wandb"]
    folders = sorted((out / "wandb").glob("offline-run-*"))
    runs = [next(record.run for record in told(folder) if record.HasField("run")) for folder in folders]
    assert [run.run_id for run in runs] == [known, known]
    assert [(run.project, run.display_name, run.host) for run in runs] == [("vz-env", "my-run", "")] * 2
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert (config["seed"], config["ppo"]) == (3, {"lr": 0.5})
    assert [[row["iteration"] for row in rows(folder)] for folder in folders] == [[0, 0, 1, 1], [1, 1, 2, 2]]
    scalars, shown = rows(folders[1])[-2:]
    assert (scalars["rollout/accuracy"], scalars["train/kl_to_reference"]) == (0.25, 0.25)
    assert "Question: &lt;b&gt;?&lt;/b&gt;" in (folders[1] / "files" / shown["eval/trajectory/path"]).read_text()
    assert (shown["eval/trajectory_turn_1/width"], shown["eval/trajectory_turn_1/height"]) == (9, 6)
    assert [row["iteration"] for row in read_curve(out)] == [0, 1, 2]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert b"secret" not in written
    assert b"pytest" not in b"".join(next(folder.glob("*.wandb")).read_bytes() for folder in folders)  # command line


def test_a_service_that_refuses_stops_the_run_before_it_begins(service, monkeypatch, tmp_path):
    service(MODE="online", SILENT="true", BASE_URL="http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"--track wandb cannot begin: No API key.*WANDB_MODE=offline"):
        open_tracker("wandb", tmp_path, CONFIG)


def test_a_service_that_fails_on_the_way_is_left_alone_and_that_is_said_once(offline, tmp_path, caplog, monkeypatch):
    with open_tracker("wandb", tmp_path, CONFIG) as tracker:
        monkeypatch.setattr(tracker._run, "log", lambda row: 1 / 0)
        log = LearningLog(tmp_path, iteration=0, tracker=tracker)
        with caplog.at_level(logging.WARNING):
            for iteration in range(3):
                log.scalars(iteration, 1, {"rollout/accuracy": 0.5})
        log.close()
    (record,) = [record for record in caplog.records if record.name == "vz_agents.tracking"]
    assert "wandb failed and is told no more of this run (ZeroDivisionError: division by zero)" in record.getMessage()
    assert [row["accuracy"] for row in read_curve(tmp_path)] == [0.5, 0.5, 0.5]


def test_without_the_package_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"wants the wandb extra: pip install 'vz-env\[llm,wandb\]'"):
        open_tracker("wandb", tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_imported_started_or_written_unless_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with open_tracker("", tmp_path, CONFIG) as tracker:
        assert isinstance(tracker, NoTracker)
        LearningLog(tmp_path, iteration=0, tracker=tracker).close()
    assert {path.name for path in tmp_path.iterdir()} == {"learning_curve.jsonl", "tensorboard"}


def test_another_service_and_a_file_without_an_id_are_refused(offline, tmp_path):
    with pytest.raises(ConfigError, match="--track wants wandb, or nothing, got 'mlflow'"):
        open_tracker("mlflow", tmp_path, CONFIG)
    (tmp_path / TRACKING_NAME).write_text("{}")
    with pytest.raises(ConfigError, match=r"tracking.json holds no id of a wandb run: remove it"):
        open_tracker("wandb", tmp_path, CONFIG)
