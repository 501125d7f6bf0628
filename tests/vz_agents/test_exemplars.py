from __future__ import annotations

import dataclasses

import pytest

from vz_agents.exemplars import (
    AnswerTeacher,
    ExemplarConfig,
    collect_exemplars,
    read_counts,
    read_exemplars,
    write_exemplars,
)
from vz_agents.needle_expert import NeedleExpert
from vz_agents.policy import as_policy, reads_key
from vz_env.budget import Budget
from vz_env.datasets.dataset import Dataset
from vz_env.errors import DatasetError


@pytest.fixture(scope="module")
def collected(needle, needle_budget):
    return collect_exemplars(needle, NeedleExpert(), env_options={}, budget=needle_budget, seed=0)


def test_what_is_kept_was_answered_right_without_a_mistake(collected, needle):
    assert len(collected.kept) > len(needle) / 2
    for trajectory in collected.kept:
        assert (trajectory.status, trajectory.score, trajectory.metrics["invalid_actions"]) == ("answered", 1.0, 0)
        assert trajectory.split == "train"
    assert len(collected.kept) + sum(collected.rejected.values()) == len(needle)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("<answer>none of these</answer>", "wrong_answer"),
        ("hm", "invalid_action"),
        ('<video_zoom>{"segment":[0,8],"fps":1}</video_zoom>', "invalid_action"),  # twice the same
    ],
)
def test_why_the_rest_was_not_kept(needle, needle_budget, action, reason):
    teacher = as_policy(lambda observation: action)
    collected = collect_exemplars(needle, teacher, env_options={}, budget=needle_budget, seed=0)
    assert collected.kept == []
    assert collected.rejected == {reason: len(needle)}


def test_an_endless_zoomer_is_out_of_budget(needle, needle_budget):
    def zoom(observation):
        return f'<video_zoom>{{"segment":[{8 * observation.turn},{8 * observation.turn + 8}],"fps":1}}</video_zoom>'

    budget = dataclasses.replace(needle_budget, max_invalid=9)
    collected = collect_exemplars(needle, as_policy(zoom), env_options={}, budget=budget, seed=0)
    assert set(collected.rejected) <= {"out_of_budget", "invalid_action"}
    assert not collected.kept


def test_a_broken_video_is_counted_by_its_error(needle, needle_budget, tmp_path):
    (tmp_path / "empty.mp4").touch()
    good = needle.episodes[0]
    bad = dataclasses.replace(good, id="bad", video_path=tmp_path / "empty.mp4")
    keys = {good.id: needle.key(good.id), "bad": needle.key(good.id)}
    mixed = Dataset(name="Mixed", split="train", episodes=[bad, good], keys=keys)

    collected = collect_exemplars(mixed, AnswerTeacher(mixed), env_options={}, budget=needle_budget, seed=0)

    assert collected.rejected == {"error:VideoDecodeError": 1}
    assert [trajectory.episode_id for trajectory in collected.kept] == [good.id]


def test_the_teacher_of_uniform_sampling_answers_at_once_and_right(needle):
    teacher = AnswerTeacher(needle)
    budget = Budget(overview_frames=20, max_zooms=0)

    collected = collect_exemplars(needle, teacher, env_options={}, budget=budget, seed=0)

    assert reads_key(teacher)
    assert collected.rejected == {}
    assert [trajectory.episode_id for trajectory in collected.kept] == list(needle.ids)
    assert all(len(trajectory.turns) == 1 for trajectory in collected.kept)
    assert all(trajectory.turns[0].action.startswith("<think>") for trajectory in collected.kept)


def test_progress_counts_every_episode(needle, needle_budget):
    seen = []
    collect_exemplars(
        needle,
        NeedleExpert(),
        env_options={},
        budget=needle_budget,
        seed=0,
        progress=lambda *given: seen.append(given),
    )
    assert seen == [(number, len(needle)) for number in range(1, len(needle) + 1)]


def test_exemplars_come_back_from_their_file(collected, tmp_path):
    path = tmp_path / "deep" / "exemplars.jsonl"
    write_exemplars(path, collected)
    write_exemplars(path, collected)
    assert read_exemplars(path) == collected.kept
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["exemplars.json", "exemplars.jsonl"]
    assert read_counts(path) == (len(collected.kept), collected.rejected)
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(DatasetError, match="wanted counts beside"):
        read_counts(path)


class Forgetful:
    """A policy that plays well and is killed after so many actions."""

    name, needs_frames, batch_size = "NeedleExpert", False, 4

    def __init__(self, actions):
        self.left, self.expert = actions, NeedleExpert()

    def act(self, observations):
        self.left -= len(observations)
        if self.left < 0:
            raise KeyboardInterrupt
        return self.expert.act(observations)


def test_attempts_that_ended_are_not_made_again(needle, needle_budget, tmp_path):
    settings = {"env_options": {}, "budget": needle_budget, "seed": 5, "config": ExemplarConfig(attempts=2)}
    straight = collect_exemplars(needle, NeedleExpert(), **settings)
    journal = tmp_path / "attempts.jsonl"
    with pytest.raises(KeyboardInterrupt):
        collect_exemplars(needle, Forgetful(15), journal=journal, **settings)
    done = len(journal.read_text().splitlines())
    assert 0 < done < 2 * len(needle)
    with journal.open("a") as file:
        file.write('{"episode_id": "torn')
    seen = []
    resumed = collect_exemplars(
        needle, NeedleExpert(), journal=journal, progress=lambda *given: seen.append(given), **settings
    )
    assert resumed == straight
    assert seen == [(number, 2 * len(needle)) for number in range(done, 2 * len(needle) + 1)]
    assert len(journal.read_text().splitlines()) == 2 * len(needle)
    assert len({(one.episode_id, one.seed) for one in resumed.kept}) == len(resumed.kept)
    assert collect_exemplars(needle, Forgetful(0), journal=journal, **settings) == straight


@pytest.mark.parametrize(("retries", "kept"), [(0, False), (1, True)])
def test_an_attempt_that_a_fault_ended_is_made_again(needle, needle_budget, retries, kept):
    failed = set()

    def flaky(observation):
        if observation.episode.id not in failed:
            raise OSError("the line is down")
        return NeedleExpert().reply(observation)

    def note(done, total):
        failed.update(needle.ids if done == total else ())

    config = ExemplarConfig(retries=retries)
    collected = collect_exemplars(
        needle, as_policy(flaky), env_options={}, budget=needle_budget, seed=0, config=config, progress=note
    )
    assert bool(collected.kept) == kept
    assert ("error:OSError" in collected.rejected) != kept


@pytest.mark.parametrize("content", [b"{}", b"not json", b"\xff\xfe", b'{"schema_version":1}\n[1]'])
def test_a_file_that_is_none_is_refused_by_name(tmp_path, content):
    path = tmp_path / "exemplars.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"wanted exemplars in .*exemplars\.jsonl"):
        read_exemplars(path)
    with pytest.raises(DatasetError, match="wanted exemplars in"):
        read_exemplars(tmp_path / "nothing.jsonl")
