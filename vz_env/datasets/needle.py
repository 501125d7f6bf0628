"""The needle dataset: long videos in which events of about a second hide; made from a config, loaded like any other.

What happens is drawn in `needle_scenes` and `needle_events`, asked about in `needle_questions`, painted in
`needle_paint` (over a real film: `needle_film`) and written in `needle_encode`. Here a folder of it is made and read::

    <folder>/config.json        first: what is being made; a second call continues
    <folder>/test/test-000.mp4
    <folder>/test.jsonl
    <folder>/manifest.json      last: its existence means that everything is there
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..cache_folder import cache_folder
from ..errors import ConfigError, DatasetError, VideoError
from .dataset import Dataset
from .jsonl import load_jsonl, write_jsonl
from .needle_config import NEEDLE_VERSION, SPLITS, NeedleConfig
from .needle_encode import encode_video
from .needle_film import FilmBackdrop, FilmPictures, read_film
from .needle_paint import CanvasBackdrop, paint_pictures
from .needle_questions import NeedleVideo, Question, needle_script

__all__ = ["NeedleConfig", "Progress", "cache_folder", "load_needle", "make_needle", "needle_script"]

Progress = Callable[[int, int], None]
"""Called with (videos done, videos in all) from the calling thread, at the start and after every video."""

_LOG = logging.getLogger(__name__)


def load_needle(
    *,
    split: str = "test",
    root: str | os.PathLike[str] | None = None,
    config: NeedleConfig | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load one split of a needle dataset, making the dataset on first use (about 20 s on two cores).

    Args:
        split: train, validation or test.
        root: the dataset's folder; one in the cache folder, named after the config, when left out.
        config: what to make; the default config when left out. A mapping is turned into a `NeedleConfig`.
        progress: told about every video while the dataset is made.

    Raises:
        ConfigError: the config is out of range, or makes no videos for the split.
        DatasetError: the folder holds another needle dataset.
        VideoError: the haystack film cannot be used.
    """
    if split not in SPLITS:
        raise ConfigError(f"the needle dataset has the splits {', '.join(SPLITS)}, got {split!r}")
    folder = None if root is None else Path(root)
    if folder is None or config is not None or not (folder / "manifest.json").is_file():
        chosen = as_config(config)
        if not chosen.videos.get(split, 0):
            raise ConfigError(f"this needle config makes no videos for split {split!r}: videos={dict(chosen.videos)}")
        folder = folder or cache_folder() / f"needle-{chosen.fingerprint()[:16]}"
        make_needle(folder, chosen, progress=progress)
    return load_jsonl(folder / f"{split}.jsonl", folder, name="Needle", split=split)


def make_needle(
    out: str | os.PathLike[str], config: NeedleConfig, *, progress: Progress | None = None, workers: int = 2
) -> Path:
    """Make a needle dataset; a call that was interrupted is continued, a finished one is left as it is.

    Args:
        out: the folder to fill.
        config: what to make; the same config gives the same bytes.
        progress: told about every video.
        workers: threads; FFmpeg works outside the interpreter lock, so two fill two cores.

    Returns:
        the folder.

    Raises:
        ConfigError: fewer than one worker, or no encoder.
        DatasetError: the folder holds another needle dataset, or cannot be written.
        VideoError: the haystack film cannot be used.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, got {workers}")
    folder = Path(out)
    try:
        if not _claim(folder, config):
            _make(folder, config, progress, workers)
    except VideoError:
        raise
    except OSError as error:
        raise DatasetError(f"{folder}: the needle dataset cannot be written: {error}") from error
    return folder


def as_config(config: NeedleConfig | Mapping[str, Any] | None) -> NeedleConfig:
    """Turn what a caller or a command line gives into a config.

    Raises:
        ConfigError: an unknown field, or a value out of range.
    """
    if isinstance(config, NeedleConfig):
        return config
    fields = dict(config or {})
    try:
        if fields.get("haystack") is not None:
            fields["haystack"] = Path(fields["haystack"])
        if "spacings_seconds" in fields:
            fields["spacings_seconds"] = tuple(fields["spacings_seconds"])
        return NeedleConfig(**fields)
    except TypeError as error:
        raise ConfigError(
            f"needle config: {error}; its fields are {', '.join(NeedleConfig.__annotations__)}"
        ) from error


def _claim(folder: Path, config: NeedleConfig) -> bool:
    """Whether the folder is complete; a new one is marked as this config's, one of another config is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    marker, fingerprint = folder / "config.json", config.fingerprint()
    # Listed before the marker is looked for, which is written first: several processes may make the dataset at once, as
    # the workers of a vector environment do on first use. They write the same bytes.
    holds_files = any(not path.name.startswith(".") for path in folder.iterdir())
    if marker.exists():
        try:
            found = json.loads(marker.read_text(encoding="utf-8")).get("fingerprint")
        except (ValueError, AttributeError) as error:
            raise DatasetError(f"{marker}: wanted a needle dataset's config, got something else: {error}") from error
        if found != fingerprint:
            raise DatasetError(f"{folder}: holds another needle dataset; delete it or choose another folder")
        return (folder / "manifest.json").is_file()
    if holds_files:
        raise DatasetError(f"{folder}: wanted an empty folder, or one that holds this needle dataset; choose another")
    _write_json(marker, {"fingerprint": fingerprint, "config": _plain(config)})
    return False


