"""Pictures decoded by torchcodec, where it is right: which frame is on when is still settled here.

torchcodec is asked for frames at the times our own plan found, and every frame it hands out must say that time. Where
it does not (it counts otherwise in some variable rates, mpegts and edit lists), and for turned pictures, PyAV decodes.
The whitelists of `open_video` hold for our own opening of the file, not for torchcodec's: use it for files you trust.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from importlib import import_module
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .gather import Found
from .limits import Deadline, DecodeLimits
from .plan import PacketPlan
from .scaling import PictureScaler
from .source import LocalSource

__all__ = ["TorchcodecSource"]


class TorchcodecSource(LocalSource):
    """A file that torchcodec decodes. Arguments and errors as `LocalSource`.

    Raises:
        ConfigError: torchcodec, or the FFmpeg libraries that it wants, is not installed.
    """

    def __init__(self, path: Any, *, root: Any, limits: DecodeLimits, workers: int) -> None:
        """Open the file twice: here for its timeline, and in torchcodec for its pictures."""
        try:
            decoders = import_module("torchcodec.decoders")
        except (ImportError, RuntimeError, OSError) as error:
            raise ConfigError(
                "backend='torchcodec' wants torchcodec and the FFmpeg libraries it is built for: "
                f"pip install 'vz-env[torchcodec]' ({str(error).strip().splitlines()[0]})"
            ) from error
        super().__init__(path, root=root, limits=limits, workers=workers)
        self._decoder: Any = None
        if not self.info.rotation_degrees:
            try:
                self._decoder = decoders.VideoDecoder(
                    self.identity.path, dimension_order="NHWC", num_ffmpeg_threads=workers, seek_mode="exact"
                )
            except (RuntimeError, ValueError):
                self._decoder = None  # a codec that its FFmpeg lacks: PyAV has it

    def decode(self, ticks: Collection[int], size: tuple[int, int], deadline: Deadline) -> Found:
        """Decode; see `LocalSource.decode`."""
        plan = PacketPlan(self._demuxer, self.timeline, deadline)
        for _ in plan.runs(sorted(ticks)):
            pass  # which picture is on when is known once all runs were made; torchcodec reads packets itself
        pictures = self._pictures(sorted({plan.shown_at[tick] for tick in ticks}), size)
        deadline.check("decoding")
        found: Found = {
            t: (plan.shown_at[t], pictures[plan.shown_at[t]]) for t in ticks if plan.shown_at[t] in pictures
        }
        missing = [tick for tick in ticks if tick not in found]
        return {**found, **super().decode(missing, size, deadline)} if missing else found

    def _pictures(self, wanted: list[int], size: tuple[int, int]) -> dict[int, NDArray[np.uint8]]:
        """The pictures that torchcodec has at some ticks; those it dates otherwise are left out."""
        if self._decoder is None:
            return {}
        try:
            batch = self._decoder.get_frames_played_at(
                [float((tick + Fraction(1, 2)) * self.time_base) for tick in wanted]
            )
        except (RuntimeError, IndexError, ValueError):
            return {}  # one damaged packet fails its whole batch
        scale = PictureScaler(*size, 0)
        pictures = {}
        for tick, frame, seconds in zip(wanted, batch.data, batch.pts_seconds.tolist(), strict=True):
            if round(seconds / self.time_base) == tick:
                pictures[tick] = scale(av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24"))
        return pictures

    def close(self) -> None:
        """Close both."""
        self._decoder = None
        super().close()
