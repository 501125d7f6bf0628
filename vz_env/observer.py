"""Looks at moments of an episode's video: frames for a policy that sees, words for one that reads.

Words are kept in one bounded cache a process: many episodes ask about one video, and its overview is the same in all of
them. When nobody wants the pixels and the words are known, no video is opened.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .action_types import Crop
from .cropping import crop_frames
from .episode import Episode, SubtitleFile
from .errors import ConfigError
from .look import Look, VideoClock, no_frames
from .pictures import PICTURE_WORDS, question_picture
from .recent_cache import RecentCache
from .subtitles import SubtitleTrack, load_subtitles
from .video.access import resolve_video
from .video.describe import Describer, make_describer, mark_changes
from .video.index import VideoInfo
from .video.opening import open_reader

__all__ = ["Look", "Observer", "VideoClock", "forget_words", "no_frames"]

_FRAMES_PER_CALL: Final = 128  # below the reader's limit of one call, and bounds what describing keeps in memory
_DURATION_TOLERANCE_SECONDS: Final = 1.0

# 64k descriptions of some 300 bytes each with their keys: about 20 MB when full.
_words: Final = RecentCache[str](max_entries=65_536)
_infos: Final = RecentCache[VideoInfo](max_entries=4_096)


def forget_words() -> None:
    """Empty the caches of descriptions and durations of this process."""
    _words.clear()
    _infos.clear()


class Observer:
    """Looks at the videos of one dataset, always at the same size and in the same words.

    Args:
        describe: `none`, `palette`, `captions`, or a callable (frame, timestamp, episode) -> text.
        root: folder that every video must lie in, None for no bound.
        max_pixels: most pixels of a frame, its aspect kept.
        frame_size: (width, height) of every frame instead.
        with_frames: whether `look` hands out frames.
    """

    def __init__(
        self,
        *,
        describe: str | Describer,
        root: Path | None,
        max_pixels: int,
        frame_size: tuple[int, int] | None,
        with_frames: bool,
    ) -> None:
        """Check and keep the settings; nothing is opened."""
        if frame_size is not None and min(frame_size) < 2:
            raise ConfigError(f"frame_size must be (width, height) of at least 2 pixels, got {frame_size!r}")
        make_describer(describe)  # finds an unknown name now; what it returns for a callable cannot be pickled
        self._describe = describe
        self._root = root
        self._max_pixels = max_pixels
        self._frame_size = (int(frame_size[0]), int(frame_size[1])) if frame_size else None  # a spec gives a list
        self._with_frames = with_frames

    def duration_seconds(self, episode: Episode) -> float:
        """Length of the episode's video.

        The annotated length stands when it agrees with the file to a second (people round), else the file's does.

        Raises:
            VideoError: when the file cannot be opened.
        """
        probed = float(self._info(episode).duration_seconds)
        annotated = episode.duration_seconds
        if annotated is not None and abs(annotated - probed) <= _DURATION_TOLERANCE_SECONDS:
            return float(annotated)
        return probed

    def clock(self, episode: Episode) -> VideoClock:
        """The length of the episode's video, and how its frames are counted.

        Raises:
            VideoError: when the file cannot be opened.
        """
        info = self._info(episode)
        count = round(float(info.duration_seconds) * info.average_fps)
        counted = max(1, count) if info.average_fps > 0 else 0
        return VideoClock(self.duration_seconds(episode), counted, info.average_fps)

    def track(self, episode: Episode) -> SubtitleTrack:
        """The episode's subtitles; a track without lines where it has none.

        Raises:
            DatasetError: the subtitle file cannot be read.
        """
        return _track(episode.subtitles) if episode.subtitles is not None else SubtitleTrack(())

    def _info(self, episode: Episode) -> VideoInfo:
        """What the file holds; opened once."""
        identity = resolve_video(episode.video_path, self._root)
        info = _infos.get(identity)
        if info is None:
            info = open_reader(episode.video_path, self._root).info
            _infos.put(identity, info)
        return info

    def look(self, episode: Episode, timestamps_seconds: NDArray[np.float64], crop: Crop | None = None) -> Look:
        """See and describe the frames at some moments.

        Args:
            episode: whose video to look at.
            timestamps_seconds: float64 (n,) within the video.
            crop: the part of the picture to look at; None for all of it.

        Returns:
            The frames (none of them when built without frames) and a one-line description of each.

        Raises:
            VideoError: when the video cannot be read.
        """
        if self._with_frames:
            frames = self.frames(episode, timestamps_seconds, *_given(crop))
            words = self._words(episode, timestamps_seconds, frames, crop)
        else:
            frames = no_frames()
            words = [line for chunk in _chunks(timestamps_seconds) for line in self._words(episode, chunk, None, crop)]
        return Look(frames, timestamps_seconds, tuple(mark_changes(words) if self._describe == "palette" else words))

    def pictures(self, episode: Episode, beside: Look, end_seconds: float) -> Look:
        """The pictures of the question, in the size of the frames they are shown beside, at the end of the video.

        Without frames they are named and not opened. A describer of one's own is asked about them.

        Raises:
            VideoError: a picture cannot be read.
        """
        paths, frames = episode.question_images, no_frames()
        words: list[str] = [PICTURE_WORDS] * len(paths)
        if self._with_frames and paths:
            seen = beside.frames
            size = (seen.shape[2], seen.shape[1]) if len(seen) else self._frame_size
            fitted = {"size": size, "max_pixels": self._max_pixels}
            read = [question_picture(path, self._root, **fitted) for path in paths]  # type: ignore[arg-type]
            if size is None:  # nothing to go by: the first picture says the size of the others
                size = (read[0].shape[1], read[0].shape[0])
                read = [question_picture(path, self._root, size=size, max_pixels=self._max_pixels) for path in paths]
            frames = np.stack(read)
            if callable(self._describe):
                said = self._describe_frames(episode, np.full(len(paths), end_seconds), frames, None)
                words = [f"{PICTURE_WORDS}, {line}" if line else PICTURE_WORDS for line in said]
        return Look(frames, np.full(len(paths), end_seconds), tuple(words))

    def keyframe_times(self, episode: Episode, timestamps_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """When the keyframes at or before some moments are presented: float64 (n or fewer,), rising, each once.

        Raises:
            VideoError: when the video cannot be read.
        """
        reader = open_reader(episode.video_path, self._root)
        parts = [reader.keyframe_times(chunk) for chunk in _chunks(timestamps_seconds)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0)

    def warm(self, episode: Episode, timestamps_seconds: NDArray[np.float64]) -> None:
        """Bring into the caches what `look` wants at these moments: several looks then share one pass over the video.

        Raises:
            VideoError: when the video cannot be read.
        """
        for chunk in _chunks(timestamps_seconds):
            if self._with_frames or callable(self._describe):
                self.frames(episode, chunk)
            else:
                self._words(episode, chunk, None)

    def frames(
        self, episode: Episode, timestamps_seconds: NDArray[np.float64], crop: Crop | None = None
    ) -> NDArray[np.uint8]:
        """Decode the frames at some moments: uint8 (n, height, width, 3), read-only."""
        if not len(timestamps_seconds):
            return no_frames()
        reader = open_reader(episode.video_path, self._root)
        if crop is not None:
            return crop_frames(reader, timestamps_seconds, crop, size=self._frame_size, max_pixels=self._max_pixels)
        pixels = None if self._frame_size else self._max_pixels
        parts = [
            reader.frames_at(chunk, size=self._frame_size, max_pixels=pixels).frames
            for chunk in _chunks(timestamps_seconds)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _words(
        self,
        episode: Episode,
        timestamps_seconds: NDArray[np.float64],
        frames: NDArray[np.uint8] | None,
        crop: Crop | None = None,
    ) -> list[str]:
        """One line for each moment, from the cache where it can be; decodes only what has to be looked at."""
        times = timestamps_seconds.tolist()
        if self._describe in ("none", "captions"):  # no pixels in these: captions are read from the text track
            describer, nothing = make_describer(self._describe), np.zeros((0, 0, 3), dtype=np.uint8)
            return [describer(nothing, time, episode) for time in times]
        if self._describe != "palette":  # a callable may look at anything: nothing is known to cache it by
            return self._describe_frames(episode, timestamps_seconds, frames, crop)
        video = (resolve_video(episode.video_path, self._root), self._frame_size or self._max_pixels, crop)
        known = [_words.get((video, time)) for time in times]
        missing = [index for index, line in enumerate(known) if line is None]
        if missing:
            seen = frames[missing] if frames is not None else None
            fresh = self._describe_frames(episode, timestamps_seconds[missing], seen, crop)
            for index, line in zip(missing, fresh, strict=True):
                known[index] = line
                _words.put((video, times[index]), line)
        return [line or "" for line in known]

    def _describe_frames(
        self,
        episode: Episode,
        timestamps_seconds: NDArray[np.float64],
        frames: NDArray[np.uint8] | None,
        crop: Crop | None,
    ) -> list[str]:
        """Describe frames, decoding them first when they are not at hand."""
        describer = make_describer(self._describe)
        if frames is None:
            frames = self.frames(episode, timestamps_seconds, *_given(crop))
        pairs = zip(frames, timestamps_seconds.tolist(), strict=True)
        return [describer(frame, time, episode) for frame, time in pairs]


def _given(crop: Crop | None) -> tuple[Crop, ...]:
    """A crop as an optional argument."""
    return () if crop is None else (crop,)


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    """Load a track once: it may be searched in every turn."""
    return load_subtitles(file)


def _chunks(timestamps_seconds: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut timestamps into runs that the reader takes in one call."""
    starts = range(0, len(timestamps_seconds), _FRAMES_PER_CALL)
    return [timestamps_seconds[start : start + _FRAMES_PER_CALL] for start in starts]