def _make(folder: Path, config: NeedleConfig, progress: Progress | None, workers: int) -> None:
    """Encode the videos that are missing, then write the annotations, then the manifest."""
    videos = [needle_script(config, split, i) for split in SPLITS for i in range(config.videos.get(split, 0))]
    _check_splits(videos)
    for split in SPLITS:
        (folder / split).mkdir(exist_ok=True)
    missing = [video for video in videos if not (folder / _video_path(video)).exists()]
    _LOG.info("making %d of %d needle videos in %s", len(missing), len(videos), folder)
    if progress is not None:
        progress(len(videos) - len(missing), len(videos))
    film = read_film(config) if config.haystack is not None and missing else None
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_encode, folder, config, video, film) for video in missing]
        try:
            for done, job in enumerate(as_completed(jobs), start=len(videos) - len(missing) + 1):
                job.result()
                if progress is not None:
                    progress(done, len(videos))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    for split in SPLITS:
        chosen = [video for video in videos if video.script.split == split]
        if chosen:
            write_jsonl(folder / f"{split}.jsonl", [_record(v, q, config) for v in chosen for q in v.questions])
    names = [*map(_video_path, videos), *(f"{split}.jsonl" for split in SPLITS if config.videos.get(split, 0))]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    _write_json(folder / "manifest.json", {"fingerprint": config.fingerprint(), "sha256": hashes})


def _encode(folder: Path, config: NeedleConfig, video: NeedleVideo, film: FilmPictures | None) -> None:
    """Paint and encode one video."""
    script = video.script
    backdrop = CanvasBackdrop(config) if film is None else FilmBackdrop(config, film, script.split)
    encode_video(folder / _video_path(video), paint_pictures(script, config, backdrop), config)


def _check_splits(videos: list[NeedleVideo]) -> None:
    """No two videos, of whatever splits, may share a name or a look.

    Raises:
        DatasetError: they do (a fault of this module).
    """
    for what in ("video_id", "appearance_seed"):
        if len({getattr(video.script, what) for video in videos}) != len(videos):
            raise DatasetError(f"needle dataset: two videos share their {what}")


def _record(video: NeedleVideo, question: Question, config: NeedleConfig) -> dict[str, Any]:
    """One annotation line."""
    script = video.script
    shown = len(script.cards)
    own = 0 if question.task == "control" else len(question.evidence)
    lengths = [segment.duration_seconds for segment in question.evidence]
    return {
        "id": question.id,
        "dataset": "Needle",
        "split": script.split,
        "video": _video_path(video),
        "video_id": script.video_id,
        "duration_s": script.duration_seconds,
        "question": question.text,
        "options": list(question.options),
        "answer_kind": "choice",
        "answer_index": question.answer_index,
        "evidence_spans_s": [[segment.start_seconds, segment.end_seconds] for segment in question.evidence],
        "evidence_kind": "needle",
        "groups": {"task": question.task, "difficulty": question.difficulty, "haystack": config.haystack_name},
        "hidden": {"scene_index": question.scene_index, "script": asdict(script)},
        "meta": {
            "event_seconds": min(lengths),
            "overview_spacing_seconds": script.overview_spacing_seconds,
            "distractors": shown - own,
            "appearance_seed": script.appearance_seed,
        },
    }


def _video_path(video: NeedleVideo) -> str:
    return f"{video.script.split}/{video.script.video_id}.mp4"


def _plain(config: NeedleConfig) -> dict[str, Any]:
    """A config as JSON values."""
    haystack = None if config.haystack is None else Path(config.haystack).name
    return {**asdict(config), "videos": dict(config.videos), "haystack": haystack, "version": NEEDLE_VERSION}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    unfinished.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)
