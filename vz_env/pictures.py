"""Pictures that belong to a question: shown behind the frames of the overview, as one more frame at the video's end.

They are files of any size, and may be videos of one picture. Each is fitted into the size of the frames, so that it
stacks with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import VideoDecodeError
from .video.access import resolve_video
from .video.frames import fit_size
from .video.opening import open_reader

__all__ = ["PICTURE_WORDS", "question_picture"]

PICTURE_WORDS: Final = "picture of the question"
"""What its line in the text says."""

_MAX_PICTURE_BYTES: Final = 32 << 20
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})


def question_picture(
    path: Path, root: Path | None, *, size: tuple[int, int] | None, max_pixels: int
) -> NDArray[np.uint8]:
    """The picture that belongs to a question, from a picture file or the first frame of a video.

    Args:
        path: of the file.
        root: folder it must lie in.
        size: (width, height) to fit into, with black bars, so that it stacks with frames; its own size when None.
        max_pixels: most pixels when no size is given.

    Returns:
        uint8 (height, width, 3).

    Raises:
        VideoError: no such file, outside the root, or not a picture.
    """
    if path.suffix.lower() in _PICTURES:
        picture = _read_picture(path, root)
    else:
        picture = Image.fromarray(np.asarray(open_reader(path, root).frames_at([0.0], max_pixels=max_pixels).frames[0]))
    width, height = size or fit_size(picture.width, picture.height, max_pixels)
    scale = min(width / picture.width, height / picture.height)
    fitted = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    canvas = Image.new("RGB", (width, height))
    canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return np.asarray(canvas)


def _read_picture(path: Path, root: Path | None) -> Image.Image:
    """Decode a picture file, after the same checks of its path as a video's."""
    identity = resolve_video(path, root)
    if identity.size > _MAX_PICTURE_BYTES:
        raise VideoDecodeError(f"{path}: a picture of {identity.size} bytes, the limit is {_MAX_PICTURE_BYTES}")
    try:
        with Image.open(identity.path) as picture:
            converted: Image.Image = picture.convert("RGB")
            return converted
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise VideoDecodeError(f"{path}: not a picture that can be read: {fault}") from fault
