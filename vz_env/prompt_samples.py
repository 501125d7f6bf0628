"""A sample of everything a policy can be told, for `prompts.prompt_hash`: two versions that say the same hash the same.

An episode is acted out without a video: each protocol reads a fixed script of good and bad replies, and what it says of
them is kept, together with what the describer says of two small pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from . import prompts
from .action_types import Grammar
from .actions import MAX_ACTION_CHARS, InvalidAction, SubtitleSearch
from .budget import Budget, BudgetState
from .episode import Episode
from .episode_state import EpisodeState
from .look import Look, VideoClock, no_frames
from .pictures import PICTURE_WORDS
from .protocols import Protocol, as_protocol
from .subtitles import SubtitleLine
from .video.describe import describe_palette, mark_changes
from .video.palette import PALETTE

__all__ = ["wording_samples"]

_EPISODE: Final = Episode(id="q", question="Q?", video_path=Path("v.mp4"), options=("x", "y"), context_text="C")
_GOOD: Final = '<video_zoom>{"segment":[4,6],"fps":2}</video_zoom>'
_SCRIPT: Final = (
    "",
    _GOOD + _GOOD,
    _GOOD + "<answer>A</answer>",
    "<answer></answer>",
    "<answer>" + "A" * (MAX_ACTION_CHARS + 1),
    "<video_zoom>4 to 6</video_zoom>",
    '<video_zoom>{"segment":"46","fps":2}</video_zoom>',
    '<video_zoom>{"segment":[6,4],"fps":2}</video_zoom>',
    '<video_zoom>{"segment":[4,6],"fps":0}</video_zoom>',
    '<video_zoom>{"segment":[30,38],"fps":2}</video_zoom>',
    '<video_zoom>{"segment":[0,20],"fps":1}</video_zoom>',
    '<video_zoom>{"segment":[5,5.2],"fps":2}</video_zoom>',
    '<video_zoom>{"segment":[-2,22],"fps":0.5}</video_zoom>',
    _GOOD,
    _GOOD,
    '<video_zoom>{"segment":[10,14],"fps":2}</video_zoom>',
    '<video_zoom>{"segment":[10,11],"fps":2}</video_zoom>',
)
_WITH_EYES: Final = (
    "<answer>A</answer>",
    '<video_zoom>{"segment":[4,6],"fps":2,"crop":[0,0,0.5,1]}</video_zoom>',
    '<video_zoom>{"segment":[4,6],"fps":2,"crop":[1,0,0.5,1]}</video_zoom>',
    '<video_zoom>{"segment":[0,19],"fps":2}</video_zoom>',
    "<subtitle_search></subtitle_search>",
    "<subtitle_search>w</subtitle_search>",
    '<tool_call>{"name":"look"}</tool_call>',
    _GOOD + '<video_zoom>{"segment":[7,8],"fps":2}</video_zoom>',
)


def wording_samples(protocol: str, *, with_options: bool) -> list[str]:
    """What is said in one protocol.

    Args:
        protocol: its name.
        with_options: also what eyes, budgets and modes say that are off by default; only `strict` has any.
    """
    plain = as_protocol(protocol, grammar=Grammar(), zoom_mode="free", zoom_fps=None)
    samples = [prompts.EPISODE_OVER, *_described(), plain.system_text(Budget()), plain.system_text(Budget(max_zooms=0))]
    zooms = 3 if protocol == "strict" else 8  # as many as it takes to be told that the next round is the last
    samples += _acted(plain, Grammar(), Budget(max_turns=9, max_zooms=zooms), _SCRIPT)
    if with_options and protocol == "strict":
        every = Grammar(crop=True, subtitle_search=True, several_zooms=True, aliases=True)
        for mode, fps in (("free", None), ("forced", 2.0)):
            rules = as_protocol(protocol, grammar=every, zoom_mode=mode, zoom_fps=fps)
            budget = Budget(max_zooms=4, max_seconds=18.0, max_searches=1)
            samples += [
                rules.system_text(budget),
                *_acted(rules, every, budget, _WITH_EYES + _SCRIPT),
            ]
    return samples


def _described() -> list[str]:
    """What the palette says of a plain picture, of one in two colours, and of both in a row."""
    plain = np.empty((8, 8, 3), dtype=np.uint8)
    plain[:] = PALETTE["teal"]
    mixed = plain.copy()
    mixed[:, :5] = PALETTE["red"]
    words = [describe_palette(picture, 0.0, _EPISODE) for picture in (plain, plain, mixed)]
    return mark_changes(words)


def _acted(protocol: Protocol, grammar: Grammar, budget: Budget, script: tuple[str, ...]) -> Iterator[str]:
    """What a protocol says to each reply of a script; an episode that is over goes on all the same."""
    clock = VideoClock(20.0, 500, 25.0)
    state = BudgetState(
        budget,
        has_several_zooms=grammar.several_zooms,
        has_searches=grammar.subtitle_search,
        may_overdraw=protocol.may_overdraw,
    )
    overview = Look(no_frames(), np.array([0.0, 0.625]), ("new teal 88%", ""))
    picture = Look(no_frames(), np.array([20.0]), (PICTURE_WORDS,))
    run = EpisodeState(episode=_EPISODE, clock=clock, state=state, overview=overview, pictures=picture)
    yield protocol.overview_text(run)
    for text in script:
        decision = protocol.read(text, run)
        if isinstance(decision, InvalidAction):
            yield protocol.error_text(run, decision)
        elif isinstance(decision, SubtitleSearch):
            state.spend(searches=1)
            lines = [SubtitleLine(1.0, 2.0, "words")]
            yield from (
                protocol.search_text(run, "w", lines[:shown], found) for shown, found in ((0, 0), (1, 1), (1, 2))
            )
        elif isinstance(decision, tuple):
            run.add_zooms(decision)
            looks = [
                Look(no_frames(), plan.timestamps_seconds, ("",) * len(plan.timestamps_seconds)) for plan in decision
            ]
            yield protocol.zoom_text(run, decision, looks)
        else:
            yield type(decision).__name__
