from __future__ import annotations

import json

import pytest

from vz_agents.baselines import Blind, Oracle, UniformSampling
from vz_benchmarks import runner
from vz_benchmarks.records import read_records
from vz_benchmarks.runner import RESULTS_NAME, RUNS_NAME, evaluate
from vz_env.budget import Budget
from vz_env.errors import ConfigError, VideoDecodeError


class Counting:
    """Answers A and counts how often it is asked."""

    name, fingerprint, needs_frames = "Counting", "1", False

    def __init__(self):
        self.calls = 0

    def act(self, observations):
        self.calls += len(observations)
        return ["<answer>A</answer>" for _ in observations]


def test_evaluate_gives_the_figures_and_keeps_the_trajectories(needle, tmp_path):
    result = evaluate(Oracle(needle), needle, out=tmp_path)
    assert (result.policy, result.dataset, result.split) == ("Oracle", "Needle", "test")
    assert result.episodes == result.graded == len(needle)
    assert (result.accuracy.mean, result.evidence_hit_rate, result.zooms_per_episode) == (1.0, 1.0, 1.0)
    assert result.reads_key
    assert [one.episode_id for one in result.trajectories] == list(needle.ids)
    assert {one.group for one in result.groups} >= {"task", "difficulty"}
    assert read_records(tmp_path / RESULTS_NAME)[0].video_group == needle.episodes[0].video_group


def test_results_hold_nothing_of_the_key_before_the_end(needle, tmp_path):
    evaluate(UniformSampling(frames=4), needle, out=tmp_path)
    text = (tmp_path / RESULTS_NAME).read_text() + (tmp_path / RUNS_NAME).read_text()
    for word in ("answer_index", "evidence_spans", "AnswerKey", "hidden"):
        assert word not in text


def test_a_policy_plays_at_its_own_budget(needle, tmp_path):
    blind = evaluate(Blind(), needle, out=tmp_path)
    uniform = evaluate(UniformSampling(frames=20), needle, out=tmp_path, env_options={"budget": {"max_pixels": 9216}})
    assert (blind.frames_per_episode, uniform.frames_per_episode) == (0.0, 20.0)
    runs = json.loads((tmp_path / RUNS_NAME).read_text())
    assert runs[uniform.run]["env_options"]["budget"]["max_pixels"] == 9216
    assert len(runs) == 2


def test_a_second_call_plays_nothing_again(needle, tmp_path):
    policy = Counting()
    first = evaluate(policy, needle, out=tmp_path)
    again = evaluate(policy, needle, out=tmp_path)
    assert policy.calls == len(needle)
    assert first == again


def test_a_subset_shares_its_results_with_the_whole(needle, tmp_path):
    policy = Counting()
    assert evaluate(policy, needle.subset(limit=3), out=tmp_path).episodes == 3
    whole = evaluate(policy, needle, out=tmp_path)
    assert (policy.calls, whole.episodes) == (len(needle), len(needle))
    assert whole == evaluate(Counting(), needle, out=tmp_path / "fresh")


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"env_options": {"budget": Budget(max_turns=3)}}, {"env_options": {"describe": "none"}}],
)
def test_another_configuration_is_another_run(needle, tmp_path, change):
    policy = Counting()
    evaluate(policy, needle, out=tmp_path)
    evaluate(policy, needle, out=tmp_path, **change)
    assert policy.calls == 2 * len(needle)


def test_other_weights_or_code_are_another_run(needle, tmp_path, monkeypatch):
    policy = Counting()
    evaluate(policy, needle, out=tmp_path)
    policy.fingerprint = "2"
    evaluate(policy, needle, out=tmp_path)
    monkeypatch.setattr(runner, "code_version", lambda: "next")
    evaluate(policy, needle, out=tmp_path)
    assert policy.calls == 3 * len(needle)


def test_a_run_is_the_same_in_every_process(needle):
    def describer(frame, timestamp, episode):
        return ""

    described = runner._describe_run(Counting(), needle, {"describe": describer, "budget": Budget()}, 0)
    assert "0x" not in json.dumps(described)
    assert described["env_options"]["describe"].endswith("describer")


def test_workers_do_not_change_the_result(needle, tmp_path):
    one = evaluate(UniformSampling(frames=8), needle, out=tmp_path / "1", workers=1)
    three = evaluate(UniformSampling(frames=8), needle, out=tmp_path / "3", workers=3)
    assert one == three
    assert one.trajectories == three.trajectories


def test_stopping_returns_what_was_played_and_the_next_call_goes_on(needle, tmp_path):
    policy = Counting()
    part = evaluate(policy, needle, out=tmp_path, should_stop=lambda: policy.calls >= 3)
    assert part.episodes == 3
    whole = evaluate(policy, needle, out=tmp_path)
    assert policy.calls == len(needle)
    assert whole == evaluate(Counting(), needle, out=tmp_path / "fresh")


def test_progress_begins_with_what_is_on_the_disk(needle, tmp_path):
    evaluate(Counting(), needle.subset(limit=2), out=tmp_path)
    seen = []
    evaluate(Counting(), needle, out=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, len(needle)) for done in range(2, len(needle) + 1)]


def test_errors_are_tried_again_then_kept_apart(needle, tmp_path):
    class Moody(Counting):
        def act(self, observations):
            self.calls += len(observations)
            if observations[0].episode.id == needle.ids[1] and self.calls < 100:
                raise VideoDecodeError("bad day")
            return ["<answer>A</answer>" for _ in observations]

    policy = Moody()
    result = evaluate(policy, needle, out=tmp_path, retries=2)
    assert policy.calls == len(needle) + 2
    assert (result.errors, result.graded) == ({"error:VideoDecodeError": 1}, len(needle) - 1)
    policy.calls = 200
    assert evaluate(policy, needle, out=tmp_path).errors == {}
    assert policy.calls == 201


def test_a_mistake_in_the_options_is_raised(needle, tmp_path):
    with pytest.raises(ConfigError, match="describe"):
        evaluate(Counting(), needle, out=tmp_path, env_options={"describe": "nonsense"})


def test_needs_frames_decides_what_is_handed_out(needle, tmp_path):
    shapes = set()

    def look(observation):
        shapes.add(len(observation.frames))
        return "<answer>A</answer>"

    evaluate(look, needle.subset(limit=1), out=tmp_path)
    assert shapes == {32}
    evaluate(look, needle.subset(limit=1), out=tmp_path, env_options={"with_frames": False})
    assert shapes == {32, 0}
