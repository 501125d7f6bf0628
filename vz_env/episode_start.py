"""How an episode begins: the length of its video, the overview, the pictures of its question. Reads no key."""

from __future__ import annotations

from dataclasses import replace

from .budget import BudgetState
from .episode import Episode
from .episode_state import EpisodeState
from .errors import VideoDecodeError
from .look import VideoClock
from .observer import Observer
from .protocols import Protocol

__all__ = ["begin_episode"]


def begin_episode(
    episode: Episode,
    state: BudgetState,
    *,
    observer: Observer,
    protocol: Protocol,
    frames: int,
    fps: float | None,
    from_keyframes: bool,
) -> EpisodeState:
    """Look over a video for the first time.

    Args:
        episode: the question.
        state: a fresh budget, which the overview is taken from.
        observer: looks.
        protocol: says at which moments.
        frames: of the overview, at most.
        fps: of the overview, at most; None for no such bound.
        from_keyframes: take the keyframes before these moments instead.

    Raises:
        VideoError: the video cannot be read, or not as the protocol wants it.
    """
    clock = _clock(episode, observer, protocol)
    moments = protocol.overview(clock, frames, fps)
    if from_keyframes:
        times = observer.keyframe_times(episode, moments.read_at)
        moments = replace(moments, named=times, read_at=times)
    overview = replace(observer.look(episode, moments.read_at), timestamps_seconds=moments.named)
    state.spend(frames=len(moments.named))
    pictures = observer.pictures(episode, overview, clock.duration_seconds)
    return EpisodeState(episode=episode, clock=clock, state=state, overview=overview, pictures=pictures)


def _clock(episode: Episode, observer: Observer, protocol: Protocol) -> VideoClock:
    """The length of the video, and its frames where the protocol counts these."""
    clock = observer.clock(episode)
    if protocol.wants_clock and not clock.frame_count:
        raise VideoDecodeError(
            f"{episode.video_path}: the file states no frame rate, which protocol {protocol.name!r} counts "
            "by; use protocol 'strict', or write the file anew"
        )
    return clock
