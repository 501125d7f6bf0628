"""What the comparison with TRL does without TRL: sees to the same work on both sides, and leads the other process."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import pytest

pytest.importorskip("torch")

from vz_benchmarks.speed import trl_process
from vz_benchmarks.speed.group_task import GroupTask, StepCost
from vz_benchmarks.speed.scripted import Scripted, scripted_actions, scripted_reply
from vz_benchmarks.speed.trl_peer import rewards
from vz_benchmarks.speed.trl_peer import zooming as zooming_class
from vz_benchmarks.speed.trl_process import TRLProcess
from vz_benchmarks.speed.vs_trl import VsTRLArgs, check_alike, run_benchmark, summarise
from vz_env.errors import ConfigError, ResetNeeded, VZError

TASK = GroupTask(episodes=2)  # four turns, so 96 tokens are sampled


def cost(tokens=1000, sampled=96, seconds=1.0, cpu=1.0):
    return StepCost(seconds, cpu, [tokens] * 2, [sampled] * 2)


def test_the_other_process_is_told_the_same_task():
    assert GroupTask(**json.loads(json.dumps(asdict(TASK)))) == TASK


@pytest.mark.parametrize("ours", [cost(1003), cost(1000), cost(1003, sampled=95)])  # the ends of turns; an early end
def test_the_same_work_is_accepted(ours):
    check_alike(ours, cost(), TASK)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(cost(1004), cost()), (cost(999), cost()), (cost(1003, sampled=80), cost()), (cost(), cost(sampled=72))],
)
def test_other_lengths_are_not_compared(ours, theirs):
    with pytest.raises(VZError, match="wanted"):
        check_alike(ours, theirs, TASK)


def test_ratios_are_of_medians():
    ours = [cost(seconds=2.0, cpu=1.0), cost(seconds=1.0, cpu=1.0), cost(seconds=99.0, cpu=1.0)]
    theirs = [cost(seconds=5.0, cpu=4.0), cost(seconds=6.0, cpu=3.0), cost(seconds=0.1, cpu=2.0)]
    assert summarise({"ours": ours, "TRL": theirs}) == {"episodes/s": 2.5, "episodes/s of CPU": 3.0}


def test_replies_have_one_length_whatever_the_action():
    for action in ([5], [5, 6, 7]):
        reply = scripted_reply(action, filler=1, end=2, length=6)
        assert len(reply) == 6
        assert reply[-len(action) - 1 :] == [*action, 2]
    with pytest.raises(ValueError, match="fewer than 3 tokens, got 3"):
        scripted_reply([5, 6, 7], filler=1, end=2, length=3)


def test_scripted_episodes_pay_at_their_end(scripted_play):
    assert scripted_play(pay=1.0) == [0.0, 0.0, 1.0]
    assert scripted_play(pay=0.0) == [0.0, 0.0, 0.0]


def test_trl_is_shown_the_same_environment(needle):
    zooming = zooming_class(TASK, needle)()
    seen = zooming.reset(id=needle.ids[0], prompt=[])
    env = TASK.make_env(needle)
    assert seen == env.reset(seed=0, options={"episode_id": needle.ids[0]})[0]["text"]
    action = TASK.actions[0]
    request = action.removeprefix("<video_zoom>").removesuffix("</video_zoom>")
    assert zooming.video_zoom(request) == env.step(action)[0]["text"] != seen
    assert rewards(TASK, [zooming]) == [0.0]  # it has answered now
    with pytest.raises(ResetNeeded):
        zooming.video_zoom(request)


@pytest.fixture
def scripted_play(needle):
    """Plays two zooms and an answer over whatever is said; returns the rewards."""

    def play(*, pay):
        task = GroupTask(zooms=2, overview_frames=4)
        env = Scripted(task.make_env(needle), task.actions, pay=pay)
        seen, _ = env.reset(seed=0, options={"episode_id": needle.ids[0]})
        assert seen["text"].count(task.frame_words) == 4
        played = [env.step("nonsense") for _ in scripted_actions(2)]
        assert [terminated for _, _, terminated, _, _ in played] == [False, False, True]
        return [reward for _, reward, _, _, _ in played]

    return play


PEER = """
import json, sys
print("{'loss': 1}", flush=True)
for number, line in enumerate(sys.stdin):
    if number == 1:
        sys.exit("out of memory")
    print("a progress bar")
    print(json.dumps({"seconds": 2.0, "cpu_seconds": 1.0, "tokens": [7], "sampled": [3]}), flush=True)
"""


def test_steps_are_asked_for_one_by_one_and_a_failure_says_why(tmp_path, monkeypatch):
    (tmp_path / "peer_of_this_test.py").write_text(PEER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trl_process, "_MODULE", "peer_of_this_test")
    with TRLProcess(sys.executable, TASK) as peer:
        assert peer.step() == StepCost(2.0, 1.0, [7], [3])
        for _ in range(2):  # while it ends, and after
            with pytest.raises(VZError, match="it failed: out of memory"):
                peer.step()


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, "run with --install-peers"), ({"quick": True, "docs": "page.md"}, "run without it for the docs")],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_made(tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        run_benchmark(VsTRLArgs(out=tmp_path / "out", **given))
    assert not (tmp_path / "out").exists()
