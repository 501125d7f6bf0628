"""What a benchmark is to us: its name, the files it wants on the disk, the variants it is reported in, its prompt."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vz_env.datasets.jsonl import resolve_root
from vz_env.episode import Episode
from vz_env.errors import ConfigError, DatasetError

__all__ = ["Benchmark", "lettered", "plain_prompt"]

_MOST_NAMES: Final = 12


def lettered(options: Sequence[str], form: str = "{letter}. {option}") -> str:
    """Options on lines of their own, under their letters."""
    return "\n".join(form.format(letter=chr(ord("A") + index), option=option) for index, option in enumerate(options))


def plain_prompt(episode: Episode) -> str:
    """Question, options, and a sentence that asks for a letter; what is used where no own prompt is."""
    ending = "Answer with the letter of the right option." if episode.options else ""
    return "\n".join(part for part in (episode.question, lettered(episode.options), ending) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: of the dataset; its environment is `VZ/<name>-v0`.
        title: a line for people: what is in it.
        home: where the user gets the files.
        licence: of the annotations, in a few words.
        needs: the tree of files it wants under the root, one line a file, with a comment behind `#`.
        variants: names for `vz eval --benchmark`, each with the loader's options.
        parser: the compatibility parser of its official scorer, a key of `vz_benchmarks.parsers.PARSERS`.
        prompt: the one-shot prompt of a question, laid out as the official one and in our words, without frames and
            subtitles.
        has_interleaved_subtitles: whether its variant with subtitles shows them among the frames, not above the prompt.
    """

    name: str
    title: str
    home: str
    licence: str
    needs: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parser: str = "strict"
    prompt: Callable[[Episode], str] = plain_prompt
    has_interleaved_subtitles: bool = False

    def locate(self, root: str | os.PathLike[str] | None, *files: str) -> tuple[Path, Path, Path]:
        """Find the folder that holds a file of the tree: the root itself, or a folder directly inside it.

        Args:
            root: what the user gave.
            files: paths of the expected tree, any of which will do; the first stands in messages.

        Returns:
            The resolved root, the folder that holds the tree, and the file that was found.

        Raises:
            ConfigError: no root was given.
            DatasetError: no such file is in either place; says what was expected and what is there.
        """
        if root is None:
            raise ConfigError(f"{self.name} wants root=, the folder that holds its files:\n{self.tree()}")
        resolved = resolve_root(root)
        try:
            children = sorted(child for child in resolved.iterdir() if child.is_dir())
        except OSError as error:
            raise DatasetError(f"{self.name}: {resolved} cannot be read: {error.strerror}") from error
        for base in (resolved, *children):
            there = (base / file for file in files if os.path.isfile(base / file))  # noqa: PTH113 - raises for no name
            found = next(there, None)
            if found is not None:
                return resolved, base, found
        raise self.missing(resolved, " or ".join(files))

    def missing(self, folder: Path, file: str) -> DatasetError:
        """The error that names what is not there, the tree that was expected, and what was found instead."""
        names = sorted(f"{child.name}{'/' if child.is_dir() else ''}" for child in folder.iterdir())
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        found = f"{', '.join(names[:_MOST_NAMES])}{more}" if names else "nothing"
        return DatasetError(
            f"{self.name}: wanted {file} in {folder}.\nExpected (from {self.home}):\n{self.tree()}\nFound: {found}"
        )

    def tree(self) -> str:
        """The expected files, indented."""
        return "\n".join(f"  {line}" for line in self.needs)
