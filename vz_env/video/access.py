"""The only place that opens a video: paths, limits, protocols, and the mapping of foreign exceptions.

FFmpeg opens far more than video files: playlists that name other files or hosts, session descriptions that bind ports,
pipes that never end. So a path is resolved and checked here, handed over as an absolute `file:` name with both a
protocol and a format whitelist (either alone leaves a hole), and whatever is raised becomes a `VideoError`.

It is not a sandbox: a bug in a demuxer or decoder runs with the rights of this process.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import av
import av.logging
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..errors import (
    NoVideoStream,
    VideoDecodeError,
    VideoError,
    VideoNotFound,
    VideoRefused,
    VideoTimeout,
)
from .diagnosis import likely_cause
from .limits import DecodeLimits

__all__ = ["DecodeLimits", "FileIdentity", "create_video", "map_errors", "open_video", "resolve_video", "video_stream"]

# FFmpeg's log lines take the interpreter lock from decoder threads and can deadlock there.
av.logging.set_level(None)

FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"
CODECS: Final = frozenset(
    {
        *("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video"),
        *("mjpeg", "h263", "msmpeg4v2", "msmpeg4v3", "prores", "ffv1"),
    }
)


class FileIdentity(NamedTuple):
    """What makes two opens the same video: path, and what the file system says of the file."""

    path: str
    device: int
    inode: int
    size: int
    modified_ns: int


def resolve_video(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, limits: DecodeLimits | None = None
) -> FileIdentity:
    """Find the regular file behind a path, without opening it.

    Args:
        path: the file; relative paths count from `root`, or from the working directory without one.
        root: when given, the resolved file (symbolic links followed) must lie inside this folder.
        limits: `max_file_bytes` is checked.

    Raises:
        VideoNotFound: nothing there, or not a regular file (a folder, a pipe, a device).
        VideoRefused: outside the root, too large, or not readable.
    """
    limits = limits or DecodeLimits()
    try:
        base = Path(root).resolve(strict=True) if root is not None else None
        resolved = (base / path if base is not None else Path(path)).resolve(strict=True)
        if base is not None and not resolved.is_relative_to(base):
            raise VideoRefused(f"{path}: leaves the folder it must stay in ({base}); move the file inside")
        status = resolved.stat()
    except VideoError:
        raise
    except PermissionError as error:
        raise VideoRefused(f"{path}: may not be read ({error.strerror}); check its permissions") from error
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL inside, a loop of links
        raise VideoNotFound(f"{path}: no such video file ({type(error).__name__}); check the path") from error
    if not stat.S_ISREG(status.st_mode):
        # A pipe would block inside FFmpeg for ever, whatever timeout is set.
        raise VideoNotFound(f"{path}: wanted a regular file, got a {_kind(status.st_mode)}")
    if status.st_size > limits.max_file_bytes:
        raise VideoRefused(f"{path}: {status.st_size} bytes, the limit is {limits.max_file_bytes} (max_file_bytes)")
    return FileIdentity(str(resolved), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _kind(mode: int) -> str:
    """Name what stands in a file's place."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return kinds.get(stat.S_IFMT(mode), "socket or other special file")


