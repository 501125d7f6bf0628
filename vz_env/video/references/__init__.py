"""Which packets the wanted pictures of a run are made from: the others never reach the decoder.

What no picture refers to is marked in the stream, and dropped without this. But most references serve a few neighbours
only: every second picture that an encoder with B-frames writes is kept for the two beside it and for nobody else. Which
they are stands in the heads of the slices (HEVC, H.264) or of the frames (AV1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from av.video.stream import VideoStream

from .av1_finder import Av1Finder
from .bits import UnknownSyntax
from .finder import ReferenceFinder
from .h264_finder import H264Finder
from .hevc_finder import HevcFinder

__all__ = ["ReferenceFinder", "find_references"]


_FINDERS: Final[Mapping[str, Callable[[bytes], ReferenceFinder]]] = {
    "av1": Av1Finder,
    "h264": H264Finder,
    "hevc": HevcFinder,
}


def find_references(stream: VideoStream) -> ReferenceFinder | None:
    """A finder for a stream, or None where there is nothing to find or it is not understood."""
    context = stream.codec_context
    finder = _FINDERS.get(context.codec.canonical_name)
    if finder is None or not context.extradata:
        return None
    try:
        return finder(context.extradata)
    except (UnknownSyntax, IndexError):
        return None
