"""TRL's conversational form: a JSON line an episode, contents as parts of text and image, pictures in one list.

Text parts carry no placeholder: a chat template puts the pictures where the parts of type `image` stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..trajectory import Trajectory
from .conversation import Message, extra_info
from .escaping import escape_tokens
from .json_files import write_json_lines

__all__ = ["trl_record", "write_trl"]


def trl_record(trajectory: Trajectory, messages: Iterable[Message]) -> dict[str, Any]:
    """One record; every part has the same keys, as tables want it."""
    messages = list(messages)
    return {
        "messages": [{"role": message.role, "content": _parts(message)} for message in messages],
        "images": [path for message in messages for path in message.images],
        "extra_info": extra_info(trajectory),
    }


def _parts(message: Message) -> list[dict[str, str | None]]:
    parts: list[dict[str, str | None]] = []
    for number, text in enumerate(message.texts):
        parts += [{"type": "image", "text": None}] if number else []
        parts += [{"type": "text", "text": escape_tokens(text)}] if text else []
    return parts


def write_trl(folder: Path, name: str, conversations: Iterable[tuple[Trajectory, list[Message]]]) -> list[Path]:
    """Write `<name>.jsonl`; paths of pictures are relative to the folder.

    Returns:
        The files written.
    """
    path = folder / f"{name}.jsonl"
    write_json_lines(path, (trl_record(trajectory, messages) for trajectory, messages in conversations))
    return [path]
