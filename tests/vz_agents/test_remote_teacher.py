"""The teacher over a real HTTP server on this machine: faults, limits, concurrency, what never leaves the process."""

from __future__ import annotations

import json
import logging
import time

import numpy as np
import pytest
from chat_server import JSON, chat

from vz_agents.policy import Observation, PastTurn, fingerprint, load_policy
from vz_agents.rollout import collect_rollouts
from vz_env.errors import ConfigError

pytest.importorskip("openai")

from vz_agents.remote_teacher import RemoteConfig, RemoteTeacher, TeacherError

SECRET = "sk-very-secret"
RIGHT = "<answer>B</answer>"


def teacher_at(server, **fields):
    fields = {"retries": 2, "timeout_seconds": 100.0, "deadline_seconds": 100.0, **fields}
    return RemoteTeacher(RemoteConfig(base_url=server.url, model="m", **fields), api_key=SECRET)


def play(scripted_env, teacher, ids):
    return collect_rollouts(lambda: scripted_env(*ids), teacher, ids, seed=0, workers=2)


def test_no_episode_is_lost_or_paid_twice_when_every_tenth_request_fails(serve, scripted_env):
    faults = [(500, JSON, b"{}"), (503, JSON, b"{}"), (429, {**JSON, "Retry-After": "0.1"}, b"{}")]

    def answer(number, body):
        if number % 10 == 4:
            return faults[number // 10 % 3]
        time.sleep(0.03)  # long enough for others to ask meanwhile
        return chat("zoom" if len(body["messages"]) == 2 else RIGHT)

    server = serve(answer)
    ids = [f"e{number}" for number in range(30)]
    teacher = teacher_at(server)
    played = play(scripted_env, teacher, ids)
    assert [one.episode_id for one in played] == ids
    assert {(one.status, one.score, len(one.turns)) for one in played} == {("answered", 1.0, 2)}
    assert server.served == 60  # a reply for each turn, and no more
    assert (teacher.usage.requests, teacher.usage.replies) == (60, 60)
    assert 2 <= server.most_at_once <= 8
    assert server.keys == {f"Bearer {SECRET}"}


def reset_connection(handler):
    handler.connection.shutdown(2)


def cut_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def stall(handler):
    time.sleep(1.5)


NO_CHOICE = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}).encode()
TOO_LONG = b'{"error": {"message": "the context is too long", "code": "context_length_exceeded"}}'
FAULTS = {
    "reset": reset_connection,
    "cut off": cut_off,
    "slow drip": drip,
    "timeout": stall,
    "truncated JSON": (200, JSON, b'{"choices": [{"mess'),
    "no choices": (200, JSON, NO_CHOICE),
    "null": chat(None),
    "empty": chat(" "),
    "not text": chat(5),
    "wrong type": (200, {"Content-Type": "text/html"}, b"<html>proxy</html>"),
    "bad UTF-8": (200, JSON, b'{"choices": "\xff\xfe"}'),
    "a list": (200, JSON, b"[]"),
    "context too long": (400, JSON, TOO_LONG),
    "500": (500, JSON, b"oops"),
    "echo of the key": (400, JSON, json.dumps({"error": {"message": f"bad key {SECRET}"}}).encode()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_ends_its_own_episode_and_no_other(fault, serve, scripted_env, caplog):
    caplog.set_level(logging.DEBUG)

    def answer(number, body):
        is_sick, is_first_turn = body["temperature"] == 0.5, len(body["messages"]) == 2
        return chat("zoom") if is_first_turn else FAULTS[fault] if is_sick else chat(RIGHT)

    server = serve(answer)
    sick = teacher_at(server, temperature=0.5, retries=0, timeout_seconds=0.7, deadline_seconds=1.2)
    (bad,) = play(scripted_env, sick, ["a"])
    (good,) = play(scripted_env, teacher_at(server), ["b"])
    assert (bad.status, bad.score, len(bad.turns)) == ("error:TeacherError", None, 1)
    assert good.status == "answered"
    assert SECRET not in bad.to_json() + caplog.text + repr(sick) + repr(sick.config)


def test_ten_megabytes_are_a_long_action_and_not_a_crash(serve, scripted_env):
    server = serve(lambda number, body: chat("x" * 10_000_000))
    (trajectory,) = play(scripted_env, teacher_at(server), ["a"])
    assert trajectory.status == "out_of_budget"
    assert len(trajectory.to_json()) < 500_000


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_the_first_request_is_the_callers_to_mend(status, serve, scripted_env):
    body = json.dumps({"error": {"message": f"no such key {SECRET}"}}).encode()
    server = serve(lambda number, _: (status, JSON, body))
    with pytest.raises(ConfigError, match="check OPENAI_API_KEY") as refused:
        play(scripted_env, teacher_at(server), ["a"])
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert len(server.bodies) == 1


def test_a_key_in_a_reply_is_hidden(serve, scripted_env):
    server = serve(lambda number, body: chat(f"<think>{SECRET}</think>{RIGHT}"))
    (trajectory,) = play(scripted_env, teacher_at(server), ["a"])
    assert SECRET not in trajectory.to_json()
    assert "[key]" in trajectory.turns[0].action


def test_limits_of_requests_and_of_cost_end_episodes_and_count(serve, scripted_env):
    server = serve(lambda number, body: chat(RIGHT))
    ids = ["a", "b", "c", "d"]
    few = teacher_at(server, max_requests=3)
    assert [one.status for one in play(scripted_env, few, ids)].count("error:TeacherLimit") == 1
    assert len(server.bodies) == 3
    dear = teacher_at(server, max_cost=2.5, prompt_price=10_000.0, completion_price=0.0, concurrency=1)
    statuses = [one.status for one in play(scripted_env, dear, ids)]
    assert statuses == ["answered", "answered", "answered", "error:TeacherLimit"]
    assert dear.usage.cost == pytest.approx(3.0)


def test_a_cost_that_is_not_told_cannot_be_held(serve, scripted_env):
    server = serve(lambda number, body: chat(RIGHT, usage=False))
    teacher = teacher_at(server, max_cost=1.0, prompt_price=1.0)
    (trajectory,) = play(scripted_env, teacher, ["a"])
    assert "tells no usage" in trajectory.error


def test_requests_per_minute_space_requests(serve, scripted_env):
    times = []

    def answer(number, body):
        times.append(time.monotonic())
        return chat(RIGHT)

    teacher = teacher_at(serve(answer), requests_per_minute=240.0)
    play(scripted_env, teacher, ["a", "b", "c", "d"])
    assert max(times) - min(times) >= 0.6  # three gaps of a quarter of a second, less what travel takes


def test_what_is_sent_holds_rules_history_and_no_token_of_a_dataset(serve, needle):
    server = serve(lambda number, body: chat(RIGHT))
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    past = (PastTurn("Q <|im_start|>system", "zoom"),)
    observation = Observation(
        text="Zoom 0s to 2s\n0s\n1s: <image>\nLeft: no zooms",
        frames=frames,
        timestamps=np.array([0.0, 1.0]),
        budget={},
        episode=needle.episodes[0],
        turn=1,
        history=past,
    )
    assert teacher_at(server, images=True, extra={"max_tokens": None, "top_p": 0.9}).act([observation]) == [RIGHT]
    (body,) = server.bodies
    assert "max_tokens" not in body
    assert body["top_p"] == 0.9
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    kinds = [part["type"] for part in body["messages"][-1]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    said = json.dumps(body, ensure_ascii=False)
    assert "<|im_start|>" not in said
    assert "<image>" not in said


def test_act_raises_what_failed(serve, needle):
    server = serve(lambda number, body: (400, JSON, TOO_LONG))
    observation = Observation(
        text="Q", frames=np.zeros((0, 8, 8, 3), np.uint8), timestamps=np.zeros(0), budget={}, episode=needle.episodes[0]
    )
    with pytest.raises(TeacherError, match="context is too long"):
        teacher_at(server).act([observation])


def test_the_environment_says_where_and_the_fingerprint_what(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL, OPENAI_MODEL"):
        RemoteTeacher()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:word@127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_MODEL", "m1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    teacher = load_policy("vz_agents.remote_teacher:RemoteTeacher")
    assert repr(teacher) == "RemoteTeacher(RemoteConfig('m1' at '127.0.0.1'))"
    same = RemoteTeacher(RemoteConfig.from_environment(max_requests=5), api_key="another")
    other = RemoteTeacher(RemoteConfig.from_environment(temperature=0.0))
    assert fingerprint(teacher) == fingerprint(same) != fingerprint(other)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_url": "ftp://x"}, "base URL"),
        ({"model": ""}, "a model"),
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_minute": 0}, "positive"),
        ({"max_cost": 1.0}, "wants prices"),
    ],
)
def test_a_config_that_cannot_ask_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        RemoteConfig(**{"base_url": "http://x/v1", "model": "m", **fields})
