"""One open file that pictures come from, decoded in this process. Not thread-safe: its reader takes turns."""

from __future__ import annotations

import os
from collections.abc import Collection
from fractions import Fraction
from typing import Protocol

from ..errors import VideoDecodeError, VideoRefused
from .access import FileIdentity, map_errors, open_video, video_stream
from .crew import DecodingCrew
from .gather import Found
from .index import Demuxer, VideoInfo
from .limits import Deadline, DecodeLimits
from .measured import Measured, load_measured, save_measured
from .plan import PacketPlan
from .probe import probe_video
from .scaling import PictureScaler
from .survey import PacketSurvey, Progress, survey_packets
from .timeline import Timeline

__all__ = ["LocalSource", "PictureSource"]


class PictureSource(Protocol):
    """What a `VideoReader` wants of the open file behind it."""

    identity: FileIdentity
    info: VideoInfo
    timeline: Timeline
    time_base: Fraction

    def decode(self, ticks: Collection[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Return the pictures on at the given ticks, all of them."""
        ...

    def keyframes_at(self, ticks: Collection[int], deadline: Deadline) -> dict[int, int]:
        """Return the tick of the last keyframe presented at or before each of the given ticks."""
        ...

    def survey(self, deadline: Deadline, progress: Progress | None = None) -> PacketSurvey:
        """Read every packet once."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class LocalSource:
    """A file opened and decoded in this process.

    Args:
        path: video file.
        root: folder that it must lie inside.
        limits: sizes and times that may not be exceeded.
        workers: decoder threads.
        keeps_measurements: whether what is measured is kept in the cache folder, and taken from there.

    Raises:
        VideoError: the file cannot be opened, see `open_video` and `probe_video`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None,
        limits: DecodeLimits,
        workers: int,
        keeps_measurements: bool = True,
    ) -> None:
        """Open the file, and measure it unless that was done before."""
        self._keeps = keeps_measurements
        self._container, self.identity = open_video(path, root=root, limits=limits)
        try:
            with map_errors(self.identity.path, "probing"):
                stream = video_stream(self._container, self.identity.path)
                self._demuxer = Demuxer(self._container, stream, self.identity.path)
                self._crew = DecodingCrew(stream, workers=workers)
                known = self._measure(limits)
        except BaseException:
            self._container.close()
            raise
        self.info, self.timeline = known.info, known.timeline
        self.time_base = self._demuxer.time_base
        self._demuxer.keyframe_ticks = known.keyframe_ticks

    def _measure(self, limits: DecodeLimits) -> Measured:
        """Take the measurements from the cache folder, or make them."""
        known = load_measured(self.identity) if self._keeps else None
        if known is None:
            deadline = Deadline(limits.timeout_seconds, self.identity.path)
            probed = probe_video(self._demuxer, self._crew, self.identity, deadline)
            known = Measured(probed.info, probed.timeline)
            if self._keeps:
                save_measured(self.identity, known)
        if known.info.duration_seconds > limits.max_duration_seconds:
            raise VideoRefused(
                f"{self.identity.path}: {known.info.duration_seconds:.0f} s long, the limit is "
                f"{limits.max_duration_seconds:.0f} s (max_duration_seconds)"
            )
        return known

    def decode(self, ticks: Collection[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Plan and decode.

        Raises:
            VideoDecodeError: one of the pictures cannot be decoded.
            VideoTimeout: the deadline passed.
        """
        found: Found = {}
        with map_errors(self.identity.path, "decoding"):
            scale = PictureScaler(*size, self.info.rotation_degrees)
            plan = PacketPlan(self._demuxer, self.timeline, deadline)
            pictures = self._crew.decode(plan.runs(sorted(ticks)), scale, deadline)
            for tick in ticks:
                shown = plan.shown_at[tick]
                if shown not in pictures:
                    frame = self._crew.rescue(self._demuxer, self.timeline.first_tick, shown, deadline)
                    if frame.pts is None:
                        raise VideoDecodeError(f"{self.identity.path}: a picture came out without a time; re-encode it")
                    shown = frame.pts
                    pictures[shown] = scale(frame)
                found[tick] = (shown, pictures[shown])
        return found

    def keyframes_at(self, ticks: Collection[int], deadline: Deadline) -> dict[int, int]:
        """Look up keyframes.

        Raises:
            VideoDecodeError: no keyframe can be read.
            VideoTimeout: the deadline passed.
        """
        with map_errors(self.identity.path, "looking for keyframes"):
            return {tick: self._demuxer.keyframe_at(tick, deadline) for tick in ticks}

    def survey(self, deadline: Deadline, progress: Progress | None = None) -> PacketSurvey:
        """Read every packet once, and keep where the keyframes are.

        Raises:
            VideoTimeout: the deadline passed.
        """
        with map_errors(self.identity.path, "reading packets"):
            found = survey_packets(self._demuxer, self.timeline, deadline, progress)
        self._demuxer.keyframe_ticks = found.keyframe_ticks
        if self._keeps:
            save_measured(self.identity, Measured(self.info, self.timeline, found.keyframe_ticks))
        return found

    def close(self) -> None:
        """Stop the threads and close the file."""
        self._crew.close()
        self._demuxer.close()
        self._container.close()
