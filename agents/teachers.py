"""Who plays the exemplars and repairs failures: the policy that a word of `--teacher` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vz_env.errors import ConfigError

from .needle_expert import HastyExpert
from .policy import Policy
from .policy import load_policy as import_policy
from .remote_config import ServerConfig
from .search_teachers import BinarySearchTeacher, CoarseToFineTeacher, EvidenceTeacher

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["SEARCHES", "find_teacher", "open_teacher"]

SEARCHES: Final = {"evidence": EvidenceTeacher, "binary": BinarySearchTeacher, "coarse-to-fine": CoarseToFineTeacher}
"""Scripted teachers for any dataset, which read the keys of its train split."""


def find_teacher(
    word: str,
    train: Dataset,
    out: Path,
    *,
    base_url: str = "",
    model: str = "",
    server: ServerConfig | None = None,
    default: Callable[[], Policy] = HastyExpert,
) -> Policy:
    """Who plays: what is named, a server with the replies it gave so far, or the scripted expert.

    Args:
        word: one of `SEARCHES`, openai, package.module:Name, or nothing.
        train: the split that will be played; a scripted search reads its keys.
        out: the run folder, which keeps the replies of a server.
        base_url: of the server; of the environment where it is left out.
        model: the server's, likewise.
        server: how it is asked, and its limits.
        default: who plays where nobody is named.

    Raises:
        ConfigError: no such policy, or what a server wants is missing.
    """
    if word in SEARCHES:
        return SEARCHES[word](train)
    if word == "openai":
        from .remote_teacher import RemoteConfig, RemoteTeacher

        named = {name: value for name, value in (("base_url", base_url), ("model", model)) if value}
        asked = RemoteConfig.from_environment(**asdict(server or ServerConfig()), **named)
        return RemoteTeacher(asked, journal=out / "replies.jsonl")
    if not word:
        return default()
    if ":" not in word:
        raise ConfigError(f"wanted a teacher out of {', '.join(SEARCHES)}, openai or package.module:Name, got {word!r}")
    return _import(word, train)


def _import(spec: str, train: Dataset) -> Policy:
    """A policy of one's own; a class that wants a dataset, as the oracle does, is given the train split."""
    try:
        return import_policy(spec)
    except ConfigError as fault:
        if not isinstance(fault.__cause__, TypeError):  # it is not there, or it is no policy
            raise
    return import_policy(spec, dataset=train)


@contextmanager
def open_teacher(teacher: Policy) -> Iterator[Policy]:
    """Let go of what a teacher holds open, its journal of replies, when it has done its work."""
    try:
        yield teacher
    finally:
        close = getattr(teacher, "close", None)
        if close is not None:
            close()
