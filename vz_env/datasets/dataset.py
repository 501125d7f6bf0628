"""An ordered collection of episodes, with the keys that grade them kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..episode import AnswerKey, Episode
from ..errors import ConfigError, DatasetError, UnknownEpisode

__all__ = ["Dataset", "RejectedLine"]


class RejectedLine(NamedTuple):
    """An annotation line that was left out, and why."""

    line: int
    message: str


class Dataset:
    """Episodes in a fixed order under one name.

    A key is handed out by `key` alone: nothing else of a dataset, not even its repr, shows one.

    Args:
        name: what ids and reports call it.
        split: train, validation, test, or "".
        episodes: ids must be unique.
        keys: one key for every episode id.
        root: the folder no video path may leave, if there is one.
        revision: sha256 (hex) of the annotations' content; of the public episodes when left out.
        notes: what the loader corrected or could not use.
        rejected: lines a tolerant loader left out.

    Raises:
        DatasetError: no episode, an id twice, or an episode without a key.
    """

    __slots__ = ("_by_id", "_keys", "episodes", "name", "notes", "rejected", "revision", "root", "split")

    def __init__(
        self,
        *,
        name: str,
        episodes: Iterable[Episode],
        keys: Mapping[str, AnswerKey],
        split: str = "",
        root: Path | None = None,
        revision: str = "",
        notes: Iterable[str] = (),
        rejected: Iterable[RejectedLine] = (),
    ) -> None:
        self.name, self.split, self.root = name, split, root
        self.episodes: tuple[Episode, ...] = tuple(episodes)
        self._by_id = {episode.id: episode for episode in self.episodes}
        if not self.episodes:
            raise DatasetError(f"dataset {name!r} wants at least one episode, got none")
        if len(self._by_id) != len(self.episodes):
            raise DatasetError(
                f"dataset {name!r}: episode ids must be unique, {len(self.episodes)} episodes share "
                f"{len(self._by_id)} ids"
            )
        missing = [episode.id for episode in self.episodes if episode.id not in keys]
        if missing:
            raise DatasetError(f"dataset {name!r}: episode {missing[0]!r} has no answer key ({len(missing)} in all)")
        self._keys = {episode.id: keys[episode.id] for episode in self.episodes}
        self.revision = revision or _public_revision(self.episodes)
        self.notes: tuple[str, ...] = tuple(notes)
        self.rejected: tuple[RejectedLine, ...] = tuple(rejected)

    @property
    def ids(self) -> tuple[str, ...]:
        """Every episode id, in order."""
        return tuple(self._by_id)

    def episode(self, episode_id: str) -> Episode:
        """Return one episode.

        Raises:
            UnknownEpisode: the dataset does not hold that id.
        """
        self._check_id(episode_id)
        return self._by_id[episode_id]

    def key(self, episode_id: str) -> AnswerKey:
        """Return one episode's secret half; for scorers, and for baselines that are marked as cheating.

        Raises:
            UnknownEpisode: the dataset does not hold that id.
        """
        self._check_id(episode_id)
        return self._keys[episode_id]

    def subset(self, *, ids: Iterable[str] | None = None, limit: int | None = None) -> Dataset:
        """Return a smaller dataset: the given ids in the order given, or the first `limit` episodes, or both.

        Raises:
            UnknownEpisode: an id the dataset does not hold.
            ConfigError: a limit below 1.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"limit must be 1 or more, got {limit}")
        chosen = list(self.episodes) if ids is None else [self.episode(episode_id) for episode_id in ids]
        return Dataset(
            name=self.name,
            split=self.split,
            episodes=chosen[:limit],
            keys=self._keys,
            root=self.root,
            revision=self.revision,
            notes=self.notes,
            rejected=self.rejected,
        )

    def _check_id(self, episode_id: str) -> None:
        if episode_id not in self._by_id:
            raise UnknownEpisode(
                f"dataset {self.name!r} ({self.split or 'no split'}) holds no episode {episode_id!r}; "
                f"its {len(self)} ids begin with {', '.join(map(repr, self.ids[:3]))}"
            )

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def __repr__(self) -> str:
        videos = len({episode.video_group for episode in self.episodes})
        return (
            f"Dataset(name={self.name!r}, split={self.split!r}, episodes={len(self)}, videos={videos}, "
            f"revision={self.revision[:12]!r})"
        )


def _public_revision(episodes: tuple[Episode, ...]) -> str:
    """A sha256 over the episodes' public texts, for datasets built in memory."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(repr((episode.id, episode.question, episode.options, str(episode.video_path))).encode())
    return digest.hexdigest()
