"""A real film as the haystack: needles are drawn over its own frames, inside a border in the scene's colour.

The film's timeline is cut into disjoint parts for the splits, so that no test picture was seen in training. Its
pictures are decoded once, small, into a memory-mapped file (17 MB a minute at the default size); every needle video
then plays random runs of its split's part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoDecodeError
from ..video.access import map_errors, open_video, video_stream
from ..video.palette import PALETTE
from .needle_config import FRAMES_PER_SECOND, SPLITS, NeedleConfig
from .needle_paint import Planes, to_planes
from .needle_script import Scene

__all__ = ["FilmBackdrop", "FilmPictures", "read_film"]

_FRAMES_PER_PICTURE: Final = 2
_PICTURES_PER_SECOND: Final = FRAMES_PER_SECOND // _FRAMES_PER_PICTURE
_SPLIT_SHARES: Final = dict(zip(SPLITS, (0.60, 0.15, 0.25), strict=True))
_BORDER_SHARES: Final = (0.60, 0.66)  # of the picture: the largest of its colours, whatever the film shows
_CHROMA_SHARE: Final = 0.35  # the film is toned down, so that its colours are seldom mistaken for those of cards

FilmPictures = NDArray[np.uint8]
"""Pictures as planar YUV 4:2:0, twelve a second: uint8, shape (pictures, height * 3 / 2, width)."""


def read_film(config: NeedleConfig) -> FilmPictures:
    """Decode the haystack film once.

    Args:
        config: its `haystack` names the film; its size is what pictures are scaled to.

    Returns:
        the pictures, in a memory map over an unnamed file that goes when the array goes.

    Raises:
        VideoError: the film cannot be opened or decoded, or holds less than a second for each split.
    """
    path = Path(config.haystack or "")
    size = config.height * 3 // 2 * config.width
    count = 0
    with TemporaryFile() as store:
        for picture in _decode(path, config):
            store.write(picture.tobytes())
            count += 1
        if count * min(_SPLIT_SHARES.values()) < _PICTURES_PER_SECOND:
            raise VideoDecodeError(
                f"{path}: a haystack film wants at least {1 / min(_SPLIT_SHARES.values()):.0f} s, "
                f"got {count / _PICTURES_PER_SECOND:.1f} s; choose a longer one"
            )
        store.flush()
        flat: NDArray[np.uint8] = np.memmap(store, dtype=np.uint8, mode="r", shape=(count * size,))
        return flat.reshape(count, config.height * 3 // 2, config.width)


def _decode(path: Path, config: NeedleConfig) -> Iterator[NDArray[np.uint8]]:
    """The picture on at every twelfth of a second, as planar YUV at the config's size."""
    container, _ = open_video(path)
    with closing(container), map_errors(path, "decoding the haystack"):
        stream = video_stream(container, str(path))
        stream.thread_type = "AUTO"
        start_seconds: float | None = None
        shown = 0
        current: NDArray[np.uint8] | None = None
        for frame in container.decode(stream):
            seconds: float | None = frame.time
            if seconds is None:
                continue
            start_seconds = seconds if start_seconds is None else start_seconds
            due = int((seconds - start_seconds) * _PICTURES_PER_SECOND + 1e-6)
            if current is not None:
                while shown < due:  # a gap in the film shows its last picture on
                    yield current
                    shown += 1
            if due >= shown:
                planes = frame.reformat(config.width, config.height, "yuv420p").to_ndarray()
                current = _tone_down(np.asarray(planes, np.uint8), config.height)
        if current is not None:
            yield current


def _tone_down(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Most of a picture's colour taken away: its chroma planes, below the first `height` rows, drawn towards grey."""
    chroma = 128 + _CHROMA_SHARE * (picture[height:].astype(np.float32) - 128)
    return np.concatenate([picture[:height], np.rint(chroma).astype(np.uint8)])


class FilmBackdrop:
    """A scene of a film: a random run of the split's part, in a border of the scene's colour."""

    frames_per_picture = _FRAMES_PER_PICTURE

    def __init__(self, config: NeedleConfig, pictures: FilmPictures, split: str) -> None:
        self._pictures = _part(pictures, split)
        self._frame = to_planes(np.zeros((config.height, config.width, 3), np.uint8))
        self._first = 0
        self._margin = (0, 0)

    def begin(self, scene: Scene, rng: np.random.Generator) -> None:
        """Choose the run and paint the border; a scene longer than the part goes round."""
        height, width = self._frame.y.shape
        needed = int(scene.segment.duration_seconds * _PICTURES_PER_SECOND) + 1
        self._first = int(rng.integers(0, max(1, len(self._pictures) - needed)))
        self._frame = to_planes(np.full((height, width, 3), PALETTE[scene.color], np.uint8))
        self._margin = _margins(float(rng.uniform(*_BORDER_SHARES)), height, width)

    def picture(self, frame: int) -> Planes:
        """The film's picture inside the border."""
        flat = self._pictures[(self._first + frame // _FRAMES_PER_PICTURE) % len(self._pictures)]
        framed = self._frame.copy()
        for target, source, shrink in zip(
            (framed.y, framed.u, framed.v), _split_planes(flat, framed.y.shape), (1, 2, 2), strict=True
        ):
            rows, columns = self._margin[0] // shrink, self._margin[1] // shrink
            inside = (slice(rows, target.shape[0] - rows), slice(columns, target.shape[1] - columns))
            target[inside] = source[inside]
        return framed


def _part(pictures: FilmPictures, split: str) -> FilmPictures:
    """The split's share of the timeline; the shares are disjoint and in the order of `SPLITS`."""
    before = sum(_SPLIT_SHARES[name] for name in SPLITS[: SPLITS.index(split)])
    start, end = (round(len(pictures) * share) for share in (before, before + _SPLIT_SHARES[split]))
    return pictures[start:end]


def _margins(share: float, height: int, width: int) -> tuple[int, int]:
    """Even widths (rows, columns) of a border that fills about a share of the picture."""
    rows = columns = 2 * round((height + width - ((height + width) ** 2 - 4 * share * height * width) ** 0.5) / 8)
    if 1 - (height - 2 * rows) * (width - 2 * columns) / (height * width) < share:
        columns += 2
    return rows, columns


def _split_planes(flat: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], ...]:
    """The three planes inside one planar picture."""
    height, width = shape
    ends = np.cumsum([height * width, height * width // 4, height * width // 4])
    y, u, v, _ = np.split(flat.reshape(-1), ends)
    half = (height // 2, width // 2)
    return y.reshape(height, width), u.reshape(half), v.reshape(half)
