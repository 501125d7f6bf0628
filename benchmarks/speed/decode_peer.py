"""One library behind a pipe: asked in lines of JSON for frames at times, answers how long it took and what came.

Run by path, `python decode_peer.py LIBRARY FILE WIDTH HEIGHT WORKERS`, by an interpreter that has the library and
numpy: the libraries live in another environment than ours, so nothing of this project is imported except for `ours`.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

BITS = 20


def read_numbers(frames: np.ndarray) -> list[int]:
    """The numbers that the barcodes of some frames say; frames uint8 (n, height, width, 3)."""
    height, width = frames.shape[1:3]
    row = max(0, height * 2 // 45 // 2 - 1)
    columns = (2 * np.arange(BITS) + 1) * width // (2 * BITS)
    lights = frames[:, row : row + 2, :, :].mean(axis=(1, 3))[:, columns] > 128
    return [int("".join("1" if light else "0" for light in bits), 2) for bits in lights]


class _Ours:
    """`vz_env`: nothing is cached between calls."""

    def __init__(self, path: str, size: tuple[int, int], workers: int) -> None:
        from vz_env.video.cache import FrameCache
        from vz_env.video.limits import DecodeLimits
        from vz_env.video.reader import VideoReader

        limits = DecodeLimits(timeout_seconds=300.0)
        self.reader = VideoReader(path, workers=workers, cache=FrameCache(0), limits=limits)
        self.size, self.workers = size, workers

    def frames(self, times: list[float]) -> np.ndarray:
        return self.reader.frames_at(times, size=self.size).frames

    def keyframes(self, times: list[float]) -> np.ndarray:
        return self.reader.frames_at(self.reader.keyframe_times(times), size=self.size).frames

    def floor(self, times: list[float]) -> float:
        """Seconds that libavcodec takes for the packets these times need, on as many threads, without conversion.

        From each keyframe to the last wanted packet, less the pictures that libavcodec can leave out by itself
        (`skip_frame`). Where we know better what a picture is made from, we may be faster than that.
        """
        from vz_env.video.decode import another_context, may_skip_nonreference
        from vz_env.video.limits import Deadline
        from vz_env.video.plan import PacketPlan

        source: Any = self.reader._source
        stream = source._demuxer.stream
        plan = PacketPlan(source._demuxer, source.timeline, Deadline(300.0, self.reader.path))
        runs = [(run.packets, run.wanted) for run in plan.runs(self.reader._ticks(np.array(times)))]
        contexts = [another_context(stream) for _ in range(self.workers)]
        skips = may_skip_nonreference(stream)
        for context in contexts:
            context.thread_count = 1
            context.open()

        def decode(packets: list[Any], wanted: set[int]) -> None:
            context = contexts.pop()
            left = len(wanted)
            for packet in packets:
                if skips:
                    context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                left -= sum(frame.pts in wanted for frame in context.decode(packet))
                if not left:
                    break
            if left:
                context.decode(None)
            context.flush_buffers()
            contexts.append(context)

        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(decode, *zip(*runs[:1], strict=True)))  # threads and decoders are up
            start = time.perf_counter()
            list(pool.map(decode, *zip(*runs, strict=True)))
            return time.perf_counter() - start

    def close(self) -> None:
        self.reader.close()


class _Decord:
    """decord 0.6: by frame number, which is right at a constant rate; `WORKERS` threads."""

    def __init__(self, path: str, size: tuple[int, int], workers: int) -> None:
        import decord

        self.reader = decord.VideoReader(path, width=size[0], height=size[1], num_threads=workers)
        self.fps = self.reader.get_avg_fps()

    def frames(self, times: list[float]) -> np.ndarray:
        last = len(self.reader) - 1
        return self.reader.get_batch([min(last, int(t * self.fps + 1e-3)) for t in times]).asnumpy()

    def keyframes(self, times: list[float]) -> np.ndarray:
        keys = np.array(self.reader.get_key_indices())
        found = keys[np.searchsorted(keys, np.array(times) * self.fps, side="right") - 1]
        return self.reader.get_batch(found.tolist()).asnumpy()

    def close(self) -> None:
        del self.reader


class _TorchCodec:
    """torchcodec, exact seeking, `WORKERS` threads; resized in the decoder where its version can."""

    def __init__(self, path: str, size: tuple[int, int], workers: int) -> None:
        from torchcodec.decoders import VideoDecoder

        self.size, self.is_resized = size, True
        try:
            from torchcodec.transforms import Resize

            shrink = {"transforms": [Resize((size[1], size[0]))]}
            self.decoder = VideoDecoder(path, num_ffmpeg_threads=workers, dimension_order="NCHW", **shrink)
        except (ImportError, TypeError):
            self.is_resized = False
            self.decoder = VideoDecoder(path, num_ffmpeg_threads=workers, dimension_order="NCHW")

    def frames(self, times: list[float]) -> np.ndarray:
        import torch

        data = self.decoder.get_frames_played_at(times).data
        if not self.is_resized:
            data = torch.nn.functional.interpolate(
                data, size=(self.size[1], self.size[0]), mode="bicubic", antialias=True
            )
        return data.permute(0, 2, 3, 1).contiguous().numpy()

    def close(self) -> None:
        del self.decoder


class _OpenCV:
    """OpenCV: seek by milliseconds, read, resize."""

    def __init__(self, path: str, size: tuple[int, int], workers: int) -> None:
        import cv2

        self.cv2, self.size = cv2, size
        self.capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)

    def frames(self, times: list[float]) -> np.ndarray:
        cv2, pictures = self.cv2, []
        for t in times:
            self.capture.set(cv2.CAP_PROP_POS_MSEC, t * 1000)
            done, picture = self.capture.read()
            if not done:
                raise RuntimeError(f"no frame at {t} s")
            shrunk = cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA)
            pictures.append(cv2.cvtColor(shrunk, cv2.COLOR_BGR2RGB))
        return np.stack(pictures)

    def close(self) -> None:
        self.capture.release()


class _PlainPyAV:
    """PyAV as its documentation shows: seek to each time, decode up to it, convert; `WORKERS` decoder threads."""

    def __init__(self, path: str, size: tuple[int, int], workers: int) -> None:
        import av

        self.container, self.size = av.open(path), size  # noqa: TID251  (a measured peer, not our way of opening)
        self.stream = self.container.streams.video[0]
        self.stream.thread_type, self.stream.codec_context.thread_count = "AUTO", workers

    def frames(self, times: list[float]) -> np.ndarray:
        pictures, first = [], self.stream.start_time or 0
        for t in times:
            tick = first + int(t / self.stream.time_base + 1e-3)
            self.container.seek(tick, stream=self.stream)
            found = None
            for frame in self.container.decode(self.stream):
                if frame.pts > tick and found is not None:
                    break
                found = frame
            if found is None:
                raise RuntimeError(f"no frame at {t} s")
            pictures.append(found.reformat(*self.size, format="rgb24").to_ndarray())
        return np.stack(pictures)

    def close(self) -> None:
        self.container.close()


LIBRARIES: dict[str, Callable[[str, tuple[int, int], int], Any]] = {
    "ours": _Ours,
    "decord": _Decord,
    "torchcodec": _TorchCodec,
    "opencv": _OpenCV,
    "pyav": _PlainPyAV,
}


def peak_megabytes() -> float:
    """The most memory this process has held."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  (stdlib only, and short)
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return float("nan")


