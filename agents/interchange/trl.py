"""TRL's conversational form: a JSON line an episode, contents as parts of text and image, pictures in one list.

Text parts carry no placeholder: a chat template puts the pictures where the parts of type `image` stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vz_env.errors import DatasetError

from ..trajectory import Trajectory
from .conversation import Message, extra_info, read_record
from .escaping import IMAGE, escape_tokens
from .json_files import write_json_lines

__all__ = ["read_trl", "trl_record", "write_trl"]


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


def read_trl(path: Path) -> tuple[list[Trajectory], list[str]]:
    """Read such a file, ours or theirs.

    Returns:
        The trajectories, and a message for each line that holds none; see `read_record` for what stays empty.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as fault:
        raise DatasetError(f"wanted a file of conversations, cannot read {path}: {fault.strerror}") from fault
    trajectories, rejected = [], []
    for number, line in enumerate(lines, start=1):
        try:
            trajectories.append(read_record(_plain(json.loads(line)), name=f"{path.stem}-{number}"))
        except (DatasetError, TypeError, ValueError, RecursionError) as fault:
            rejected.append(f"{path}:{number}: {fault!s:.200}")
    return trajectories, rejected


def _plain(record: Any) -> Any:
    """A record with contents as texts that hold placeholders, where they are parts."""
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        return record
    messages = [
        {**message, "content": _joined(message["content"])}
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        else message
        for message in record["messages"]
    ]
    return {**record, "messages": messages}


def _joined(parts: list[Any]) -> str:
    """Parts of text and image as one text.

    Raises:
        DatasetError: a part is neither.
    """
    pieces = []
    for part in parts:
        kind, text = (part.get("type"), part.get("text")) if isinstance(part, dict) else (None, None)
        if kind != "image" and not (kind == "text" and isinstance(text, str)):
            raise DatasetError(f"wanted parts of type text or image, got {part!r:.80}")
        pieces.append(IMAGE if kind == "image" else text)
    return "".join(pieces)


def write_trl(folder: Path, name: str, conversations: Iterable[tuple[Trajectory, list[Message]]]) -> list[Path]:
    """Write `<name>.jsonl`; paths of pictures are relative to the folder.

    Returns:
        The files written.
    """
    path = folder / f"{name}.jsonl"
    write_json_lines(path, (trl_record(trajectory, messages) for trajectory, messages in conversations))
    return [path]
