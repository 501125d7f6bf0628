"""Paints the pictures of a needle video, straight in YUV 4:2:0: what the encoder takes, and half the bytes of RGB.

A scene's canvas, wider than the picture, is painted once; a picture is a slice of it that pans slowly, with the card
that is on at the moment laid over. Pictures change eight times a second, and when an event or a scene begins or ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..video.palette import PALETTE
from .needle_config import FRAMES_PER_SECOND, NeedleConfig
from .needle_script import Card, Scene, VideoScript

__all__ = ["Backdrop", "CanvasBackdrop", "Picture", "Planes", "paint_pictures", "to_planes"]

_CANVAS_PICTURES: Final = 4  # a canvas is this many pictures wide; the pan wraps around
_PAN_PICTURES: Final = 2  # the view moves two pixels (one of chroma) every second picture: 8 pixels a second
_GOLDEN: Final = 0.6180339887498949  # steps of the golden ratio spread the clutter evenly over the canvas


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture in BT.601 limited-range YUV 4:2:0: uint8 `y` (h, w), `u` and `v` (h / 2, w / 2)."""

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]

    def copy(self) -> Planes:
        """A picture that may be drawn on."""
        return Planes(self.y.copy(), self.u.copy(), self.v.copy())

    def columns(self, start: int, width: int) -> Planes:
        """A view of some columns; both numbers are even."""
        half = slice(start // 2, (start + width) // 2)
        return Planes(self.y[:, start : start + width], self.u[:, half], self.v[:, half])


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the frames `[first_frame, end_frame)` that show it."""

    first_frame: int
    end_frame: int
    planes: Planes


class Backdrop(Protocol):
    """What a scene shows behind its cards."""

    frames_per_picture: int

    def begin(self, scene: Scene, rng: np.random.Generator) -> None:
        """Get ready for a scene."""
        ...

    def picture(self, frame: int) -> Planes:
        """The scene's picture at a frame number counted from the scene's begin; not to be drawn on."""
        ...


class CanvasBackdrop:
    """A generated scene: its colour, and blocks and figures in two neutrals, under a slow pan."""

    frames_per_picture = 3  # x264 codes a repeated picture about ten times as fast as a new one

    def __init__(self, config: NeedleConfig) -> None:
        self._width, self._height = config.width, config.height
        self._canvas = to_planes(np.zeros((2, 2, 3), np.uint8))
        self._offset = 0

    def begin(self, scene: Scene, rng: np.random.Generator) -> None:
        """Paint the scene's canvas."""
        # Painted at half size and doubled: off even pixels the chroma of clutter mixes with the scene's, and up to 6%
        # of a picture is named in a third colour.
        canvas = _paint_canvas(scene, _CANVAS_PICTURES * self._width // 2, self._height // 2, rng)
        canvas = canvas.repeat(2, axis=0).repeat(2, axis=1)
        self._canvas = to_planes(np.concatenate([canvas, canvas[:, : self._width]], axis=1))
        self._offset = 2 * int(rng.integers(0, _CANVAS_PICTURES * self._width // 2))

    def picture(self, frame: int) -> Planes:
        """The slice of the canvas that is in view."""
        steps = frame // (self.frames_per_picture * _PAN_PICTURES)
        return self._canvas.columns((self._offset + 2 * steps) % (_CANVAS_PICTURES * self._width), self._width)


def paint_pictures(script: VideoScript, config: NeedleConfig, backdrop: Backdrop) -> Iterator[Picture]:
    """Paint a video, picture by picture, in order.

    Args:
        script: what is on when.
        config: the size, and the seed that the script's appearance seed branches from.
        backdrop: what scenes show behind the cards.

    Yields:
        pictures that cover every frame of the video once.
    """
    for number, scene in enumerate(script.scenes):
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, script.appearance_seed, number]))
        backdrop.begin(scene, rng)
        scene_start, scene_end = _frame(scene.segment.start_seconds), _frame(scene.segment.end_seconds)
        cards = [(_frame(c.segment.start_seconds), _frame(c.segment.end_seconds), c) for c in scene.cards]
        cuts = {scene_end, *range(scene_start, scene_end, backdrop.frames_per_picture)}
        borders = sorted(cuts.union(*((start, end) for start, end, _ in cards)))
        for first, end in pairwise(borders):
            planes = backdrop.picture(first - scene_start)
            for card_start, card_end, card in cards:
                if card_start <= first < card_end:
                    planes = _with_card(planes, card)
            yield Picture(first, end, planes)


def to_planes(rgb: NDArray[np.uint8]) -> Planes:
    """Convert uint8 RGB (h, w, 3), both sides even, to limited-range BT.601 planes."""
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    y = 16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0
    u = 128.0 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255.0
    v = 128.0 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255.0
    halves = [plane.reshape(rgb.shape[0] // 2, 2, rgb.shape[1] // 2, 2).mean(axis=(1, 3)) for plane in (u, v)]
    return Planes(*(np.rint(plane).astype(np.uint8) for plane in (y, *halves)))


def _paint_canvas(scene: Scene, width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The scene colour with a soft light from above, and clutter until the colour's share is down to `scene.fill`."""
    light = np.linspace(1.05, 0.95, height)[:, None, None]
    base = np.clip(np.array(PALETTE[scene.color]) * light, 0, 255).astype(np.uint8)
    canvas = np.broadcast_to(base, (height, width, 3)).copy()
    covered = np.zeros((height, width), dtype=bool)
    target = (1.0 - scene.fill) * width * height
    place = float(rng.random())
    while np.count_nonzero(covered) < target:
        place = (place + _GOLDEN) % 1.0
        color = scene.clutter[0] if rng.random() < 0.75 else scene.clutter[1]
        piece = (
            _figure(rng, height) if rng.random() < 0.5 else np.ones(rng.integers(height // 10, height // 3, 2), bool)
        )
        rows, columns = piece.shape
        left, top = int(place * (width - columns)), int(rng.integers(0, height - rows + 1))
        area = (slice(top, top + rows), slice(left, left + columns))
        canvas[area][piece] = PALETTE[color]
        covered[area] |= piece
    return canvas


def _figure(rng: np.random.Generator, height: int) -> NDArray[np.bool_]:
    """A head on shoulders, as a mask."""
    body = int(rng.integers(height // 8, height // 4))
    figure = np.ones((2 * body, body), dtype=bool)
    head = body // 2
    figure[:head] = _disc(head, body, head / 2)
    return figure


def _disc(rows: int, columns: int, radius: float) -> NDArray[np.bool_]:
    """A disc in the middle of a mask."""
    y, x = np.ogrid[:rows, :columns]
    inside: NDArray[np.bool_] = (y - (rows - 1) / 2) ** 2 + (x - (columns - 1) / 2) ** 2 <= radius**2
    return inside


def _with_card(planes: Planes, card: Card) -> Planes:
    """Lay a card over a picture, on even pixels so that its chroma has clean edges."""
    height, width = planes.y.shape
    mask = _card_mask(card, width // 2, height // 2)
    color = to_planes(np.full((2, 2, 3), PALETTE[card.color], np.uint8))
    drawn = planes.copy()
    drawn.y[mask.repeat(2, axis=0).repeat(2, axis=1)] = color.y[0, 0]
    drawn.u[mask] = color.u[0, 0]
    drawn.v[mask] = color.v[0, 0]
    return drawn


def _card_mask(card: Card, width: int, height: int) -> NDArray[np.bool_]:
    """Where a card lies, at the chroma planes' size."""
    pixels = card.area * width * height
    if card.shape == "disc":
        radius = float(np.sqrt(pixels / np.pi))
        rows = columns = min(height, int(np.ceil(2 * radius)))
        shape = _disc(rows, columns, radius)
    else:
        rows = min(height, round(float(np.sqrt(pixels / card.aspect))))
        columns = min(width, round(pixels / rows))
        shape = np.ones((rows, columns), dtype=bool)
    mask = np.zeros((height, width), dtype=bool)
    top, left = round(card.y * (height - rows)), round(card.x * (width - columns))
    mask[top : top + rows, left : left + columns] = shape
    return mask


def _frame(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)
