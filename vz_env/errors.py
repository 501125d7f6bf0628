"""Every exception this package raises on purpose, as one tree.

::

    VZError
    ├── DatasetError (ValueError)          an annotation file or record that cannot be used
    │   └── UnknownEpisode (KeyError)      an episode id the dataset does not hold
    ├── ConfigError (ValueError)           arguments that contradict each other or are out of range
    ├── ResetNeeded (RuntimeError)         step() before reset(), or after the episode ended
    └── VideoError                         anything wrong with a video file
        ├── VideoNotFound (FileNotFoundError)   no regular file at that path
        ├── VideoRefused (PermissionError)      outside the root, too large, a format not on the list
        ├── VideoDecodeError (OSError)          the file is there but its pictures are not
        │   ├── NoVideoStream                   it opens, but holds no moving picture
        │   └── VideoCrash                      the process that decoded it died
        └── VideoTimeout (TimeoutError)         decoding passed its deadline

An agent's mistake is never an exception: it is an `InvalidAction` outcome of the episode. What stands here is either a
caller's mistake (`DatasetError`, `ConfigError`, `ResetNeeded`) or a fault of the infrastructure (`VideoError`), and a
fault is never scored as a wrong answer. Messages say what was wanted, what was got, and what to do.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DatasetError",
    "NoVideoStream",
    "ResetNeeded",
    "UnknownEpisode",
    "VZError",
    "VideoCrash",
    "VideoDecodeError",
    "VideoError",
    "VideoNotFound",
    "VideoRefused",
    "VideoTimeout",
]


class VZError(Exception):
    """Root of everything this package raises on purpose."""


class DatasetError(VZError, ValueError):
    """Raised when an annotation file or one of its records cannot be used; names the file and the line."""


class UnknownEpisode(DatasetError, KeyError):
    """Raised when an episode id is asked for that the dataset does not hold."""

    def __str__(self) -> str:
        """Show the plain message: `KeyError` would show its repr."""
        return str(self.args[0]) if self.args else ""


class ConfigError(VZError, ValueError):
    """Raised when arguments contradict each other or are out of range."""


class ResetNeeded(VZError, RuntimeError):
    """Raised when `step` is called before `reset` or after the episode ended."""


class VideoError(VZError):
    """Root of everything that can be wrong with a video file."""


class VideoNotFound(VideoError, FileNotFoundError):
    """Raised when there is no regular file at a video's path."""


class VideoRefused(VideoError, PermissionError):
    """Raised when a file may not be opened: outside the root, too large, a format or size that is not allowed."""


class VideoDecodeError(VideoError, OSError):
    """Raised when a file opens but its pictures cannot be decoded."""


class NoVideoStream(VideoDecodeError):
    """Raised when a file holds no moving picture (audio only, a cover image only)."""


class VideoCrash(VideoDecodeError):
    """Raised when the process in which a file was decoded (`isolation="process"`) died of it."""


class VideoTimeout(VideoError, TimeoutError):
    """Raised when decoding passed its deadline."""
