"""Sixteen named colours and the naming of pixels by them: the vocabulary of the `palette` describer.

The needle dataset paints with these colours and the describer reads them back from decoded pixels, so the names must be
far enough apart to survive 4:2:0 chroma subsampling, lossy coding and a resize.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEUTRALS", "PALETTE", "VIVID", "name_pixels"]

PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 30, 35),
    "orange": (245, 135, 20),
    "gold": (215, 190, 30),
    "lime": (125, 230, 45),
    "green": (25, 125, 45),
    "teal": (0, 130, 135),
    "cyan": (70, 215, 230),
    "blue": (35, 65, 215),
    "purple": (115, 35, 165),
    "magenta": (225, 45, 205),
    "pink": (250, 165, 190),
    "brown": (115, 70, 30),
    "black": (16, 16, 16),
    "gray": (90, 90, 90),
    "silver": (175, 175, 175),
    "white": (245, 245, 245),
}
"""Name -> 8-bit sRGB."""

NEUTRALS: Final = ("black", "gray", "silver", "white")
VIVID: Final = tuple(name for name in PALETTE if name not in NEUTRALS)

_BITS: Final = 5  # 32 levels a channel: a 32k-entry table that names any pixel with one look-up


def _build_table() -> NDArray[np.uint8]:
    """Nearest palette entry of every quantised RGB value, by squared distance in a luma-chroma space."""
    step = 1 << (8 - _BITS)
    level = np.arange(0, 256, step, dtype=np.float64) + step / 2
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    cells = _luma_chroma(np.stack([red, green, blue], axis=-1).reshape(-1, 3))
    anchors = _luma_chroma(np.array(list(PALETTE.values()), dtype=np.float64))
    distance = ((cells[:, None, :] - anchors[None, :, :]) ** 2).sum(axis=-1)
    names: NDArray[np.uint8] = distance.argmin(axis=1).astype(np.uint8)
    return names


def _luma_chroma(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.601 luma and chroma, with chroma weighted up: hue names a colour more than brightness does."""
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    return np.stack([0.6 * luma, rgb[:, 2] - luma, rgb[:, 0] - luma], axis=1)


_TABLE: Final = _build_table()


def name_pixels(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Name every pixel of a frame.

    Args:
        frame: uint8 RGB, shape (height, width, 3).

    Returns:
        uint8 indices into `tuple(PALETTE)`, shape (height, width).
    """
    quantised = (frame >> (8 - _BITS)).astype(np.uint16)
    cell = (quantised[..., 0] << (2 * _BITS)) | (quantised[..., 1] << _BITS) | quantised[..., 2]
    names: NDArray[np.uint8] = _TABLE[cell]
    return names
