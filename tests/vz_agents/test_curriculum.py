from __future__ import annotations

import pytest

from vz_agents.curriculum import CurriculumConfig, train_curriculum
from vz_agents.model import LanguageModel, TinyConfig


@pytest.fixture
def small(tokenizer):
    shape = TinyConfig(hidden_size=64, intermediate_size=128, num_layers=2)
    return LanguageModel.tiny(tokenizer, shape)


def test_accuracy_rises_in_a_few_steps(small):
    seen = []
    config = CurriculumConfig(steps=60, batch_size=8, warmup_steps=5)

    last = train_curriculum(small, config, on_progress=seen.append)

    assert [progress.step for progress in seen] == [25, 50]
    assert last.step == 60
    assert last.accuracy > 0.2  # a guess among the vocabulary is right one time in a thousand
    assert last.loss < 5.5  # nats; it began at 7
    assert last.seconds > 0.0


def test_the_same_curriculum_gives_the_same_weights(tokenizer):
    shape = TinyConfig(hidden_size=32, intermediate_size=64, num_layers=2)
    weights = []
    for _ in range(2):
        model = LanguageModel.tiny(tokenizer, shape)
        train_curriculum(model, CurriculumConfig(steps=3, batch_size=2))
        weights.append([weight.clone() for weight in model.parameters()])
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


def test_no_step_is_no_training(small):
    before = [weight.clone() for weight in small.parameters()]
    assert train_curriculum(small, CurriculumConfig(steps=0)).step == 0
    assert all((a == b).all() for a, b in zip(before, small.parameters(), strict=True))


def test_lists_grow_when_the_answers_are_right(small):
    config = CurriculumConfig(steps=6, batch_size=2, first_lines=2, growth=3, max_lines=8, promote_at=-1.0)
    assert train_curriculum(small, config).lines == 8
