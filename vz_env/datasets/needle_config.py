"""What a needle dataset is made from: its size, its seed and its haystack. Nothing is drawn or painted here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import ConfigError

__all__ = ["FRAMES_PER_SECOND", "NEEDLE_VERSION", "SPLITS", "NeedleConfig", "default_videos"]

SPLITS: Final = ("train", "validation", "test")
"""The splits in seed order: the position is part of every video's seed, so it never changes."""

FRAMES_PER_SECOND: Final = 24
NEEDLE_VERSION: Final = 1
"""Raised whenever the same config would give other questions or other pictures; part of the config's hash."""
_FILM_VERSION: Final = 2  # the same for what is shown of a film alone

MIN_OVERVIEW_FRAMES, MAX_OVERVIEW_FRAMES = 6, 36  # 36 slots make 12 scenes at most: there are 12 vivid colours
# Below 8 s two long events and the second between them do not fit into a slot; over 16 s a 16-frame zoom of a slot has
# frames more than 1 s apart and may miss an event of a second.
MIN_SPACING_SECONDS, MAX_SPACING_SECONDS = 8, 16
_FINGERPRINT_BYTES = 1 << 20


def default_videos() -> dict[str, int]:
    """Videos a split by default: about 440, 90 and 220 questions."""
    return {"train": 40, "validation": 8, "test": 20}


@dataclass(frozen=True, kw_only=True)
class NeedleConfig:
    """One needle dataset: the same config gives the same bytes.

    Attributes:
        seed: the root of every random choice.
        videos: split name -> number of videos; splits that are left out hold none.
        overview_frames: evenly spaced frames an overview shows; events hide between their timestamps.
        spacings_seconds: a video's overview spacing is one of these whole seconds; its duration is
            `overview_frames * spacing`.
        width: pixels, even.
        height: pixels, even.
        haystack: a film whose own frames make the scenes, or None for generated scenes.

    Raises:
        ConfigError: a value is out of range or the film is not there.
    """

    seed: int = 0
    videos: Mapping[str, int] = field(default_factory=default_videos)
    overview_frames: int = 32
    spacings_seconds: tuple[int, ...] = (10, 11, 12, 13, 14, 15, 16)
    width: int = 160
    height: int = 96
    haystack: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, got {self.seed}")
        for split, count in self.videos.items():
            if split not in SPLITS or count < 0:
                raise ConfigError(f"videos wants counts of 0 or more for {', '.join(SPLITS)}; got {split!r}: {count}")
        if not MIN_OVERVIEW_FRAMES <= self.overview_frames <= MAX_OVERVIEW_FRAMES:
            raise ConfigError(
                f"overview_frames must lie in [{MIN_OVERVIEW_FRAMES}, {MAX_OVERVIEW_FRAMES}], "
                f"got {self.overview_frames}"
            )
        if not self.spacings_seconds or not all(
            MIN_SPACING_SECONDS <= spacing <= MAX_SPACING_SECONDS for spacing in self.spacings_seconds
        ):
            raise ConfigError(
                f"spacings_seconds wants whole seconds in [{MIN_SPACING_SECONDS}, {MAX_SPACING_SECONDS}], "
                f"got {self.spacings_seconds}"
            )
        if self.width % 2 or self.height % 2 or not (64 <= self.height <= self.width <= 4096):
            raise ConfigError(f"pictures want even sides, 64 <= height <= width, got {self.width}x{self.height}")
        if self.haystack is not None and not Path(self.haystack).is_file():
            raise ConfigError(f"haystack wants the path of a video file, got {self.haystack}: no such file")

    @property
    def haystack_name(self) -> str:
        """What reports call the haystack: the film's stem, or "generated"."""
        return "generated" if self.haystack is None else Path(self.haystack).stem

    def fingerprint(self) -> str:
        """A sha256 (hex) of everything that decides the dataset's bytes; of a film, its size and its two ends."""
        values = {
            name: getattr(self, name) for name in (f.name for f in dataclasses.fields(self)) if name != "haystack"
        }
        values["videos"] = {split: int(self.videos.get(split, 0)) for split in SPLITS}
        values["version"] = NEEDLE_VERSION
        values["haystack"] = None if self.haystack is None else _file_fingerprint(Path(self.haystack))
        if self.haystack is not None:
            values["film_version"] = _FILM_VERSION
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _file_fingerprint(path: Path) -> str:
    """Name, size, first and last MiB: a film of gigabytes is not read twice for its name."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{path.name} {size} ".encode())
    with path.open("rb") as film:
        digest.update(film.read(_FINGERPRINT_BYTES))
        film.seek(max(0, size - _FINGERPRINT_BYTES))
        digest.update(film.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()
