"""The decoders of one reader: one in the calling thread, or several on a small pool fed from one demuxer.

Runs are decoded side by side. Many of them keep decoders of one thread each busy. Few, as a zoom has, seldom end at the
same time: the longest is begun first, and where the codec gains by it their decoders have several threads, which decode
successive pictures at once.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
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
from .pixels import give_back_freed
from .plan import PacketRun
from .references import find_references
from .scaling import PictureScaler

__all__ = ["POOL_NAME", "DecodingCrew"]

POOL_NAME: Final = "vz-decode"
"""What the names of the threads that decode begin with."""

_SHARED_CODECS: Final = frozenset({"h264", "hevc"})
"""Codecs of which a decoder of several threads is the faster one. VP9 took 1.2 and AV1 1.4 times as long by it."""

_THREADS_BESIDE: Final = 2
"""Of each decoder where several decode few runs: enough for one to go on alone when the others are done."""

_MUCH: Final = 16 << 20
"""Bytes of packets: so much is read ahead at most to see whether runs are few, and after more than that decoders are
dropped, for the memory that they hold."""


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
        self._threads = 0
        self._patient: PictureDecoder | None = None

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
        """Decode whole runs on the pool; the pieces of one that is too long to hold in memory are decoded here."""
        first, are_all = self._read_ahead(runs)
        pool = self._start_pool(self._threads_for(first, are_all=are_all))
        room = threading.Semaphore(self._workers)  # another run is read meanwhile; no more packets wait in memory
        futures: list[Future[Pictures]] = []
        pictures: Pictures = {}
        size = 0
        try:
            for run in itertools.chain(_drained(first), runs):
                size += run.size
                if not (run.starts and run.ends):
                    pictures.update(self._patient_one().decode(run, scale, deadline))
                    continue
                while not room.acquire(timeout=0.5):
                    deadline.check("decoding")
                futures.append(pool.submit(self._decode_run, run, scale, deadline, room))
        finally:
            wait(futures)
        if size > _MUCH:
            self._drop_idle()
        for future in futures:
            pictures.update(future.result())
        return pictures

    def _read_ahead(self, runs: Iterator[PacketRun]) -> tuple[deque[PacketRun], bool]:
        """The first runs, and whether these are all, and so few: else one more, or less where they are large.

        All there are come longest first: one that begins last and takes longest leaves the other workers idle.
        """
        first: deque[PacketRun] = deque()
        size = 0
        for run in runs:
            first.append(run)
            size += run.size
            is_much = size > _MUCH and len(first) > self._workers
            if is_much or not run.ends or len(first) > 2 * self._workers + 1:
                return first, False
        return deque(sorted(first, key=lambda run: -run.size)), True

    def _threads_for(self, first: Sequence[PacketRun], *, are_all: bool) -> int:
        """How many threads each decoder is to have."""
        if not are_all or not self._may_share:
            return 1
        return self._workers if len(first) <= _THREADS_BESIDE else min(self._workers, _THREADS_BESIDE)

    def _start_pool(self, threads: int) -> ThreadPoolExecutor:
        """Make the pool on first use, and its decoders when they are to have another number of threads than before."""
        if self._threads != threads:
            self._drop_idle()  # one kind at a time: what is not in use would hold on to its pictures
            # The stream's own context is left out: a seek of the demuxer resets it, whoever is using it.
            self._idle = [self._decoder(another_context(self._stream), threads=threads) for _ in range(self._workers)]
            self._threads = threads
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix=POOL_NAME)
        return self._pool

    def _drop_idle(self) -> None:
        """Drop the decoders of the pool, and what they held."""
        if self._idle:
            self._idle, self._threads = [], 0
            give_back_freed()

    def _patient_one(self) -> PictureDecoder:
        """The decoder that takes piece after piece, of several threads where that helps."""
        if self._patient is None:
            threads = self._workers if self._may_share else 1
            self._patient = self._decoder(another_context(self._stream), threads=threads)
        return self._patient

    def _decode_run(
        self, run: PacketRun, scale: PictureScaler, deadline: Deadline, room: threading.Semaphore
    ) -> Pictures:
        """Decode one run on a pool thread, with a decoder that no other thread is using."""
        decoder = self._idle.pop()
        try:
            return decoder.decode(run, scale, deadline)
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
        self._patient = None
        self._drop_idle()


def _drained(runs: deque[PacketRun]) -> Iterator[PacketRun]:
    """Yield runs, and hold on to none of them."""
    while runs:
        yield runs.popleft()
