"""LLaMA-Factory: a JSON list in its ShareGPT form with pictures, and the entry of `dataset_info.json` that names it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vz_env.errors import DatasetError

from ..trajectory import Trajectory
from .conversation import Message, sharegpt_record
from .json_files import read_json, write_json

__all__ = ["INFO_NAME", "write_llama_factory"]

INFO_NAME: Final = "dataset_info.json"


def write_llama_factory(
    folder: Path, name: str, conversations: Iterable[tuple[Trajectory, list[Message]]]
) -> list[Path]:
    """Write `<name>.json` and its entry; train with `dataset_dir` (and `media_dir`) set to the folder.

    Entries of other datasets in the folder's `dataset_info.json` are kept.

    Returns:
        The files written.

    Raises:
        DatasetError: the `dataset_info.json` that is there is no JSON object; nothing is written.
    """
    info_path, path = folder / INFO_NAME, folder / f"{name}.json"
    info = read_json(info_path) if info_path.exists() else {}
    if not isinstance(info, dict):
        raise DatasetError(f"{info_path}: wanted an object of datasets, got {type(info).__name__}; move it away")
    write_json(path, [sharegpt_record(trajectory, messages) for trajectory, messages in conversations])
    info[name] = {
        "file_name": path.name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    write_json(info_path, info)
    return [path, info_path]
