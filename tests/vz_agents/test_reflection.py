"""Reflection: a student's failures, replayed without their answer and repaired; its tokens stay as it sampled them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vz_agents.needle_expert import NeedleExpert
from vz_agents.needle_reflector import NeedleReflector
from vz_agents.policy import as_policy
from vz_agents.reflection import REFLECTION_REASONS, choose_wrong, reflect
from vz_agents.remote_messages import history_messages
from vz_agents.repairs import REFLECTION_REQUEST, REFLECTION_TURN, first_own_turn
from vz_agents.replay import replay_trajectory
from vz_agents.rollout import run_episode
from vz_agents.sampler import SamplerConfig, sample_episodes
from vz_agents.sft import example_of
from vz_agents.trajectory import Trajectory
from vz_env.actions import format_zoom
from vz_env.env import VideoZoomEnv

WRONG = "<think>hm</think><answer>none of these</answer>"
ELSEWHERE = "<think>here</think>" + format_zoom((0, 8), 1)
ORDER = "Which scene"


@pytest.fixture(scope="module")
def names(needle):
    """Questions about one scene."""
    return [episode.id for episode in needle if not episode.question.startswith(ORDER)]


@pytest.fixture(scope="module")
def settings(needle_budget):
    return {"env_options": {}, "budget": needle_budget}


@pytest.fixture(scope="module")
def make_env_of(needle, needle_budget):
    """A maker of environments that describe frames in one way or another."""
    return lambda words: VideoZoomEnv(needle, budget=needle_budget, describe=words, with_frames=False)


@pytest.fixture(scope="module")
def wrong(make_envs, names):
    """A student that looks at the beginning, wherever the scene is, and answers wrong."""
    (env,) = make_envs(1)
    student = as_policy(lambda seen: WRONG if seen.history else ELSEWHERE)
    return [run_episode(env, student, name, seed) for seed, name in enumerate(names)]


def test_the_teacher_goes_on_where_the_student_went_wrong(needle, settings, wrong, make_envs):
    repaired = reflect(needle, choose_wrong(wrong).kept, NeedleReflector(looks=4), **settings)
    assert len(repaired.kept) > len(wrong) / 2
    by_name = {one.episode_id: one for one in wrong}
    (env,) = make_envs(1)
    for one in repaired.kept:
        student = by_name[one.episode_id]
        assert (one.score, one.status, first_own_turn(one)) == (1.0, "answered", 1)
        assert one.turns[0] == student.turns[0]
        assert one.turns[1].observation == student.turns[1].observation
        assert one.turns[1].action.startswith("<think>")
        assert "<video_zoom>" in one.turns[1].action
        assert WRONG not in [turn.action for turn in one.turns]
        assert REFLECTION_REQUEST not in one.to_json()
        assert replay_trajectory(env, one).is_same


def test_the_flaws_that_the_scripted_teacher_tells(needle, make_envs, needle_budget):
    (env,) = make_envs(1)
    expert = NeedleExpert()
    told = set()
    for episode in needle:
        if episode.question.startswith(ORDER):
            continue
        for first_action in (ELSEWHERE, None):
            student = as_policy(lambda seen, begin=first_action: WRONG if seen.history else begin or expert.reply(seen))
            played = run_episode(env, student, episode.id, 0)
            kept = choose_wrong([played]).kept
            done = reflect(needle, kept, NeedleReflector(looks=4), env_options={}, budget=needle_budget)
            told |= {one.turns[1].action.partition("</think>")[0] for one in done.kept}
    assert told <= {"<think>not there", "<think>not all seen", "<think>look again"}
    assert len(told) >= 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "error:VideoDecodeError", "score": None}, "error:VideoDecodeError"),
        ({"status": "out_of_budget"}, "no_answer"),
        ({"score": None}, "no_answer"),
        ({"score": 1.0}, "right_answer"),
        ({"metrics": {"zooms": 0.0}}, "no_zoom"),
        ({"metrics": {"zooms": 1.0, "invalid_actions": 1.0}}, "student_slip"),
        ({}, ""),
    ],
)
def test_which_failures_of_the_student_are_taken(fields, reason):
    whole = {"status": "answered", "score": 0.0, "metrics": {"zooms": 1.0, "invalid_actions": 0.0}}
    chosen = choose_wrong([Trajectory(episode_id="a", **{**whole, **fields})])
    assert chosen.rejected == ({reason: 1} if reason else {})
    assert len(chosen.kept) == (not reason)


def zoom(start):
    return "<think>missed</think>" + format_zoom((start, start + 8), 1.5)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda seen: WRONG, "no_new_look"),
        (lambda seen: WRONG if len(seen.history) > 1 else zoom(16).partition("</think>")[2], "no_flaw"),
        (lambda seen: zoom(16) if len(seen.history) == 1 else WRONG, "wrong_answer"),
        (lambda seen: zoom(8 * (len(seen.history) + 1)), "invalid_action"),  # a zoom in the last turn is none
        (lambda seen: "hm", "invalid_action"),
        (lambda seen: 1 / 0, "error:ZeroDivisionError"),
    ],
)
def test_why_a_repair_is_left_out(needle, settings, wrong, reply, reason):
    done = reflect(needle, wrong[:2], as_policy(reply), **settings)
    assert done.rejected == {reason: 2}
    assert reason in REFLECTION_REASONS or reason.startswith("error:")


def test_no_room_and_another_sight_are_told_apart(needle, settings, wrong):
    small = replace(settings["budget"], max_turns=2)
    other = replace(settings["budget"], overview_frames=10)
    for budget, reason in ((small, "no_budget"), (other, "replay_differs")):
        done = reflect(needle, wrong[:1], NeedleReflector(), env_options={}, budget=budget)
        assert set(done.rejected) <= {reason, "replay_differs"}


def test_the_teacher_sees_the_request_where_it_took_over(needle, settings, wrong):
    seen = []

    def teach(observation):
        seen.append(observation)
        return zoom(16) if len(observation.history) == 1 else WRONG

    reflect(needle, wrong[:1], as_policy(teach), **settings)
    first, then = seen
    assert first.text.endswith(REFLECTION_REQUEST)
    assert first.history[0].action == ELSEWHERE
    assert not then.text.endswith(REFLECTION_REQUEST)
    assert [past.observation_text.endswith(REFLECTION_REQUEST) for past in then.history] == [False, True]


def test_a_teacher_that_looks_is_given_the_frames_of_every_turn(needle, settings, names, make_env_of):
    student = as_policy(lambda seen: WRONG if seen.history else ELSEWHERE)
    played = run_episode(make_env_of("none"), student, names[0], 0)
    views = []

    def teach(observation):
        views.append(observation)
        return zoom(16) if len(observation.history) == 1 else WRONG

    reflect(
        needle, [played], as_policy(teach), **{**settings, "env_options": {"describe": "none", "with_frames": True}}
    )
    assert [[len(past.frames) for past in view.history] for view in views] == [[12], [12, 8]]
    for view in views:
        messages = history_messages(view, images=True)
        pictures = [part for message in messages[::2] for part in message["content"] if part["type"] == "image_url"]
        assert len(pictures) == sum(len(past.frames) for past in view.history)
        assert all(isinstance(message["content"], str) for message in history_messages(view, images=False))


def test_a_teacher_may_be_told_words_that_the_student_was_not(needle, settings, names, make_env_of):
    student = as_policy(lambda seen: WRONG if seen.history else ELSEWHERE)
    played = [run_episode(make_env_of("none"), student, name, 0) for name in names]
    assert "%" not in played[0].turns[0].observation
    told = {**settings, "env_options": {"describe": "palette"}}
    assert len(reflect(needle, played, NeedleReflector(looks=4), **told).kept) > len(names) / 2
    described = [run_episode(make_env_of("palette"), student, name, 0) for name in names]
    changed = [replace(one, turns=[replace(turn) for turn in one.turns]) for one in described]
    for one in changed:
        one.turns[0].observation = one.turns[0].observation.replace("%", "", 1)
    assert reflect(needle, changed, NeedleReflector(), **told).rejected == {"replay_differs": len(names)}


def test_repairs_that_ended_are_not_made_again(needle, settings, wrong, tmp_path):
    straight = reflect(needle, wrong, NeedleReflector(), **settings)
    journal = tmp_path / "repairs.jsonl"
    reflect(needle, wrong[:2], NeedleReflector(), journal=journal, **settings)
    seen = []
    again = reflect(
        needle, wrong, NeedleReflector(), journal=journal, progress=lambda *given: seen.append(given), **settings
    )
    assert again == straight
    assert seen == [(number, len(wrong)) for number in range(2, len(wrong) + 1)]


@pytest.fixture(scope="module")
def sampled(make_model, make_envs, names):
    """The same student as a token policy: a model made to write these texts."""
    pytest.importorskip("torch")
    from vz_agents import decoder

    model = make_model()
    texts = (ELSEWHERE, WRONG)
    draw = decoder.Decoder._draw

    def choose(decoder, logits, active):
        ids, log_probs = draw(decoder, logits, active)
        for index, row in enumerate(decoder.rows):
            if active[index]:
                ids[index] = decoder.model.chat.reply_ids(texts[row.turn])[len(row.reply)]
        return ids, log_probs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder.Decoder, "_draw", choose)
        config = SamplerConfig(temperature=1.0, max_new_tokens=64)
        rollouts = sample_episodes(model, make_envs(len(names)), names, range(len(names)), config=config)
    return model.chat, [rollout.trajectory for rollout in rollouts]


def test_the_students_tokens_stay_verbatim_and_only_the_teachers_are_trained(needle, settings, sampled):
    chat, students = sampled
    repaired = reflect(needle, choose_wrong(students).kept, NeedleReflector(looks=4), chat=chat, **settings)
    assert len(repaired.kept) > len(students) / 2
    by_name = {one.episode_id: one for one in students}
    for one in repaired.kept:
        one.tokens.check()
        student = by_name[one.episode_id].tokens
        cut = student.turn.index(1)
        for column in ("ids", "mask", "log_probs", "turn"):
            assert getattr(one.tokens, column)[:cut] == getattr(student, column)[:cut]
        masked, published = example_of(one, chat), example_of(one, chat, mask_student=False)
        assert masked.ids == published.ids == one.tokens.ids
        assert sum(masked.mask[:cut]) == 0
        assert sum(published.mask[:cut]) == sum(student.mask[:cut]) > 0
        assert masked.mask[cut:] == published.mask[cut:]
        written = [token for token, mask in zip(masked.ids, masked.mask, strict=True) if mask]
        assert written == [token for turn in one.turns[1:] for token in chat.reply_ids(turn.action)]
        texts = replace(one, tokens=None)  # without tokens the texts give the same example
        assert example_of(texts, chat) == masked


def test_an_exemplar_has_no_part_to_mask(sampled):
    chat, (first, *_) = sampled
    assert REFLECTION_TURN not in first.metrics
    assert example_of(first, chat).mask == first.tokens.mask
