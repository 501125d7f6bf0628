"""Measure a freshly opened video: where it begins and ends, how its picture is shown, whether it is whole."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from av.video.frame import VideoFrame

from ..errors import VideoDecodeError
from .access import FileIdentity
from .crew import DecodingCrew
from .index import Demuxer, VideoInfo, VideoPacket
from .limits import Deadline
from .timeline import Tail, Timeline, declared_end, find_first_tick, find_tail

__all__ = ["ProbedVideo", "probe_video"]

MAX_DAMAGED_TAIL = 16
"""How many pictures at the end of a truncated file may be undecodable before the whole file counts as damaged."""

CLOCK_PLACES = 16
"""So many places of an mpegts file are compared when it is first opened."""

PACKET_SIZES = (188, 192, 204)
"""mpegts is made of packets of one of these sizes; a file that is no multiple of any was cut."""


@dataclass(frozen=True, slots=True)
class ProbedVideo:
    """What `probe_video` found."""

    info: VideoInfo
    timeline: Timeline


def probe_video(demuxer: Demuxer, crew: DecodingCrew, identity: FileIdentity, deadline: Deadline) -> ProbedVideo:
    """Measure a video: one picture is decoded at its start, and more only when its end looks damaged.

    Raises:
        VideoDecodeError: no picture can be decoded.
        VideoTimeout: the deadline passed.
    """
    if "mpegts" in demuxer.container.format.name:
        _check_clock(demuxer, identity, deadline)
    first_tick, packets = find_first_tick(demuxer, deadline)
    frame = _first_picture(crew, packets)
    if frame is not None and frame.pts is not None and frame.pts < first_tick:
        first_tick = frame.pts  # a leading picture that can be decoded without what came before
    tail = find_tail(demuxer, first_tick, deadline)
    is_truncated = _is_truncated(demuxer, identity, tail, first_tick)
    if is_truncated:
        tail = _settled_tail(tail)
    if is_truncated or "mpegts" in demuxer.container.format.name:
        # mpegts hands out a last picture that is cut without a word.
        whole = _decodable_tail(demuxer, crew, tail, first_tick, deadline)
        is_truncated = is_truncated or whole.last_tick < tail.last_tick
        tail = whole
    timeline = Timeline(first_tick, tail.last_tick, tail.end_tick)
    duration = float((timeline.end_tick - first_tick) * demuxer.time_base)
    rotation = 0 if frame is None else round(frame.rotation / 90) * 90 % 360
    width, height = _shown_size(demuxer, rotation)
    info = VideoInfo(
        duration_seconds=duration,
        width=width,
        height=height,
        average_fps=float(demuxer.stream.average_rate or 0),
        codec=demuxer.stream.codec_context.codec.canonical_name,
        container=demuxer.container.format.name,
        file_bytes=identity.size,
        rotation_degrees=rotation,
        is_truncated=is_truncated,
    )
    return ProbedVideo(info, timeline)


def _check_clock(demuxer: Demuxer, identity: FileIdentity, deadline: Deadline) -> None:
    """Refuse recordings that were put one after the other: one time would mean several pictures, and some never show.

    Raises:
        VideoDecodeError: times go back somewhere in the file.
    """
    latest: int | None = None
    for place in range(CLOCK_PLACES):
        clock = demuxer.clock_at_byte(identity.size * place // CLOCK_PLACES, deadline)
        if clock is not None and latest is not None and clock < latest:
            raise VideoDecodeError(
                f"{identity.path}: its clock goes back within the file, as where recordings were joined byte by byte; "
                "write it anew with one clock (ffmpeg's concat does)"
            )
        latest = clock if clock is not None else latest


def _first_picture(crew: DecodingCrew, packets: list[VideoPacket]) -> VideoFrame | None:
    """Decode the first picture that comes out, or None when the beginning is damaged."""
    decoder = crew.first
    decoder.reset()
    for packet in (*packets, None):
        frames = decoder.feed(packet)
        if frames:
            decoder.reset()
            return frames[0]
    decoder.reset()
    return None


def _is_truncated(demuxer: Demuxer, identity: FileIdentity, tail: Tail, first_tick: int) -> bool:
    """Whether the file ends before the end it declares, or in the middle of something."""
    if tail.broken or _has_gap(tail):
        return True
    if "mpegts" in demuxer.container.format.name:
        return all(identity.size % size for size in PACKET_SIZES)
    if demuxer.container.format.name == "avi" and demuxer.stream.frames:
        # The demuxer scales the declared duration to the bytes that are there, but keeps the number of frames.
        frame_ticks = tail.end_tick - tail.last_tick
        return demuxer.stream.frames * frame_ticks - (tail.end_tick - first_tick) > 3 * frame_ticks
    declared, of_this_stream = declared_end(demuxer)
    if declared is None:
        return False
    # The whole container may rightly last longer than its pictures: the sound goes on.
    slack = max(3 * (tail.end_tick - tail.last_tick), demuxer.ticks(0.25))
    if not of_this_stream:
        slack = max(slack, demuxer.ticks(1.0), (declared - first_tick) // 50)
    return declared - tail.end_tick > slack


def _has_gap(tail: Tail) -> bool:
    """Whether reordered pictures are missing near the end: a hole where all steps before it were equal."""
    steps = [later - earlier for earlier, later in itertools.pairwise(tail.ticks)]
    late = sum(tick > tail.settled_tick for tick in tail.ticks[1:])
    if late == 0 or len(steps) - late < 2:
        return False
    regular = steps[:-late]
    return max(regular) - min(regular) <= 1 and max(steps[-late:]) > max(regular) * 1.5


def _settled_tail(tail: Tail) -> Tail:
    """Drop the last pictures of a truncated file whose neighbours in time may be missing."""
    kept = [tick for tick in tail.ticks if tick <= tail.settled_tick] or tail.ticks[:1]
    end = tail.end_tick if len(kept) == len(tail.ticks) else kept[-1] + tail.end_tick - tail.last_tick
    return Tail(kept, end, tail.settled_tick, tail.broken)


def _decodable_tail(demuxer: Demuxer, crew: DecodingCrew, tail: Tail, first_tick: int, deadline: Deadline) -> Tail:
    """Cut the end back to the last picture that decodes."""
    tried = 0
    while True:
        for count in range(len(tail.ticks), 0, -1):
            try:
                crew.rescue(demuxer, first_tick, tail.ticks[count - 1], deadline)
            except VideoDecodeError:
                tried += 1
                if tried >= MAX_DAMAGED_TAIL or tail.ticks[0] <= first_tick:
                    raise
                continue
            end = tail.end_tick if count == len(tail.ticks) else tail.ticks[count]
            return Tail(tail.ticks[:count], end, tail.settled_tick, tail.broken)
        tail = find_tail(demuxer, first_tick, deadline, before=tail.ticks[0])


def _shown_size(demuxer: Demuxer, rotation_degrees: int) -> tuple[int, int]:
    """Picture size as shown: pixel aspect applied by shrinking one side, then turned."""
    context = demuxer.stream.codec_context
    width, height = context.width, context.height
    aspect = float(demuxer.stream.sample_aspect_ratio or 1)
    if 1 < aspect <= 8:
        height = max(1, round(height / aspect))
    elif 1 / 8 <= aspect < 1:
        width = max(1, round(width * aspect))
    return (height, width) if rotation_degrees in (90, 270) else (width, height)
