from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vz_env.datasets.dataset import Dataset
from vz_env.episode import AnswerKey, Episode
from vz_env.errors import ConfigError, DatasetError, UnknownEpisode


def episode(name: str) -> Episode:
    return Episode(id=name, question="Which?", video_path=Path("/videos/a.mp4"), options=("red", "secretblue"))


def dataset(*names: str) -> Dataset:
    keys = {name: AnswerKey(answer_indices=(1,)) for name in names}
    return Dataset(name="d", split="test", episodes=[episode(name) for name in names], keys=keys)


def test_episodes_keep_their_order() -> None:
    made = dataset("b", "a", "c")
    assert made.ids == ("b", "a", "c")
    assert [e.id for e in made] == ["b", "a", "c"]
    assert len(made) == 3


def test_episode_and_key_are_found_by_id() -> None:
    made = dataset("a", "b")
    assert made.episode("b").id == "b"
    assert made.key("b").answer_indices == (1,)


@pytest.mark.parametrize("method", ["episode", "key"])
def test_unknown_id_is_named(method: str) -> None:
    with pytest.raises(UnknownEpisode, match=r"'d' .* holds no episode 'x'; its 2 ids begin with 'a', 'b'"):
        getattr(dataset("a", "b"), method)("x")


def test_no_episode_is_refused() -> None:
    with pytest.raises(DatasetError, match="at least one episode"):
        dataset()


def test_same_id_twice_is_refused() -> None:
    with pytest.raises(DatasetError, match="must be unique"):
        dataset("a", "a")


def test_missing_key_is_refused() -> None:
    with pytest.raises(DatasetError, match="'a' has no answer key"):
        Dataset(name="d", episodes=[episode("a")], keys={})


def test_subset_by_ids_takes_the_order_given() -> None:
    assert dataset("a", "b", "c").subset(ids=["c", "a"]).ids == ("c", "a")


def test_subset_by_limit_takes_the_first() -> None:
    assert dataset("a", "b", "c").subset(limit=2).ids == ("a", "b")


def test_subset_keeps_the_revision() -> None:
    made = dataset("a", "b")
    assert made.subset(limit=1).revision == made.revision


def test_subset_refuses_unknown_ids_and_empty_limits() -> None:
    with pytest.raises(UnknownEpisode, match="'x'"):
        dataset("a").subset(ids=["x"])
    with pytest.raises(ConfigError, match="limit must be 1 or more"):
        dataset("a").subset(limit=0)


def test_revision_follows_the_content() -> None:
    assert dataset("a", "b").revision == dataset("a", "b").revision != dataset("a", "c").revision


def test_repr_shows_no_key() -> None:
    key = AnswerKey(answer_texts=("hidden answer",))
    made = Dataset(name="d", episodes=[episode("a")], keys={"a": key})
    assert "hidden" not in repr(made)
    assert "hidden" not in repr(made._keys)


def test_dataset_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(dataset("a", "b")))
    assert again.ids == ("a", "b")
    assert again.key("a").answer_indices == (1,)
