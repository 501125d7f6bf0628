"""The decoders of one reader: one in the calling thread, or several on a small pool fed from one demuxer.

Runs are decoded side by side, by decoders of one thread each. Where that would leave threads idle, since nearly all of
the work is in one run, a decoder of several threads takes one run after the other, successive pictures at once.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoDecodeError
from .decode import PictureDecoder, Pictures, another_context, may_skip_nonreference
from .index import Demuxer
from .limits import Deadline
from .plan import PacketRun
from .references import find_references
from .scaling import PictureScaler

__all__ = ["DecodingCrew"]

_SHARED_CODECS: Final = frozenset({"h264", "hevc"})
"""Codecs of which a decoder of several threads is the faster one. VP9 took 1.2 and AV1 1.4 times as long by it."""

_WIDE_SHARE: Final = 0.6
"""Of the time of one thread: what two threads of one decoder take for the same run, measured on H.264 at 720p."""


class DecodingCrew:
    """Runs of packets in, pictures out. One call at a time.

    Args:
        stream: what is decoded. Its own context serves the calling thread; more workers get contexts of their own.
        workers: how many runs may be decoded at once.
    """

    def __init__(self, stream: VideoStream, *, workers: int) -> None:
        """Make the first decoder; the others and their threads are made when first needed."""
        self._stream, self._workers = stream, workers
        self._skip, self._finder = may_skip_nonreference(stream), find_references(stream)
        self._may_share = stream.codec_context.codec.canonical_name in _SHARED_CODECS
        self.first = self._decoder(stream.codec_context)
        self._pool: ThreadPoolExecutor | None = None
        self._idle: list[PictureDecoder] = []
        self._wide: PictureDecoder | None = None

    def _decoder(self, context: VideoCodecContext, *, threads: int = 1) -> PictureDecoder:
        """A decoder that drops what is not needed, as far as that is known of the stream."""
        return PictureDecoder(context, skip_nonreference=self._skip, finder=self._finder, threads=threads)

    def decode(self, runs: Iterator[PacketRun], scale: PictureScaler, deadline: Deadline) -> Pictures:
        """Decode every run; pictures that would not come out are missing from the result."""
        if self._workers > 1:
            return self._decode_beside(runs, scale, deadline)
        pictures: Pictures = {}
        for run in runs:
            pictures.update(self.first.decode(run, scale, deadline))
        return pictures

    def _decode_beside(self, runs: Iterator[PacketRun], scale: PictureScaler, deadline: Deadline) -> Pictures:
        """Decode whole runs on the pool; what is better decoded by several threads at once is decoded here."""
        pool = self._start_pool()
        first = _read_ahead(runs, self._workers + 1)
        is_lopsided = self._may_share and _is_lopsided(first, self._workers)
        if len(first) > self._workers:
            self._wide = None  # an overview is the most that a reader holds: not also the pictures of the last zoom
        room = threading.Semaphore(self._workers + 1)  # bounds the packets that wait in memory
        futures: list[Future[Pictures]] = []
        pictures: Pictures = {}
        try:
            for run in itertools.chain(first, runs):
                if is_lopsided or not (run.starts and run.ends):  # a piece of a run too long to hold in memory
                    pictures.update(self._one_for_all().decode(run, scale, deadline))
                    continue
                while not room.acquire(timeout=0.5):
                    deadline.check("decoding")
                futures.append(pool.submit(self._decode_run, run, scale, deadline, room))
        finally:
            wait(futures)
        for future in futures:
            pictures.update(future.result())
        return pictures

    def _start_pool(self) -> ThreadPoolExecutor:
        """Make the threads and their decoders on first use."""
        if self._pool is None:
            # The stream's own context is left out: a seek of the demuxer resets it, whoever is using it.
            self._idle = [self._decoder(another_context(self._stream)) for _ in range(self._workers)]
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="vz-decode")
        return self._pool

    def _one_for_all(self) -> PictureDecoder:
        """The decoder that takes run after run, of several threads where that helps."""
        if self._wide is None:
            threads = self._workers if self._may_share else 1
            self._wide = self._decoder(another_context(self._stream), threads=threads)
        return self._wide

    def _decode_run(
        self, run: PacketRun, scale: PictureScaler, deadline: Deadline, room: threading.Semaphore
    ) -> Pictures:
        """Decode one run on a pool thread, with a decoder and a scaler that no other thread is using."""
        decoder = self._idle.pop()
        try:
            return decoder.decode(run, scale.sibling(), deadline)
        finally:
            self._idle.append(decoder)
            room.release()

    def rescue(self, demuxer: Demuxer, first_tick: int, shown: int, deadline: Deadline) -> VideoFrame:
        """Decode one picture the slow way: every packet, from its keyframe and then from the keyframe before that.

        Some sound packets make no picture of their own (the second field of an interlaced frame, a repeat of the frame
        before): then the picture on is the last one that came out. After damage that would be a guess, and even a
        picture that did come out may have copied from what was lost: an error.

        Args:
            demuxer: where packets come from.
            first_tick: of the video, for the message.
            shown: presentation tick of the wanted picture.
            deadline: when to give up.

        Returns:
            The frame, whose own tick may be before `shown`.

        Raises:
            VideoDecodeError: the picture cannot be decoded.
        """
        start, trouble = shown, ""
        for _ in range(2):
            frame, start, trouble = self._last_frame(demuxer, start, shown, deadline)
            if frame is not None and not trouble:
                return frame
            start -= 1
        seconds = float((shown - first_tick) * demuxer.time_base)
        raise VideoDecodeError(
            f"{demuxer.path}: the picture at {seconds:.3f} s cannot be decoded ({trouble or 'nothing came out'}); "
            "the file is damaged there: copy it again or leave it out"
        )

    def _last_frame(
        self, demuxer: Demuxer, start: int, shown: int, deadline: Deadline
    ) -> tuple[VideoFrame | None, int, str]:
        """Decode from the keyframe at or before `start` up to `shown`.

        Returns:
            The last frame presented at or before `shown`, the tick of the keyframe, and what went wrong on the way.
        """
        packets = demuxer.from_keyframe(max(start, demuxer.floor_tick), deadline)
        decoder = self.first
        decoder.reset()
        latest: VideoFrame | None = None
        keyframe_tick: int | None = None
        needed = itertools.takewhile(lambda p: p.dts is None or p.dts <= shown, packets)
        for packet in itertools.chain(needed, [None]):  # None drains the decoder
            deadline.check("decoding")
            if keyframe_tick is None and packet is not None:
                keyframe_tick = packet.pts
            for frame in decoder.feed(packet):
                if frame.pts is not None and frame.pts <= shown:
                    latest = frame  # decoders hand frames out in the order of presentation
        trouble = decoder.trouble
        decoder.reset()
        return latest, start if keyframe_tick is None else keyframe_tick, trouble

    def close(self) -> None:
        """Stop the threads and drop the decoders."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
        self._wide = None
        self._idle.clear()


def _read_ahead(runs: Iterator[PacketRun], count: int) -> list[PacketRun]:
    """The first few runs, up to one that is too long to hold in memory."""
    first: list[PacketRun] = []
    for run in itertools.islice(runs, count):
        first.append(run)
        if not run.ends:
            break
    return first


def _is_lopsided(runs: Sequence[PacketRun], workers: int) -> bool:
    """Whether decoders of one thread each would take longer for these runs than one decoder of several threads."""
    work = [len(run.packets) for run in runs]
    is_all = len(runs) <= workers and all(run.ends for run in runs)
    return is_all and max(work, default=0) > _WIDE_SHARE * sum(work) * 2 / workers
