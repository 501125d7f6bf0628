"""A dataset's videos re-encoded small and with many keyframes, for training runs that zoom thousands of times.

The copy is a dataset of its own: the same tree, every video as `<name>.mp4`, annotation files with their `video` fields
adjusted, everything else (subtitles) copied. What is done is written down after every video, so the same call continues
an interrupted one; a source that changed is done again.
"""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from vz_env.errors import ConfigError, DatasetError, VideoError
from vz_env.video.reader import VideoReader
from vz_env.video.reencode import ReencodeStopped, reencode_video

from .prepared_book import PreparedBook, Progress, SourceMeter
from .records import write_atomically

__all__ = ["GROUP_FRAMES", "QUALITY", "PrepareResult", "PrepareSettings", "prepare_dataset"]

GROUP_FRAMES: Final = 30
QUALITY: Final = 23
MANIFEST_NAME: Final = "prepared.json"
SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts"})


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What the copies are like."""

    max_pixels: int = 100_352
    """Most pixels of a frame: what the environments will ask for."""
    group_frames: int = GROUP_FRAMES
    """Frames from one keyframe to the next."""
    quality: int = QUALITY
    """x264's crf: lower is larger and better."""

    def __post_init__(self) -> None:
        """Refuse what x264 or a zoom could not use."""
        if self.max_pixels < 16 * 16 or self.group_frames < 1 or not 0 <= self.quality <= 51:
            raise ConfigError(
                f"wanted at least 256 pixels, a group of at least 1 frame and a quality of 0 to 51, got {self}"
            )


@dataclass(slots=True, kw_only=True)
class PrepareResult:
    """What a call did: sources and copies in bytes, and why videos failed (path within the root -> reason)."""

    done: list[Path] = field(default_factory=list)
    found_done: int = 0
    source_bytes: int = 0
    copy_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    is_stopped: bool = False


def prepare_dataset(
    root: Path,
    out: Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> PrepareResult:
    """Re-encode every video under a folder into another folder.

    Args:
        root: the dataset; nothing in it is changed.
        out: where the copy goes; outside of `root`.
        settings: what the copies are like.
        workers: videos encoded at the same time.
        progress: told after every video, and now and then within.
        should_stop: asked all the time; once true, the call returns and a later one continues.

    Returns:
        What was done. A video that cannot be read is in `failed`, and the others are done.

    Raises:
        ConfigError: folders that cannot be used, other settings than the folder was begun with, no encoder.
        DatasetError: the copy cannot be written.
    """
    settings = settings or PrepareSettings()
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    root, out = _check_folders(root, out)
    book = PreparedBook(out / MANIFEST_NAME, asdict(settings))
    sources = _find_videos(root)
    if not sources:
        raise ConfigError(f"no videos under {root}: wanted files named {', '.join(sorted(SUFFIXES))}")
    job = _Job((root, out), settings, book, SourceMeter(sources, progress), should_stop or (lambda: False))
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="vz-prepare") as pool:
            for future in as_completed([pool.submit(job.run, source) for source in sources]):
                future.result()
        if not job.result.is_stopped:
            _copy_the_rest(root, out, set(sources), job.result)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise DatasetError(f"{out}: the copy cannot be written: {error}") from error
    return job.result


class _Job:
    """One call of `prepare_dataset`."""

    def __init__(
        self,
        folders: tuple[Path, Path],
        settings: PrepareSettings,
        book: PreparedBook,
        meter: SourceMeter,
        should_stop: Callable[[], bool],
    ) -> None:
        self.root, self.out = folders
        self.settings, self.book = settings, book
        self.meter, self.should_stop = meter, should_stop
        self.result = PrepareResult()
        self._lock = threading.Lock()

    def run(self, source: Path) -> None:
        """Do one video, unless it is done."""
        if self.should_stop():
            self.result.is_stopped = True
            return
        copy = _copy_path(self.root, self.out, source)
        name = source.relative_to(self.root).as_posix()
        if self.book.is_done(name, source, copy):
            self._count(source, copy, is_new=False)
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            with VideoReader(source, root=self.root) as reader:
                duration = reader.info.duration_seconds
            reencode_video(
                source,
                copy,
                root=self.root,
                max_pixels=self.settings.max_pixels,
                group_frames=self.settings.group_frames,
                quality=self.settings.quality,
                progress=lambda seconds: self.meter.reach(source, seconds / duration),
                should_stop=self.should_stop,
            )
        except ReencodeStopped:
            self.result.is_stopped = True
        except VideoError as error:
            with self._lock:
                self.result.failed[name] = str(error)
            self.meter.add(source)
        else:
            self.book.enter(name, source)
            self._count(source, copy, is_new=True)

    def _count(self, source: Path, copy: Path, *, is_new: bool) -> None:
        with self._lock:
            self.result.source_bytes += source.stat().st_size
            self.result.copy_bytes += copy.stat().st_size
            if is_new:
                self.result.done.append(source)
            else:
                self.result.found_done += 1
        self.meter.add(source)


def _check_folders(root: Path, out: Path) -> tuple[Path, Path]:
    """Settle both folders; neither may lie inside the other, or a second call would encode its own copies."""
    if not root.is_dir():
        raise ConfigError(f"wanted a folder of videos, got {root}")
    root, out = root.resolve(), out.resolve()
    if out.is_relative_to(root) or root.is_relative_to(out):
        raise ConfigError(f"the copy must lie apart from the dataset: {out} and {root} contain one another")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"wanted a folder to write to, got {out}")
    return root, out


def _find_videos(root: Path) -> list[Path]:
    """Every video under a folder, in order; a name that begins with a dot is none.

    Raises:
        ConfigError: two videos would have the same copy.
    """
    found = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    copies: dict[Path, Path] = {}
    for path in found:
        other = copies.setdefault(path.with_suffix(".mp4"), path)
        if other != path:
            raise ConfigError(f"{other} and {path} would both become {path.with_suffix('.mp4').name}; rename one")
    return found


def _copy_path(root: Path, out: Path, source: Path) -> Path:
    return (out / source.relative_to(root)).with_suffix(".mp4")


def _copy_the_rest(root: Path, out: Path, sources: set[Path], result: PrepareResult) -> None:
    """Copy what is no video; annotation files with their videos' new names."""
    renamed = {
        source.relative_to(root).as_posix(): _copy_path(root, out, source).relative_to(out).as_posix()
        for source in sources
        if source.relative_to(root).as_posix() not in result.failed
    }
    for path in sorted(root.rglob("*")):
        if path in sources or not path.is_file():
            continue
        target = out / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl":
            write_atomically(target, "".join(_renamed_lines(path, renamed)).encode("utf-8", "surrogateescape"))
        else:
            shutil.copy2(path, target)


def _renamed_lines(path: Path, renamed: dict[str, str]) -> Iterator[str]:
    """The lines of an annotation file; a line that is no record stays as it is, for the loader to complain about."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        for line in lines:
            try:
                record = json.loads(line)
                video = renamed[Path(record["video"]).as_posix()]
            except (ValueError, KeyError, TypeError, RecursionError):
                yield line
                continue
            yield line if video == record["video"] else json.dumps({**record, "video": video}) + "\n"
