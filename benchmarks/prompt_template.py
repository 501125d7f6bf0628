"""A one-shot prompt of the user's own, from a text file: the official wording of a benchmark to the byte, for one.

The file is the prompt, with places for what differs from question to question:

    {question}             the question
    {options}              `A. first`, a line each
    {options_in_brackets}  `(A) first`, a line each
    {subtitles}            what is said at the frames, a line each

Any other brace stands for itself, so that a template may hold JSON. A line break at the end of the file does not count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vz_env.episode import Episode
from vz_env.errors import ConfigError

from .adapters.benchmark import lettered

__all__ = ["PromptTemplate"]

_PLACES: Final = re.compile(r"\{(question|options|options_in_brackets|subtitles)\}")
_MAX_BYTES: Final = 1 << 16


class PromptTemplate:
    """The text of a prompt with places in it; see the module.

    Args:
        text: with `{question}` in it at least.

    Raises:
        ConfigError: there is no place for the question.
    """

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self.text = text.removesuffix("\n")
        if "{question}" not in self.text:
            raise ConfigError("a prompt template wants {question} where the question goes; it has none")

    @classmethod
    def read(cls, path: Path) -> PromptTemplate:
        """Read a template from a UTF-8 file.

        Raises:
            ConfigError: the file cannot be read, is too large, or has no place for the question.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: a prompt template was wanted: {error.strerror}") from error
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: {len(content)} bytes, a prompt template has at most {_MAX_BYTES}")
        try:
            return cls(content.decode("utf-8").replace("\r\n", "\n"))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: a prompt template is UTF-8 text: {error.reason}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Changes with the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def fill(self, episode: Episode, subtitles: Sequence[str] = ()) -> str:
        """The prompt of a question; what a question or an option holds is never taken for a place."""
        parts = {
            "question": episode.question,
            "options": lettered(episode.options),
            "options_in_brackets": lettered(episode.options, "({letter}) {option}"),
            "subtitles": "\n".join(subtitles),
        }
        return _PLACES.sub(lambda place: parts[place[1]], self.text)