def answer(request: dict[str, Any], state: dict[str, Any], make: Callable[[], Any]) -> dict[str, Any]:
    """Do one thing and time it, on a handle of its own that is closed afterwards.

    `cold`: open, look, close. `hot`: look on a handle that was opened and used before. `keyframes`: open, look at
    keyframes, close. `floor`: the codec alone. `memory`: the peak so far, above the import. No handle stays open: a
    library may go on decoding ahead (decord does), and whoever is asked next would pay for it.
    """
    what, times = request["do"], request.get("times", [])
    if what == "memory":
        return {"megabytes": peak_megabytes() - state["imported"]}
    start = time.perf_counter()
    handle = make()
    try:
        if what in {"hot", "floor"}:
            handle.frames(request["warm"])
            start = time.perf_counter()
        if what == "floor":
            return {"seconds": handle.floor(times)}
        frames = handle.keyframes(times) if what == "keyframes" else handle.frames(times)
        seconds = time.perf_counter() - start
    finally:
        handle.close()
    return {"seconds": seconds, "numbers": read_numbers(frames)}


def main() -> None:
    """Answer requests until the pipe closes; an exception is an answer too."""
    library, path, width, height, workers = sys.argv[1:]
    state: dict[str, Any] = {}

    def make() -> Any:
        return LIBRARIES[library](path, (int(width), int(height)), int(workers))

    import importlib

    modules = {"ours": "vz_env.video.reader", "torchcodec": "torchcodec.decoders", "opencv": "cv2", "pyav": "av"}
    importlib.import_module(modules.get(library, library))
    state["imported"] = peak_megabytes()
    for line in itertools.chain(["{}\n"], sys.stdin):
        request = json.loads(line)
        try:
            reply = answer(request, state, make) if request else {"ready": True}
        except Exception as error:  # noqa: BLE001  (whatever a library raises is what it is measured by)
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
