"""The default protocol: exact 1/fps spacing, clamping that is reported, and every mistake named by its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import prompts
from ..actions import Answer, Grammar, InvalidAction, SubtitleSearch, Zoom, Zooms, parse_action
from ..budget import Budget
from ..episode import AnswerKey
from ..episode_state import EpisodeState
from ..look import Look, VideoClock
from ..rewards import EndValues, EpisodeEnd, end_values
from ..scoring import Score, score_answer
from ..subtitles import SubtitleLine
from ..video.sampling import overview_count, overview_timestamps
from ..zoom_rules import ZoomPlan, plan_zooms
from .base import Decision, Moments, Protocol

__all__ = ["StrictProtocol"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictProtocol(Protocol):
    """The rules of `zoom_rules`, the words of `prompts`, the grading of `scoring`.

    Args:
        grammar: the eyes that are switched on.
        is_zoom_forced: an answer is a mistake while a zoom is left and none has been made.
        zoom_fps: the rate of every zoom; None to do as asked.
    """

    grammar: Grammar
    is_zoom_forced: bool
    zoom_fps: float | None

    name = "strict"

    def system_text(self, budget: Budget) -> str:
        """The rules, and the eyes that are switched on."""
        return prompts.system_message(budget, self.grammar)

    def overview(self, clock: VideoClock, frames: int, fps: float | None) -> Moments:
        """Evenly spread from the start: k * duration / n."""
        count = overview_count(clock.duration_seconds, frames, fps)
        moments = overview_timestamps(clock.duration_seconds, count)
        return Moments(moments, moments)

    def read(self, text: str, run: EpisodeState) -> Decision:
        """Parse, then hold zooms and searches against the video and the budget."""
        parsed = parse_action(text, self.grammar)
        if isinstance(parsed, Zoom | Zooms):
            return plan_zooms(
                parsed.zooms if isinstance(parsed, Zooms) else (parsed,),
                duration_seconds=run.duration_seconds,
                state=run.state,
                made=[plan.key for plan in run.zooms],
                fixed_fps=self.zoom_fps,
            )
        if isinstance(parsed, SubtitleSearch) and run.state.searches_left < 1:
            return InvalidAction("LAST_TURN", "No search is left, the line below says what is.")
        if isinstance(parsed, Answer) and self.is_zoom_forced and not run.zooms and run.state.zooms_left:
            return InvalidAction("ZOOM_FIRST", "Zoom at least once before you answer.")
        return parsed

    def end_reason(self, run: EpisodeState) -> str | None:
        """Too many mistakes, or no turn left."""
        if run.state.is_over_invalid:
            return "invalid_limit"
        return "out_of_turns" if run.state.turns_left == 0 else None

    def overview_text(self, run: EpisodeState) -> str:
        """The question, the video's length, the overview, what is left."""
        episode, (times, descriptions) = run.episode, run.opening_lines()
        return prompts.overview_message(
            question=episode.question,
            options=episode.options,
            duration_seconds=run.duration_seconds,
            timestamps_seconds=times,
            descriptions=descriptions,
            context_text=episode.context_text,
            **self._left(run),
        )

    def zoom_text(self, run: EpisodeState, plans: Sequence[ZoomPlan], looks: Sequence[Look]) -> str:
        """What each zoom really showed, then what is left."""
        shown = [
            prompts.zoom_lines(
                segment=plan.segment,
                timestamps_seconds=look.timestamps_seconds.tolist(),
                descriptions=look.descriptions,
                is_start_clamped=plan.is_start_clamped,
                is_end_clamped=plan.is_end_clamped,
                fixed_fps=plan.fps if plan.is_fps_fixed else None,
                crop=plan.crop,
            )
            for plan, look in zip(plans, looks, strict=True)
        ]
        return "\n".join([*(line for lines in shown for line in lines), prompts.left_line(**self._left(run))])

    def error_text(self, run: EpisodeState, invalid: InvalidAction) -> str:
        """The code, one sentence that says what is legal, what is left."""
        return prompts.error_message(invalid, **self._left(run))

    def search_text(self, run: EpisodeState, words: str, lines: Sequence[SubtitleLine], found: int) -> str:
        """The lines with their times, then what is left."""
        return prompts.search_message(words=words, lines=lines, found=found, **self._left(run))

    def grade(self, run: EpisodeState, answer: Answer | None, key: AnswerKey) -> tuple[Score, EndValues]:
        """The answer alone counts; credit for zooming only where a zoom showed something new."""
        score = score_answer(answer.text if answer else None, run.episode, key)
        end = EpisodeEnd(
            score=score,
            is_answered=answer is not None,
            invalid_actions=run.state.invalid_used,
            new_zooms=run.new_zooms,
            zooms=len(run.zooms),
            zoom_frames=sum(len(plan.timestamps_seconds) for plan in run.zooms),
        )
        return score, end_values(end)

    def _left(self, run: EpisodeState) -> dict[str, Any]:
        """What may still be asked for, as the functions of `prompts` take it."""
        state, extras = run.state, []
        if self.grammar.several_zooms and state.zooms_left > 1:
            extras.append(f"{state.frames_left} frames in all")
        if state.seconds_left is not None and state.zooms_left:
            extras.append(f"{prompts.format_seconds(state.seconds_left)} of video")
        if self.grammar.subtitle_search:
            extras.append(f"{state.searches_left} search{'es' * (state.searches_left != 1)}")
        return {"zooms_left": state.zooms_left, "frames_per_zoom": state.frames_per_zoom, "extras": extras}
