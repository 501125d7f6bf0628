"""A dataset as our own annotation file: what `vz import` makes of questions in the format of another system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vz_env.datasets.dataset import Dataset
from vz_env.datasets.jsonl import write_jsonl
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import DatasetError

__all__ = ["annotation_record", "write_annotations"]

_INVALID = "invalid"


def annotation_record(episode: Episode, key: AnswerKey, root: Path) -> dict[str, Any]:
    """One question as a line of an annotation file; `load_jsonl` makes the same episode and key of it.

    Args:
        episode: the public half.
        key: its answers and evidence.
        root: the folder that paths become relative to.

    Raises:
        DatasetError: a path outside the root.
    """
    groups = {name: text for name, text in episode.groups.items() if name != _INVALID}
    record: dict[str, Any] = {
        "id": episode.id,
        "dataset": episode.dataset or None,
        "video": _inside(episode.video_path, root),
        "video_id": episode.video_id or None,
        "duration_s": episode.duration_seconds,
        "question": episode.question,
        "options": list(episode.options) or None,
        "answer_kind": episode.answer_kind,
        "answer_index": _one_or_many(key.answer_indices),
        "answer_text": _one_or_many(key.answer_texts),
        "answer_spans_s": _spans(key.answer_segments) or None,
        "evidence_spans_s": _spans(key.evidence) or None,
        "context_text": episode.context_text or None,
        "groups": groups or None,
        "invalid": episode.groups.get(_INVALID),
        "scoring": {"judge": "needed"} if key.needs_judge else None,
    }
    if episode.subtitles is not None:
        subtitles = episode.subtitles
        record["subtitles"] = {
            "path": _inside(subtitles.path, root),
            "format": subtitles.format,
            "offset_s": subtitles.offset_seconds,
        }
    return {name: value for name, value in record.items() if value is not None}


def write_annotations(path: Path, dataset: Dataset, root: Path) -> int:
    """Write every question of a dataset; returns how many.

    Raises:
        DatasetError: a path outside the root, or a record that the format cannot hold; nothing is written.
    """
    records = [annotation_record(episode, dataset.key(episode.id), root) for episode in dataset]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, records)
    return len(records)


def _inside(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError as fault:
        raise DatasetError(f"wanted files below {root}, got {path}; name a folder above both as the root") from fault


def _one_or_many(values: tuple[Any, ...]) -> Any:
    return None if not values else values[0] if len(values) == 1 else list(values)


def _spans(segments: tuple[Segment, ...]) -> list[list[float]]:
    return [[segment.start_seconds, segment.end_seconds] for segment in segments]
