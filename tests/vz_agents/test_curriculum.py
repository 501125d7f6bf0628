from __future__ import annotations

import math
import shutil
from dataclasses import replace

import pytest

from vz_agents.checkpoint import Checkpoints
from vz_agents.curriculum import CurriculumConfig, train_curriculum
from vz_agents.model import LanguageModel, TinyConfig
from vz_env.errors import ConfigError


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


def test_a_curriculum_that_was_killed_goes_on_from_its_last_checkpoint_as_if_nothing_had_been(tokenizer, tmp_path):
    shape = TinyConfig(hidden_size=32, intermediate_size=64, num_layers=2)
    config = CurriculumConfig(steps=6, batch_size=2, first_lines=2, growth=2, promote_at=-1.0, checkpoint_every=3)
    checkpoints, ended = Checkpoints(tmp_path / "kept"), []
    straight, again = (LanguageModel.tiny(tokenizer, shape) for _ in range(2))

    ended.append(train_curriculum(straight, config, checkpoints=checkpoints))
    shutil.rmtree(tmp_path / "kept" / "step-000006")  # killed between the two
    ended.append(train_curriculum(again, config, checkpoints=checkpoints))

    assert all((a == b).all() for a, b in zip(straight.parameters(), again.parameters(), strict=True))
    one, other = (replace(progress, seconds=0.0) for progress in ended)
    assert one == other
    assert math.isnan(train_curriculum(again, config, checkpoints=checkpoints).loss)  # nothing is left to do


def test_a_checkpoint_of_another_curriculum_is_refused(tokenizer, tmp_path):
    shape = TinyConfig(hidden_size=32, intermediate_size=64, num_layers=2)
    config = CurriculumConfig(steps=2, batch_size=2, checkpoint_every=1)
    train_curriculum(LanguageModel.tiny(tokenizer, shape), config, checkpoints=Checkpoints(tmp_path))

    with pytest.raises(ConfigError, match="is of another curriculum: choose another folder, or remove it"):
        train_curriculum(
            LanguageModel.tiny(tokenizer, shape), replace(config, growth=1), checkpoints=Checkpoints(tmp_path)
        )


def test_progress_tells_which_kinds_of_look_ups_are_right(small):
    config = CurriculumConfig(steps=30, batch_size=8, warmup_steps=5, promote_at=2.0)

    by_kind = train_curriculum(small, config).by_kind

    assert {"close", "copy", "new", "new,", "last"} <= by_kind.keys()
    assert all(0.0 <= share <= 1.0 for share in by_kind.values())
    assert by_kind["new"] > by_kind["next"]  # a third of its tokens is a comma, which is learned first


def test_lists_do_not_grow_while_it_is_not_known_where_a_scene_begins(small, monkeypatch):
    config = CurriculumConfig(steps=12, batch_size=2, first_lines=3, growth=3, max_lines=9, promote_at=0.0)
    monkeypatch.setattr("vz_agents.curriculum._NEEDED", ("new", "never asked"))
    assert train_curriculum(small, config).lines == 3
    monkeypatch.setattr("vz_agents.curriculum._NEEDED", ("close",))
    assert train_curriculum(small, replace(config, promote_at=-1.0)).lines == 9
