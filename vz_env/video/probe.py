"""Measure a freshly opened video: where it begins and ends, how its picture is shown, whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass

from av.video.frame import VideoFrame

from ..errors import VideoDecodeError, VideoRefused
from .access import Deadline, DecodeLimits, FileIdentity
from .crew import DecodingCrew
from .index import Demuxer, Tail, Timeline, VideoInfo, VideoPacket, declared_end, find_first_tick, find_tail

__all__ = ["ProbedVideo", "probe_video"]

MAX_DAMAGED_TAIL = 16
"""How many pictures at the end of a truncated file may be undecodable before the whole file counts as damaged."""

PACKET_SIZES = (188, 192, 204)
"""mpegts is made of packets of one of these sizes: a file that is no multiple of any was cut."""


@dataclass(frozen=True, slots=True)
class ProbedVideo:
    """What `probe_video` found."""

    info: VideoInfo
    timeline: Timeline


def probe_video(
    demuxer: Demuxer, crew: DecodingCrew, identity: FileIdentity, limits: DecodeLimits, deadline: Deadline
) -> ProbedVideo:
    """Measure a video: one picture is decoded at its start, and more only when its end looks damaged.

    Raises:
        VideoDecodeError: no picture can be decoded.
        VideoRefused: longer than `max_duration_seconds`.
        VideoTimeout: the deadline passed.
    """
    first_tick, packets = find_first_tick(demuxer, deadline)
    frame = _first_picture(crew, packets)
    if frame is not None and frame.pts is not None and frame.pts < first_tick:
        first_tick = frame.pts  # a leading picture that can be decoded without what came before
    tail = find_tail(demuxer, first_tick, deadline)
    is_truncated = _is_truncated(demuxer, identity, tail, first_tick)
    if is_truncated or tail.broken or "mpegts" in demuxer.container.format.name:
        tail = _decodable_tail(demuxer, crew, tail, first_tick, deadline)
    timeline = Timeline(first_tick, tail.last_tick, tail.end_tick)
    duration = float((timeline.end_tick - first_tick) * demuxer.time_base)
    if duration > limits.max_duration_seconds:
        raise VideoRefused(
            f"{demuxer.path}: {duration:.0f} s long, the limit is {limits.max_duration_seconds:.0f} s "
            "(max_duration_seconds)"
        )
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
    """Whether the file ends before the end it declares."""
    if "mpegts" in demuxer.container.format.name:
        return all(identity.size % size for size in PACKET_SIZES)
    declared, of_this_stream = declared_end(demuxer)
    if declared is None:
        return bool(tail.broken)
    frame_ticks = tail.end_tick - tail.last_tick
    # The whole container may rightly last longer than its pictures: the sound goes on.
    slack = max(3 * frame_ticks, demuxer.ticks(0.25))
    if not of_this_stream:
        slack = max(slack, demuxer.ticks(1.0), (declared - first_tick) // 50)
    return declared - tail.end_tick > slack


def _decodable_tail(demuxer: Demuxer, crew: DecodingCrew, tail: Tail, first_tick: int, deadline: Deadline) -> Tail:
    """Cut the end back to the last picture that decodes."""
    trouble: VideoDecodeError | None = None
    for position in range(len(tail.ticks) - 1, max(-1, len(tail.ticks) - 1 - MAX_DAMAGED_TAIL), -1):
        tick = tail.ticks[position]
        try:
            crew.rescue(demuxer, first_tick, tick, deadline)
        except VideoDecodeError as error:
            trouble = error
            continue
        if position == len(tail.ticks) - 1:
            return tail
        return Tail(tail.ticks[: position + 1], tail.ticks[position + 1], tail.broken)
    raise trouble or VideoDecodeError(f"{demuxer.path}: no picture at its end can be decoded")


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
