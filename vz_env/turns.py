"""What one action of an episode comes to: the reply, the costs, what `info` says. Spends the budget; grades nothing.

Nothing here looks at a video or at the key: what a zoom shows is handed over, so that a fault of it has cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from . import prompts
from .actions import Answer, InvalidAction, SubtitleSearch
from .episode_state import EpisodeState
from .look import Look
from .protocols import Protocol, Stop
from .rewards import RewardConfig, step_terms
from .subtitles import SubtitleTrack
from .zoom_rules import ZoomPlan

__all__ = ["Turn", "last_turn", "mistake_turn", "search_turn", "zoom_turn"]

MAX_LINES_A_SEARCH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One action, taken: the reply, what `info` says, the weighted costs by name, and the end where it is one."""

    observation: dict[str, Any]
    info: dict[str, Any]
    terms: dict[str, float] = field(default_factory=dict)
    end: Answer | Stop | None = None


def zoom_turn(
    run: EpisodeState,
    plans: Sequence[ZoomPlan],
    looks: Sequence[Look],
    *,
    protocol: Protocol,
    config: RewardConfig,
    tells_segments: bool,
) -> Turn:
    """Show the frames of the legal zooms of a turn.

    Args:
        run: the episode, which spends and keeps the zooms.
        plans: what is zoomed into.
        looks: what each of the plans shows.
        protocol: says it in words.
        config: what it costs.
        tells_segments: whether `info` names every segment besides the first.
    """
    new = run.add_zooms(plans)
    frames = sum(len(plan.timestamps_seconds) for plan in plans)
    segments = [[plan.segment.start_seconds, plan.segment.end_seconds] for plan in plans]
    info: dict[str, Any] = {
        "action": "zoom",
        "segment": segments[0],
        "clamped": plans[0].clamped,
        "fps": plans[0].fps,
        "frames_new": new,
    }
    return Turn(
        observation=run.observation(protocol.zoom_text(run, plans, looks), looks),
        info=info | ({"segments": segments} if tells_segments else {}),
        terms=step_terms(config, is_invalid=False, zoom_frames=frames, zooms=len(plans)),
    )


def search_turn(run: EpisodeState, search: SubtitleSearch, track: SubtitleTrack, *, protocol: Protocol) -> Turn:
    """Show the lines of the subtitles that a search finds."""
    lines, found = track.search(search.words, MAX_LINES_A_SEARCH)
    run.state.spend(turns=1, searches=1)
    return Turn(
        observation=run.observation(protocol.search_text(run, search.words, lines, found)),
        info={"action": "search", "lines_found": found},
    )


def mistake_turn(run: EpisodeState, invalid: InvalidAction, *, protocol: Protocol, config: RewardConfig) -> Turn:
    """Say what was wrong and what is legal."""
    run.state.spend(turns=1, invalid=1)
    return Turn(
        observation=run.observation(protocol.error_text(run, invalid)),
        info=_mistake_info(invalid),
        terms=step_terms(config, is_invalid=True, zoom_frames=0),
    )


def last_turn(run: EpisodeState, end: Answer | Stop) -> Turn:
    """Take the answer, or whatever else ends the episode by itself."""
    run.state.spend(turns=1)
    info: dict[str, Any] = {"action": "answer" if isinstance(end, Answer) else "stop"}
    if isinstance(end, Stop) and end.invalid is not None:
        info = _mistake_info(end.invalid)
    return Turn(observation=run.observation(prompts.EPISODE_OVER), info=info, end=end)


def _mistake_info(invalid: InvalidAction) -> dict[str, Any]:
    """What `info` says of a mistake."""
    return {"action": "invalid", "invalid_code": invalid.code}
