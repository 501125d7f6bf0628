"""Guess from a file's first bytes why it is not the video that its name says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["likely_cause"]

HEAD_BYTES: Final = 512
MAX_BOXES: Final = 64

_PLAYLISTS: Final = (b"#extm3u", b"ffconcat", b"v=0", b"[playlist]", b"<mpd", b"<smil")


def likely_cause(path: str | Path) -> tuple[bool, str]:
    """Look at the head of a file that would not open or decode.

    Returns:
        Whether the file is of a kind that is never opened (a playlist: a list of other files or hosts), and a sentence
        on the likely cause, empty when the head looks like a real container.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, 2)
    except OSError as error:
        return False, f"the file can no longer be read ({error.strerror})"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_PLAYLISTS) or b"<mpd" in start:
        return True, "it is a playlist, not a video, and playlists are never followed"
    if head[4:8] == b"ftyp" and not _has_movie_box(Path(path), size):
        return False, "its index (the moov box) is missing: the recording or the download did not finish"
    return False, _not_a_video(head, start, size)


def _has_movie_box(path: Path, size: int) -> bool:
    """Walk the top-level boxes of an mp4 file; whether one of them is `moov`, whole."""
    position = 0
    with path.open("rb") as file:
        for _ in range(MAX_BOXES):
            file.seek(position)
            header = file.read(16)
            if len(header) < 16:
                return False
            length = int.from_bytes(header[:4])
            if length == 1:  # a 64-bit length follows the name
                length = int.from_bytes(header[8:16])
            if header[4:8] == b"moov":
                return position + length <= size
            if length < 8:
                return False
            position += length
    return True


def _not_a_video(head: bytes, start: bytes, size: int) -> str:
    """Say what the file looks like instead; `start` is its head in lower case, without a mark and leading blanks."""
    cause = ""
    if not head:
        cause = "the file is empty (0 bytes); the download or the copy did not finish"
    elif start.startswith(b"version https://git-lfs"):
        cause = f"it looks like a git-lfs pointer ({size} bytes); run `git lfs pull`"
    elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        cause = "it looks like a web page; the download got an error page instead of the video"
    elif not head.strip(b"\0"):
        cause = "it begins with zeros; the download or the copy did not finish"
    elif _is_text(head):
        cause = f"it looks like text, not video (begins {head[:24].decode('ascii', 'replace')!r})"
    return cause


def _is_text(head: bytes) -> bool:
    """Whether nearly all of the head is printable ASCII."""
    printable = sum(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head)
    return printable >= 0.97 * len(head)
