"""Draws a needle video's script: the scenes, their colours, borders and events, from `(config.seed, split, index)`.

A video has `overview_frames` slots of one overview spacing each. Scenes follow one another, each in a colour of its own
and three or four slots long; each hides one group of events between the timestamps an overview looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..episode import Segment
from ..errors import ConfigError
from ..video.palette import NEUTRALS, VIVID
from .needle_config import FRAMES_PER_SECOND, SPLITS, NeedleConfig
from .needle_events import ZOOM_FRAMES, draw_cards, slot_window
from .needle_script import FAMILIES, Family, Scene, VideoScript

__all__ = ["draw_video"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A scene before it has a place in time: its family, how often its card shows, how many slots it covers."""

    family: Family
    repeats: int
    slots: int


def draw_video(config: NeedleConfig, split: str, index: int) -> tuple[VideoScript, np.random.Generator]:
    """Draw one video's script; any `index >= 0` is valid, also beyond the config's number of videos.

    Returns:
        the script, and the generator after it: the questions draw on from there.

    Raises:
        ConfigError: the split is not one of `SPLITS` or the index is negative.
    """
    if split not in SPLITS or index < 0:
        raise ConfigError(
            f"a needle video wants a split of {', '.join(SPLITS)} and an index >= 0; got {split!r} {index}"
        )
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, SPLITS.index(split), index]))
    spacing = int(rng.choice(config.spacings_seconds))
    plans = _draw_plans(rng, config.overview_frames)
    colors = [VIVID[i] for i in rng.permutation(len(VIVID))[: len(plans)]]
    borders = _draw_borders(rng, plans, spacing)
    scenes = []
    for number, plan in enumerate(plans):
        # Cards never wear the colour of their own scene or of a neighbour: a zoom across the border must not mislead.
        taken = colors[max(0, number - 1) : number + 2]
        free = [str(name) for name in rng.permutation([name for name in VIVID if name not in taken])]
        first_slot = sum(earlier.slots for earlier in plans[:number])
        start, end = borders[number], borders[number + 1]
        slots = range(first_slot, first_slot + plan.slots)
        scene = Scene(
            color=colors[number],
            segment=Segment(start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND),
            first_slot=first_slot,
            slots=plan.slots,
            family=plan.family,
            cards=draw_cards(
                rng,
                family=plan.family,
                repeats=plan.repeats,
                free=free,
                windows=[slot_window(slot, scene_end=end, spacing_seconds=spacing) for slot in slots],
                zoom_spacing_seconds=spacing / ZOOM_FRAMES,
            ),
            fill=float(rng.uniform(0.70, 0.90)),
            clutter=_draw_clutter(rng),
        )
        scenes.append(scene)
    script = VideoScript(
        split=split,
        index=index,
        overview_frames=config.overview_frames,
        overview_spacing_seconds=spacing,
        appearance_seed=(SPLITS.index(split) << 32) | index,
        scenes=tuple(scenes),
    )
    return script, rng


def _draw_plans(rng: np.random.Generator, overview_frames: int) -> list[_Plan]:
    """Fill the slots with scenes of three or four; the last one takes the two to five that are left."""
    plans: list[_Plan] = []
    families: list[Family] = []
    left = overview_frames
    while left:
        if not families:
            families = [FAMILIES[i] for i in rng.permutation(len(FAMILIES))]
        repeats = int(rng.integers(1, 5))
        slots = int(rng.integers(3, 5))
        family = families.pop()
        if family == "count" and repeats == 4:
            slots = 4
        if left <= 5:
            slots = left
            repeats = min(repeats, slots)
        plans.append(_Plan(family, repeats if family == "count" else 1, slots))
        left -= slots
    return plans


def _draw_borders(rng: np.random.Generator, plans: list[_Plan], spacing: int) -> list[int]:
    """Frame numbers where scenes begin, and the end: a scene begins a while before its first overview timestamp."""
    borders, slot = [0], 0
    for plan in plans[:-1]:
        slot += plan.slots
        lead_seconds = float(rng.uniform(0.1, 0.3)) * spacing
        borders.append(slot * spacing * FRAMES_PER_SECOND - round(lead_seconds * FRAMES_PER_SECOND))
    borders.append((slot + plans[-1].slots) * spacing * FRAMES_PER_SECOND)
    return borders


def _draw_clutter(rng: np.random.Generator) -> tuple[str, str]:
    """The neutral most of a scene's clutter wears, and a second one."""
    main, second = rng.permutation(len(NEUTRALS))[:2]
    return NEUTRALS[main], NEUTRALS[second]
