"""`VideoZoomEnv`: one question about one long video, answered after zooming into it. The only episode state machine."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from .actions import MAX_ACTION_CHARS, Answer, InvalidAction, Zoom, parse_action
from .budget import Budget, BudgetState, as_budget
from .episode import Episode
from .episode_state import EpisodeState
from .errors import ConfigError, ResetNeeded
from .evidence import evidence_coverage, is_evidence_hit
from .observer import Observer
from .render import contact_sheet, timeline
from .rewards import EpisodeEnd, RewardConfig, end_terms, reward_config, step_terms
from .scoring import describe_parsed, score_answer
from .spaces import FrameStack, Timestamps, Unicode
from .video.sampling import overview_count, overview_timestamps
from .zoom_rules import ZoomPlan, plan_zoom

if TYPE_CHECKING:
    from .datasets.dataset import Dataset
    from .video.describe import Describer

__all__ = ["VideoZoomEnv"]

MAX_OBSERVATION_CHARS: Final = 1 << 20

StepResult = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]


class VideoZoomEnv(gym.Env[dict[str, Any], str]):
    """One question about one long video.

    ## Description
    The episode opens with a few frames spread over the whole video and a question. The policy zooms into segments, at a
    frame rate it chooses, until it answers or its budget is spent.

    ## Action space
    `Unicode`: an optional `<think>...</think>`, then exactly one of
    `<video_zoom>{"segment":[start,end],"fps":n}</video_zoom>` (seconds, frames a second) or `<answer>...</answer>`.
    A zoom shows the frames at start + k / fps, k = 0..floor(duration * fps) - 1.

    ## Observation space
    `Dict`: `text` (this turn's message, complete for a policy that only reads), `frames` uint8 (n, height, width, 3),
    `timestamps` float64 (n,) seconds, `budget` (`turns`, `zooms`, `frames` left, int64).

    ## Starting state
    `reset(options={"episode_id": id})` chooses the episode; without it the seeded generator does.

    ## Rewards
    A weighted sum of accuracy, format and costs: see `RewardConfig`. Preset `strict`: 1 for the right answer, -0.1 for
    each mistake.

    ## Episode end
    Terminated by an answer. Truncated when the turns are spent (`out_of_turns`) or after more mistakes than allowed
    (`invalid_limit`); a mistake spends a turn, never raises. A broken video raises `VideoError` and spends nothing.

    ## Information
    At reset: `episode_id, dataset, split, video_id, duration_seconds, frames_used, turn`. At a step: `turn`,
    `frames_used`, `action` ("zoom", "answer", "invalid"), `invalid_code`, `segment` as clamped, `fps`, `frames_new`
    (moments not shown before). With the end of the episode also: `end_reason, score` (None: cannot be graded), `answer,
    parsed, evidence_hit, evidence_coverage` (None: no evidence is known), `zooms, invalid_actions, reward_terms`.

    ## Arguments
    - `dataset`: a `Dataset`, or the name of a registered one, loaded with `split` and `dataset_options`.
    - `root`: the folder of a dataset given by name, short for `dataset_options={"root": ...}`.
    - `overview_fps`: at most so many overview frames a second, and at most `budget.overview_frames`; at least one.
    - `budget`: a `Budget`, or some of its limits as a mapping.
    - `describe`: words beside each frame: `none`, `palette` (`new`: another largest colour), `captions`, or a callable.
    - `reward`: a preset's name, a `RewardConfig`, or some of its weights as a mapping.
    - `with_frames`: False leaves `frames` empty; frames are decoded for the description alone, and only when it is new.
    - `frame_size`: (width, height) of frames; by default the aspect is kept and `budget.max_pixels` bounds them.
    - `render_mode`: `ansi` (a timeline) or `rgb_array` (a contact sheet).

    ## Version history
    v0: first release.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012  (Gymnasium declares it so)

    def __init__(
        self,
        dataset: Dataset | str,
        *,
        root: str | os.PathLike[str] | None = None,
        split: str | None = None,
        overview_fps: float | None = None,
        budget: Budget | Mapping[str, int] | None = None,
        describe: str | Describer = "palette",
        reward: str | RewardConfig | Mapping[str, float] = "strict",
        with_frames: bool = True,
        frame_size: tuple[int, int] | None = None,
        render_mode: str | None = None,
        dataset_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the dataset; no video is opened."""
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"render_mode must be None or one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        if overview_fps is not None and not 0.0 < overview_fps < math.inf:
            raise ConfigError(f"overview_fps must be positive and finite, got {overview_fps}")
        self.dataset = _load(dataset, split, root, dataset_options)
        self.overview_fps = overview_fps
        self.budget = as_budget(budget)
        self.reward_config = reward_config(reward)
        self.render_mode = render_mode
        self._observer = Observer(
            describe=describe,
            root=self.dataset.root,
            max_pixels=self.budget.max_pixels,
            frame_size=frame_size,
            with_frames=with_frames,
        )
        self._run: EpisodeState | None = None
        self.action_space = Unicode(16 * MAX_ACTION_CHARS)
        self.observation_space = self._make_observation_space(frame_size)

    def _make_observation_space(self, frame_size: tuple[int, int] | None) -> Dict:
        """Bounds that every observation keeps."""
        budget = self.budget
        most_frames = max(budget.overview_frames, min(budget.max_frames_per_zoom, budget.max_frames))
        most_pixels = frame_size[0] * frame_size[1] if frame_size else budget.max_pixels
        limits = {"turns": budget.max_turns, "zooms": budget.max_zooms, "frames": budget.max_frames}
        left: dict[str, gym.Space[Any]] = {
            name: Box(0, limit, shape=(), dtype=np.int64) for name, limit in limits.items()
        }
        return Dict(
            {
                "text": Unicode(MAX_OBSERVATION_CHARS),
                "frames": FrameStack(most_frames, most_pixels),
                "timestamps": Timestamps(most_frames),
                "budget": Dict(left),
            }
        )

    @property
    def episode(self) -> Episode:
        """The public half of the running (or just ended) episode."""
        return self._current().episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: seeds the generator that chooses episodes.
            options: `{"episode_id": id}` to choose one; nothing else is known.

        Raises:
            UnknownEpisode: when the dataset holds no such id.
            VideoError: when the episode's video cannot be read; the env then wants another reset.
        """
        super().reset(seed=seed)
        self._run = None
        if unknown := set(options or {}) - {"episode_id"}:
            raise ConfigError(f"reset options know 'episode_id' alone, got {sorted(unknown)}")
        episode_id = (options or {}).get("episode_id")
        if episode_id is None:
            episode_id = self.dataset.episodes[int(self.np_random.integers(len(self.dataset)))].id
        episode = self.dataset.episode(episode_id)
        duration = self._observer.duration_seconds(episode)
        frames = overview_count(duration, self.budget.overview_frames, self.overview_fps)
        look = self._observer.look(episode, overview_timestamps(duration, frames))
        state = BudgetState(self.budget)
        state.spend(frames=len(look.timestamps_seconds))
        run = self._run = EpisodeState(episode=episode, duration_seconds=duration, state=state, overview=look)
        info = {
            "episode_id": episode.id,
            "dataset": episode.dataset or self.dataset.name,
            "split": episode.split or self.dataset.split,
            "video_id": episode.video_id,
            "duration_seconds": duration,
            "frames_used": state.frames_used,
            "turn": 0,
        }
        return run.overview_observation(), info

    def step(self, action: str) -> StepResult:
        """Take one action: zoom, answer, or a mistake.

        Raises:
            ResetNeeded: before `reset`, or after the episode ended.
            ConfigError: when the action is no str.
            VideoError: when the frames of a zoom cannot be read; nothing is spent then, the step may be tried again.
        """
        run = self._current()
        if run.end_reason is not None:
            raise ResetNeeded("the episode has ended: call reset() before the next step()")
        parsed = parse_action(_as_text(action))
        if isinstance(parsed, Answer):
            return self._answer(run, parsed)
        if isinstance(parsed, InvalidAction):
            return self._refuse(run, parsed)
        made = [(plan.segment, plan.fps) for plan in run.zooms]
        planned = plan_zoom(parsed, duration_seconds=run.duration_seconds, state=run.state, made=made)
        if isinstance(planned, InvalidAction):
            return self._refuse(run, planned)
        return self._zoom(run, planned)

    def moments(self, action: str) -> NDArray[np.float64]:
        """The moments, float64 (n,) seconds, that `step(action)` would show; none for what is no legal zoom.

        Spends nothing. A caller that steps many environments decodes ahead what they share: `look_ahead`.
        """
        run = self._current()
        parsed = parse_action(_as_text(action))
        if run.end_reason is not None or not isinstance(parsed, Zoom):
            return np.zeros(0)
        made = [(plan.segment, plan.fps) for plan in run.zooms]
        planned = plan_zoom(parsed, duration_seconds=run.duration_seconds, state=run.state, made=made)
        return np.zeros(0) if isinstance(planned, InvalidAction) else planned.timestamps_seconds

    def look_ahead(self, timestamps_seconds: NDArray[np.float64]) -> None:
        """Bring moments of the running episode's video into the caches, so that steps find them there.

        Raises:
            VideoError: when the video cannot be read.
        """
        self._observer.warm(self._current().episode, timestamps_seconds)

    def _zoom(self, run: EpisodeState, plan: ZoomPlan) -> StepResult:
        """Show the frames of a legal zoom."""
        look = self._observer.look(run.episode, plan.timestamps_seconds)  # may raise: before anything is spent
        new = run.add_zoom(plan)
        terms = step_terms(self.reward_config, is_invalid=False, zoom_frames=len(plan.timestamps_seconds))
        segment = [plan.segment.start_seconds, plan.segment.end_seconds]
        info = {"action": "zoom", "segment": segment, "fps": plan.fps, "frames_new": new}
        return self._close_step(run, run.zoom_observation(plan, look), terms, info)

    def _refuse(self, run: EpisodeState, invalid: InvalidAction) -> StepResult:
        """Spend a turn on a mistake and say what would have been legal."""
        run.state.spend(turns=1, invalid=1)
        terms = step_terms(self.reward_config, is_invalid=True, zoom_frames=0)
        info = {"action": "invalid", "invalid_code": invalid.code}
        return self._close_step(run, run.error_observation(invalid), terms, info)

    def _answer(self, run: EpisodeState, answer: Answer) -> StepResult:
        """End the episode with an answer."""
        run.state.spend(turns=1)
        return self._close_step(run, run.final_observation(), {}, {"action": "answer"}, answer=answer)

    def _close_step(
        self,
        run: EpisodeState,
        observation: dict[str, Any],
        terms: dict[str, float],
        info: dict[str, Any],
        *,
        answer: Answer | None = None,
    ) -> StepResult:
        """End the episode if this step does, add up the reward, fill in the info."""
        run.close_step(is_answered=answer is not None)
        info = {"invalid_code": None, "segment": None, "fps": None, "frames_new": 0, **info}
        if run.end_reason is not None:
            observation = run.final_observation()
            ending, grades = self._grade(run, answer)
            terms, info = {**terms, **ending}, {**info, **grades}
        for name, value in terms.items():
            run.terms[name] += value
        if run.end_reason is not None:
            info["reward_terms"] = dict(run.terms)
        info |= {"turn": run.state.turns_used, "frames_used": run.state.frames_used}
        is_truncated = run.end_reason is not None and answer is None
        return observation, float(sum(terms.values())), answer is not None, is_truncated, info

    def _grade(self, run: EpisodeState, answer: Answer | None) -> tuple[dict[str, float], dict[str, Any]]:
        """What the end of an episode pays, and what may be known from then on."""
        key = self.dataset.key(run.episode.id)  # the only place that reads it before the end
        score = score_answer(answer.text if answer else None, run.episode, key)
        invalid = run.state.invalid_used
        end = EpisodeEnd(score=score, is_answered=answer is not None, invalid_actions=invalid, new_zooms=run.new_zooms)
        grades = {
            "end_reason": run.end_reason,
            "score": score.value,
            "answer": answer.text if answer else None,
            "parsed": describe_parsed(score.parsed, run.episode),
            "evidence_hit": is_evidence_hit(run.zoomed_seconds(), key.evidence) if key.evidence else None,
            "evidence_coverage": evidence_coverage([plan.segment for plan in run.zooms], key.evidence),
            "zooms": len(run.zooms),
            "invalid_actions": invalid,
        }
        return end_terms(self.reward_config, end), grades

    def render(self) -> Any:
        """Draw the episode: text in mode `ansi`, a (height, width, 3) picture in mode `rgb_array`."""
        if self.render_mode is None:
            return None
        run = self._current()
        drawn: dict[str, Any] = {
            "duration_seconds": run.duration_seconds,
            "overview_seconds": run.overview.timestamps_seconds.tolist(),
            "zooms": [plan.segment for plan in run.zooms],
            "evidence": self.dataset.key(run.episode.id).evidence if run.end_reason is not None else (),
        }
        if self.render_mode == "ansi":
            return timeline(**drawn, question=run.episode.question)
        times = run.zooms[-1].timestamps_seconds if run.zooms else run.overview.timestamps_seconds
        return contact_sheet(self._observer.frames(run.episode, times), times.tolist(), **drawn)

    def _current(self) -> EpisodeState:
        """The running or just ended episode."""
        if self._run is None:
            raise ResetNeeded("no episode is running: call reset() first")
        return self._run

    def __repr__(self) -> str:
        """Show the dataset; never an answer."""
        return f"VideoZoomEnv({self.dataset!r})"


def _as_text(action: Any) -> str:
    """The action, if it is text: anything else is a caller's mistake, not a policy's."""
    if not isinstance(action, str):
        raise ConfigError(f"an action must be a str, got {type(action).__name__}")
    return action


def _load(
    dataset: Dataset | str,
    split: str | None,
    root: str | os.PathLike[str] | None,
    options: Mapping[str, Any] | None,
) -> Dataset:
    """Load a dataset by name; one that is loaded already takes neither split nor options, and no other root."""
    given: dict[str, Any] = {"split": split, "root": root}
    if isinstance(dataset, str):
        from .datasets.registry import load_dataset

        return load_dataset(
            dataset, **{name: value for name, value in given.items() if value is not None}, **(options or {})
        )
    if root is not None and dataset.root != Path(root).resolve():
        raise ConfigError(f"root is for datasets given by name: this one is loaded already, from {dataset.root}")
    if (split is not None and split != dataset.split) or options:
        raise ConfigError("split and dataset_options are for datasets given by name: this one is loaded already")
    return dataset