def open_video(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    limits: DecodeLimits | None = None,
) -> tuple[InputContainer, FileIdentity]:
    """Open a video file safely. The caller closes the container.

    Args:
        path: a file path, never a URL; see `resolve_video`.
        root: folder the file must lie inside.
        limits: sizes and times that may not be exceeded.

    Returns:
        The open container, and the identity of the file it was opened from.

    Raises:
        VideoNotFound, VideoRefused: see `resolve_video`; also a format, codec or picture size that is not allowed.
        NoVideoStream: the file holds no moving picture.
        VideoDecodeError: not a video, or too damaged to open; the message names the likely cause.
        VideoTimeout: reading the header took too long.
    """
    limits = limits or DecodeLimits()
    identity = resolve_video(path, root, limits)
    with map_errors(identity.path, "opening"):
        container = av.open(
            f"file:{identity.path}",
            mode="r",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS, "fflags": "genpts"},
            metadata_errors="replace",
            timeout=limits.timeout_seconds,
        )
        try:
            if resolve_video(identity.path, None, limits) != identity:
                raise VideoRefused(f"{identity.path}: the file changed while it was being opened")
            _check_stream(container, identity, limits)
        except BaseException:
            container.close()
            raise
    return container, identity


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the stream to read: the one marked default among the moving pictures, else the first.

    Raises:
        NoVideoStream: audio only, or nothing but a cover image.
    """
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not moving:
        kinds = sorted({str(s.type) for s in container.streams}) or ["no streams"]
        raise NoVideoStream(f"{path}: wanted a moving picture, the file holds only {', '.join(kinds)}")
    return next((s for s in moving if s.disposition & av.stream.Disposition.default), moving[0])


def _check_stream(container: InputContainer, identity: FileIdentity, limits: DecodeLimits) -> None:
    """Check codec, picture size and time base before a single picture is decoded."""
    stream = video_stream(container, identity.path)
    codec = stream.codec_context
    if codec is None:
        raise VideoDecodeError(f"{identity.path}: no decoder for its video codec; re-encode it to H.264")
    name = codec.codec.canonical_name
    if name not in CODECS:
        raise VideoRefused(f"{identity.path}: codec {name!r} is not on the list ({', '.join(sorted(CODECS))})")
    if codec.width <= 0 or codec.height <= 0 or not stream.time_base:
        raise VideoDecodeError(f"{identity.path}: the header gives no picture size; the file is damaged")
    if name in {"h264", "hevc"} and codec.has_b_frames and container.format.name == "avi":
        # avi stores no presentation times, and the ones FFmpeg makes up for reordered pictures are wrong.
        raise VideoRefused(
            f"{identity.path}: {name} with reordered pictures inside avi has no presentation times; re-encode it to mp4"
        )
    if codec.width * codec.height > limits.max_frame_pixels:
        raise VideoRefused(
            f"{identity.path}: pictures of {codec.width}x{codec.height}, the limit is {limits.max_frame_pixels} pixels "
            "(max_frame_pixels); re-encode it smaller"
        )
    # FFmpeg checks this one again for every picture: a stream may change its size half-way.
    codec.options = {"max_pixels": str(limits.max_frame_pixels)}


@contextmanager
def create_video(
    path: str | os.PathLike[str], *, options: Mapping[str, str] | None = None
) -> Iterator[OutputContainer]:
    """Open a container for writing; the file appears under its name only when the block ends without an exception.

    Args:
        path: where to; the suffix chooses the format, the folder exists, a file already there is replaced at the end.
        options: of the format, such as `{"movflags": "faststart"}`.

    Yields:
        An empty container: add streams, encode, mux. It is closed here.
    """
    final = Path(path)
    unfinished = final.with_name(f".{final.stem}.{os.getpid()}.{threading.get_ident()}{final.suffix}")
    try:
        with av.open(f"file:{unfinished}", "w", container_options=dict(options or {})) as container:
            yield container
        unfinished.replace(final)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def map_errors(path: str | Path, doing: str) -> Iterator[None]:
    """Turn anything that FFmpeg or the file system raises into a `VideoError` that names the file and the likely cause.

    Damaged files make FFmpeg raise more than its own errors (IndexError, UnicodeDecodeError and MemoryError were seen),
    so this one boundary catches `Exception`.
    """
    try:
        yield
    except VideoError:
        raise
    except av.error.TimeoutError as error:
        raise VideoTimeout(f"{path}: {doing} took too long; raise DecodeLimits.timeout_seconds") from error
    except av.error.ExitError as error:
        raise VideoTimeout(f"{path}: {doing} was interrupted at its deadline") from error
    except Exception as error:
        refused, cause = likely_cause(path)
        reason = cause or getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        kind = VideoRefused if refused else VideoDecodeError
        raise kind(f"{path}: {doing} failed: {reason}") from error
