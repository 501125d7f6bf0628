"""The protocol `videozoomer`: frames, timestamps, errors, end and reward of the published VideoZoomer system.

For policies trained on that system, and for comparing with its numbers. The tags and the frame labels are its own, the
sentences around them are ours. Its flaws are kept, and are what `strict` does otherwise: see the concepts page.

What differs: a frame is the one that is on when its number over the average rate says, so that a file of variable rate
shows what its labels claim; and questions that its reward asks a judge about are graded offline, or left ungraded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..actions import MAX_ACTION_CHARS, Answer, InvalidAction
from ..budget import Budget
from ..episode import AnswerKey, Segment
from ..episode_state import EpisodeState
from ..look import Look, VideoClock
from ..prompts import option_letter
from ..rewards import EndValues
from ..scoring import Score, extract_choice, score_answer
from ..subtitles import SubtitleLine
from ..zoom_rules import ZoomPlan
from .base import Decision, Moments, Protocol, Stop
from .published_clip import Clip, find_zoom, overview_indices, plan_clip, read_request, spoken
from .published_reward import candidate_answer, count_zooms, is_format_right, is_right_choice

__all__ = ["PublishedProtocol"]

_SYSTEM_TEXT = """You are a helpful assistant. You get a video at a low frame rate, and a question about it.
Where you need to see more, ask for a clip at a higher rate: \
<video_zoom>{{"segment": [start_sec, end_sec], "fps": number}}</video_zoom>
(end_sec - start_sec) * fps must not be more than {most}. For example \
<video_zoom>{{"segment": [4, 6], "fps": 2}}</video_zoom> shows the part from 4 s to 6 s at 2 frames a second.
When you zoom, do not answer in the same turn. You may zoom again until you have seen enough or are told to stop.
Think first, inside <think></think>. Give the answer inside <answer></answer>."""
_LAST_ROUND = "No zoom is left, answer now."
_AFTER_FRAMES = "Think about these frames, then zoom again or answer."
_AFTER_ERROR = "Find what was wrong with the zoom, and do it differently."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedProtocol(Protocol):
    """See the module.

    Args:
        is_zoom_forced: an episode without an attempted zoom earns nothing.
        zoom_fps: the rate of every zoom, of which the policy is not told; None to do as asked.
    """

    is_zoom_forced: bool
    zoom_fps: float | None

    name = "videozoomer"
    wants_clock = True
    may_overdraw = True

    def system_text(self, budget: Budget) -> str:
        """What the published prompt tells, in our words: the tool, its JSON, its limit of frames, and the tags."""
        return _SYSTEM_TEXT.format(most=budget.max_frames_per_zoom)

    def overview(self, clock: VideoClock, frames: int, fps: float | None) -> Moments:
        """Every second at 0.5 fps, or so many frames from the first to the last one."""
        rate = {} if fps is None else {"fps": fps}
        return _moments(overview_indices(clock.frame_count, clock.average_fps, frames, **rate), clock)

    def read(self, text: str, run: EpisodeState) -> Decision:
        """A complete zoom is a zoom, wherever it stands; anything else ends the episode."""
        text = text[:MAX_ACTION_CHARS]
        body = find_zoom(text)
        if body is None:
            candidate = candidate_answer([text]).encode("utf-8", "replace").decode("utf-8").strip()
            return Answer(candidate) if "<answer>" in text else Stop("stopped")
        if run.state.zooms_left < 1:
            return Stop("exceeded", is_truncated=True, invalid=InvalidAction("LAST_TURN", _LAST_ROUND))
        request = read_request(body)
        if isinstance(request, InvalidAction):
            return request
        start, end, fps = request
        clock = run.clock
        clip = plan_clip(
            start,
            end,
            self.zoom_fps or fps,
            frame_count=clock.frame_count,
            average_fps=clock.average_fps,
            most=run.state.budget.max_frames_per_zoom,
        )
        return clip if isinstance(clip, InvalidAction) else (self._plan(clip, (start, end), fps, run),)

    def _plan(self, clip: Clip, asked: tuple[float, float], fps: float, run: EpisodeState) -> ZoomPlan:
        """A clip as the plan of a zoom."""
        rate = run.clock.average_fps
        moments = _moments(clip.indices, run.clock)
        return ZoomPlan(
            Segment(clip.first / rate, (clip.last + 1) / rate),
            self.zoom_fps or fps,
            moments.named,
            asked[0] < 0,
            asked[1] > run.duration_seconds,
            is_fps_fixed=self.zoom_fps is not None,
            read_at_seconds=moments.read_at,
        )

    def end_reason(self, run: EpisodeState) -> str | None:
        """Nothing ends an episode but the policy, and a zoom in the last round."""
        return None

    def overview_text(self, run: EpisodeState) -> str:
        """The labelled frames, then the question and its options; neither the length nor the budget is told."""
        episode = run.episode
        lines = _labels(*run.opening_lines())
        lines += [*([episode.context_text] if episode.context_text else []), episode.question]
        lines += [f"{option_letter(index)}. {option}" for index, option in enumerate(episode.options)]
        return "\n".join(lines)

    def zoom_text(self, run: EpisodeState, plans: Sequence[ZoomPlan], looks: Sequence[Look]) -> str:
        """The labelled frames; an empty clip is announced like any other."""
        lines = ["<tool_response>", "These are the frames of the clip:"]
        lines += [line for look in looks for line in _labels(look.timestamps_seconds.tolist(), look.descriptions)]
        return "\n".join([*lines, "</tool_response>", _AFTER_FRAMES]) + self._notice(run)

    def error_text(self, run: EpisodeState, invalid: InvalidAction) -> str:
        """What the tool says of an error; one that came of the video has an opening tag at both ends, as published."""
        end = "</tool_response>" if invalid.code in ("BAD_JSON", "BAD_TYPE") else "<tool_response>"
        return f"<tool_response>error information: {invalid.message}{end}\n{_AFTER_ERROR}" + self._notice(run)

    def search_text(self, run: EpisodeState, words: str, lines: Sequence[SubtitleLine], found: int) -> str:
        """Never asked for: this protocol has no searches."""
        raise NotImplementedError

    def _notice(self, run: EpisodeState) -> str:
        """That the next round is the last, glued on without a space, as published."""
        return _LAST_ROUND if run.state.turns_left == 1 else ""

    def grade(self, run: EpisodeState, answer: Answer | None, key: AnswerKey) -> tuple[Score, EndValues]:
        """The published terms: accuracy of whatever letter can be found, format, and any attempt at a zoom."""
        turns, episode = [spoken(reply) for reply in run.replies], run.episode
        candidate = candidate_answer(turns)
        score = score_answer(candidate, episode, key)
        if episode.answer_kind == "choice" and key.answer_indices and not key.needs_judge:
            letters = [option_letter(index) for index in key.answer_indices]
            is_right = any(is_right_choice(candidate, letter) for letter in letters)
            score = Score(float(is_right), extract_choice(candidate, episode.options))
        most = run.state.budget.max_frames_per_zoom
        zooms = count_zooms(turns, most)
        if self.is_zoom_forced and not zooms.count:
            return score, EndValues()
        values = EndValues(
            accuracy=score.value or 0.0,
            format=float(is_format_right(turns, most)),
            is_correct=score.is_correct,
            has_zoom_credit=zooms.count > 0,
            zooms=zooms.count,
            zoom_frames=zooms.frames,
        )
        return score, values


def _moments(indices: NDArray[np.int64], clock: VideoClock) -> Moments:
    """Frame numbers as seconds; read half a frame later, where rounded container times cannot show the one before."""
    numbers = indices.astype(np.float64)
    return Moments(numbers / clock.average_fps, (numbers + 0.5) / clock.average_fps)


def _labels(times: Sequence[float], descriptions: Sequence[str]) -> list[str]:
    """A line a frame: its number in the message, its time in the video, and its words where there are any."""
    return [
        f"<frame{number}_time{time:.2f}s>{f' {words}' if words else ''}"
        for number, (time, words) in enumerate(zip(times, descriptions, strict=True))
    ]
