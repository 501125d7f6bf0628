"""Nothing but the video answers a needle question: policies that do not look are right as often as chance has it.

The questions are those of the default needle dataset, 400 of its scripts; videos are not needed where nobody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vz_agents.baselines import Blind
from vz_agents.policy import Observation
from vz_env.actions import Answer, parse_action
from vz_env.datasets.needle import NeedleConfig, needle_script
from vz_env.episode import AnswerKey, Episode
from vz_env.scoring import score_answer

QUESTIONS = 400
Z_99 = 2.576
Asked = list[tuple[Episode, AnswerKey]]


@pytest.fixture(scope="module")
def asked() -> Asked:
    """Four hundred questions of the test split and beyond it, controls left out: those the overview answers."""
    found: Asked = []
    for number in range(QUESTIONS):
        for question in needle_script(NeedleConfig(), "test", number).questions:
            if question.task != "control":
                episode = Episode(
                    id=question.id, question=question.text, options=question.options, video_path=Path("/unseen.mp4")
                )
                found.append((episode, AnswerKey(answer_indices=(question.answer_index,))))
        if len(found) >= QUESTIONS:
            break
    return found[:QUESTIONS]


def shuffled(asked: Asked, seed: int) -> Asked:
    """The same questions with their options in another order, and the keys moved along."""
    rng = np.random.default_rng(seed)
    moved: Asked = []
    for episode, key in asked:
        order = rng.permutation(len(episode.options)).tolist()
        options = tuple(episode.options[index] for index in order)
        question = Episode(id=episode.id, question=episode.question, options=options, video_path=episode.video_path)
        moved.append((question, AnswerKey(answer_indices=(order.index(key.answer_indices[0]),))))
    return moved


def assert_is_chance(asked: Asked, answer: Callable[[Episode], str]) -> None:
    """The number of right answers lies within the 99% interval of guessing."""
    scores = [score_answer(answer(episode), episode, key).value or 0.0 for episode, key in asked]
    chances = [1 / len(episode.options) for episode, _ in asked]
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))

    assert len(scores) == QUESTIONS
    assert abs(sum(scores) - sum(chances)) <= Z_99 * spread


def blind(seed: int) -> Callable[[Episode], str]:
    """The answers of the blind baseline."""
    policy = Blind(seed=seed)

    def answer(episode: Episode) -> str:
        nothing = Observation(
            text="", frames=np.zeros((0, 2, 2, 3), np.uint8), timestamps=np.zeros(0), budget={}, episode=episode
        )
        parsed = parse_action(policy.act([nothing])[0])
        assert isinstance(parsed, Answer)
        return parsed.text

    return answer


@pytest.mark.parametrize("seed", range(3))
def test_blind_guesses_are_right_by_chance(asked, seed):
    assert_is_chance(asked, blind(seed))


@pytest.mark.parametrize("letter", "ABCD")
def test_no_position_is_right_more_often_than_chance(asked, letter):
    assert_is_chance(asked, lambda episode: letter)


@pytest.mark.parametrize("seed", range(3))
def test_the_letters_of_the_key_are_worth_nothing_once_options_are_shuffled(asked, seed):
    letters = {episode.id: "ABCD"[key.answer_indices[0]] for episode, key in asked}

    assert_is_chance(shuffled(asked, seed), lambda episode: letters[episode.id])
    assert_is_chance(shuffled(asked, seed), blind(seed))


@pytest.mark.parametrize("choose", [min, max], ids=["first by the alphabet", "last by the alphabet"])
def test_the_words_of_the_options_give_nothing_away(asked, choose):
    assert_is_chance(asked, lambda episode: choose(episode.options))


def test_the_right_texts_are_right_in_any_order(asked):
    texts = {episode.id: episode.options[key.answer_indices[0]] for episode, key in asked}

    assert all(score_answer(texts[e.id], e, key).value == 1.0 for e, key in shuffled(asked, 5))
