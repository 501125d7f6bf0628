"""The parts of a needle video: cards, scenes, and the script that says what is on at any moment. No pixels in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..episode import Segment
from ..errors import DatasetError

__all__ = ["FAMILIES", "Card", "Family", "Scene", "VideoScript", "check_script"]

Family = Literal["appears", "first", "count", "change", "after"]
FAMILIES: Final[tuple[Family, ...]] = ("appears", "first", "count", "change", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One event: a filled shape of one vivid colour, on for `segment`.

    `area` is its share of the picture; `x`, `y` place it in [0, 1] of the room it has; `aspect` is width / height.
    """

    color: str
    segment: Segment
    shape: Literal["rectangle", "disc"]
    area: float
    x: float
    y: float
    aspect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One run of the video in one colour; `fill` is the share the colour has, the rest is clutter in two neutrals."""

    color: str
    segment: Segment
    first_slot: int
    slots: int
    family: Family
    cards: tuple[Card, ...]
    fill: float
    clutter: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoScript:
    """A whole video, in scenes that follow one another without a gap."""

    split: str
    index: int
    overview_frames: int
    overview_spacing_seconds: int
    appearance_seed: int
    scenes: tuple[Scene, ...]

    @property
    def video_id(self) -> str:
        """Unique over the splits of one dataset."""
        return f"{self.split}-{self.index:03d}"

    @property
    def duration_seconds(self) -> float:
        """Length of the video in seconds."""
        return float(self.overview_frames * self.overview_spacing_seconds)

    @property
    def overview_timestamps_seconds(self) -> tuple[float, ...]:
        """The moments a uniform overview looks at."""
        return tuple(float(slot * self.overview_spacing_seconds) for slot in range(self.overview_frames))

    @property
    def cards(self) -> tuple[Card, ...]:
        """Every event of the video in order of time."""
        return tuple(card for scene in self.scenes for card in scene.cards)

    def scene_at(self, timestamp_seconds: float) -> Scene:
        """The scene on at a moment; moments outside the video clamp into it."""
        for scene in self.scenes:
            if timestamp_seconds < scene.segment.end_seconds:
                return scene
        return self.scenes[-1]

    def card_at(self, timestamp_seconds: float) -> Card | None:
        """The card on at a moment, or None."""
        return next((c for c in self.scene_at(timestamp_seconds).cards if c.segment.contains(timestamp_seconds)), None)


def check_script(script: VideoScript) -> None:
    """Check what the dataset promises: the overview shows no event, and every event lies inside its scene.

    Raises:
        DatasetError: names the video and the promise that is broken.
    """
    for scene in script.scenes:
        for card in scene.cards:
            if card.segment.intersection(scene.segment) != card.segment:
                raise DatasetError(f"needle video {script.video_id}: the event at {card.segment} leaves its scene")
            if any(card.segment.contains(moment) for moment in script.overview_timestamps_seconds):
                raise DatasetError(f"needle video {script.video_id}: the overview shows the event at {card.segment}")
    ends = [scene.segment.end_seconds for scene in script.scenes]
    starts = [scene.segment.start_seconds for scene in script.scenes]
    if starts != [0.0, *ends[:-1]] or ends[-1] != script.duration_seconds:
        raise DatasetError(f"needle video {script.video_id}: its scenes do not follow one another to its end")
