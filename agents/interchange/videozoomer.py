"""VideoZoomer's SFT file: a JSON list of `{messages, images}`, with `<image>` in the text where a picture stands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vz_env.errors import DatasetError

from ..trajectory import Trajectory
from .conversation import Message, read_record, sharegpt_record
from .json_files import read_json, write_json

__all__ = ["read_videozoomer_sft", "write_videozoomer_sft"]


def write_videozoomer_sft(
    folder: Path, name: str, conversations: Iterable[tuple[Trajectory, list[Message]]]
) -> list[Path]:
    """Write `<name>.json`; paths of pictures are relative to the folder.

    Returns:
        The files written.
    """
    path = folder / f"{name}.json"
    write_json(path, [sharegpt_record(trajectory, messages) for trajectory, messages in conversations])
    return [path]


def read_videozoomer_sft(path: Path) -> tuple[list[Trajectory], list[str]]:
    """Read such a file, ours or theirs.

    Returns:
        The trajectories, and a message for each record that is none; see `read_record` for what stays empty.

    Raises:
        DatasetError: the file is no JSON list.
    """
    records = read_json(path)
    if not isinstance(records, list):
        raise DatasetError(f"{path}: wanted a list of records, got {type(records).__name__}")
    trajectories, rejected = [], []
    for number, record in enumerate(records):
        try:
            trajectories.append(read_record(record, name=f"{path.stem}-{number}"))
        except (DatasetError, TypeError, ValueError) as fault:
            rejected.append(f"{path}: record {number}: {fault}")
    return trajectories, rejected
