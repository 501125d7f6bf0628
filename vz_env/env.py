"""`VideoZoomEnv`: one question about one long video, answered after zooming into it. The only episode state machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from . import prompts
from . import shared_spaces as _shared_spaces  # noqa: F401  (importing it tells Gymnasium how processes share them)
from .action_types import Grammar, as_grammar
from .actions import MAX_ACTION_CHARS, Answer, InvalidAction, SubtitleSearch
from .budget import PUBLISHED_BUDGET, Budget, BudgetState, as_budget
from .env_arguments import as_action_text, check_overview, open_dataset
from .episode import Episode
from .episode_end import end_episode
from .episode_start import begin_episode
from .episode_state import EpisodeState
from .errors import ConfigError, ResetNeeded
from .look import Look
from .observer import Observer
from .protocols import Decision, Stop, as_protocol
from .render import draw_sheet, draw_timeline
from .rewards import RewardConfig, TrainingProgress, reward_config
from .spaces import Unicode, make_observation_space
from .turns import Turn, last_turn, mistake_turn, search_turn, zoom_turn
from .zoom_rules import ZoomPlan

if TYPE_CHECKING:
    from .datasets.dataset import Dataset
    from .video.describe import Describer

__all__ = ["VideoZoomEnv"]

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
    `timestamps` float64 (n,) seconds, `budget` (int64: `turns`, `zooms`, `frames` left, `frames_per_zoom` of the next
    zoom). Pictures that belong to the question come behind the overview's frames, at the time of the video's end; they
    cost no frame of the budget.

    ## Starting state
    `reset(options={"episode_id": id})` chooses the episode; without it the seeded generator does.

    ## Rewards
    A weighted sum of accuracy, format and costs: see `RewardConfig`. Preset `strict`: 1 for the right answer, -0.1 for
    each mistake. `videozoomer` and `videozoomer-script`: the weights of the paper, and of its published script. Weights
    that depend on a training read `progress`, which a trainer sets: `TrainingProgress`.

    ## Episode end
    Terminated by an answer. Truncated when the turns are spent (`out_of_turns`) or after more mistakes than allowed
    (`invalid_limit`); a mistake spends a turn, never raises. A broken video raises `VideoError` and spends nothing.
    Protocol `videozoomer` is also terminated by a reply without any action (`stopped`), and truncated by a zoom when
    none is left (`exceeded`).

    ## Information
    At reset: `episode_id, dataset, split, video_id, duration_seconds, frames_used, turn, budget` (the limits of the
    episode: `turns, zooms, frames_per_zoom, frames, pixels, mistakes, seconds, searches`). At a step: `turn`,
    `frames_used`, `action` ("zoom", "search", "answer", "invalid", "stop"), `invalid_code`, `segment` as clamped,
    `clamped` ("start", "end", "both"), `fps`, `frames_new` (moments not shown before); of several zooms those of the
    first, and `segments` of all; of a search `lines_found`. With the end of the episode also: `end_reason, score`
    (None: cannot be graded), `answer, parsed, evidence_hit, evidence_coverage, evidence_iou, evidence_frames,
    first_hit_turn, redundancy` (None: cannot be said), `zooms, invalid_actions, reward_terms`.

    ## Arguments
    - `dataset`: a `Dataset`, or the name of a registered one, loaded with `split` and `dataset_options`.
    - `root`: the folder of a dataset given by name, short for `dataset_options={"root": ...}`.
    - `overview_fps`: at most so many overview frames a second, and at most `budget.overview_frames`; at least one.
    - `overview_from`: `exact` moments, or the `keyframes` before them: many times faster, true if uneven timestamps.
    - `budget`: a `Budget`, or some of its limits as a mapping.
    - `describe`: words beside each frame: `none`, `palette` (`new`: another largest colour), `captions`, or a callable.
    - `reward`: a preset's name, by default the protocol's; a `RewardConfig`, or some of its weights as a mapping.
    - `with_frames`: False leaves `frames` empty; frames are decoded for the description alone, and only when it is new.
    - `frame_size`: (width, height) of frames; by default the aspect is kept and `budget.max_pixels` bounds them.
    - `protocol`: `strict`, or `videozoomer`: frames, errors, end and reward of the published system, and its budget.
    - `eyes`: what may be asked for besides: `crop`, `subtitle_search`, `several_zooms`, `aliases`; see `Grammar`.
    - `zoom_mode`: `free`, `forced` (an answer wants a zoom before it) or `forbidden`.
    - `zoom_fps`: the rate of every zoom, whatever the policy asks for.
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
        overview_from: str = "exact",
        budget: Budget | Mapping[str, Any] | None = None,
        describe: str | Describer = "palette",
        reward: str | RewardConfig | Mapping[str, Any] | None = None,
        with_frames: bool = True,
        frame_size: tuple[int, int] | None = None,
        protocol: str = "strict",
        eyes: Grammar | Sequence[str] = (),
        zoom_mode: str = "free",
        zoom_fps: float | None = None,
        render_mode: str | None = None,
        dataset_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the dataset; no video is opened."""
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"render_mode must be None or one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        check_overview(overview_from, overview_fps, protocol)
        self.dataset = open_dataset(dataset, split, root, dataset_options)
        self.overview_fps, self.overview_from = overview_fps, overview_from
        self.grammar = as_grammar(eyes)
        self.protocol = as_protocol(protocol, grammar=self.grammar, zoom_mode=zoom_mode, zoom_fps=zoom_fps)
        self.budget = as_budget(budget, PUBLISHED_BUDGET if protocol == "videozoomer" else None)
        if zoom_mode == "forbidden":
            self.budget = replace(self.budget, max_zooms=0)
        self.reward_config = reward_config(reward, default=self.protocol.name)
        self.progress = TrainingProgress()
        """How far a training is, for rewards that depend on it: a trainer sets it before episodes end."""
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
        self.observation_space = make_observation_space(
            self.budget,
            frame_size,
            self.grammar,
            may_overdraw=self.protocol.may_overdraw,
            most_pictures=max(len(episode.question_images) for episode in self.dataset.episodes),
        )

    @property
    def system_text(self) -> str:
        """The rules and the grammar of the actions, for chat models that have not been trained on them."""
        return self.protocol.system_text(self.budget)

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
        state = BudgetState(
            self.budget,
            has_several_zooms=self.grammar.several_zooms,
            has_searches=self.grammar.subtitle_search,
            may_overdraw=self.protocol.may_overdraw,
        )
        run = begin_episode(
            episode,
            state,
            observer=self._observer,
            protocol=self.protocol,
            frames=self._overview_frames(),
            fps=self.overview_fps,
            from_keyframes=self.overview_from == "keyframes",
        )
        run.terms = dict.fromkeys(self.reward_config.terms, 0.0)
        self._run = run
        named = {"dataset": episode.dataset or self.dataset.name, "split": episode.split or self.dataset.split}
        observation = run.observation(self.protocol.overview_text(run), [run.overview, run.pictures])
        return observation, run.opening_info(**named)

    def _overview_frames(self) -> int:
        """How many frames the overview may show: drawn where the budget says so."""
        least, most = self.budget.min_overview_frames, self.budget.overview_frames
        return most if least is None else int(self.np_random.integers(least, most, endpoint=True))

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
        text = as_action_text(action)
        return self._close(run, text, self._take(run, self.protocol.read(text, run)))

    def _take(self, run: EpisodeState, decision: Decision) -> Turn:
        """What a decision comes to. What may raise comes before anything is spent."""
        how: dict[str, Any] = {"protocol": self.protocol, "config": self.reward_config}
        if isinstance(decision, tuple):
            looks = [self._look(run, plan) for plan in decision]
            return zoom_turn(run, decision, looks, tells_segments=self.grammar.several_zooms, **how)
        if isinstance(decision, SubtitleSearch):
            return search_turn(run, decision, self._observer.track(run.episode), protocol=self.protocol)
        if isinstance(decision, InvalidAction):
            return mistake_turn(run, decision, **how)
        return last_turn(run, decision)

    def moments(self, action: str) -> NDArray[np.float64]:
        """The moments, float64 (n,) seconds, that `step(action)` would show; none for what is no legal zoom.

        Spends nothing. A caller that steps many environments decodes ahead what they share: `look_ahead`.
        """
        run = self._current()
        decision = None if run.end_reason is not None else self.protocol.read(as_action_text(action), run)
        plans = decision if isinstance(decision, tuple) else ()
        moments = [plan.moments_to_read for plan in plans if plan.crop is None]  # a crop reads frames of another size
        return np.concatenate(moments) if moments else np.zeros(0)

    def look_ahead(self, timestamps_seconds: NDArray[np.float64]) -> None:
        """Bring moments of the running episode's video into the caches, so that steps find them there.

        Raises:
            VideoError: when the video cannot be read.
        """
        self._observer.warm(self._current().episode, timestamps_seconds)

    def _look(self, run: EpisodeState, plan: ZoomPlan) -> Look:
        """See what a zoom shows."""
        look = self._observer.look(run.episode, plan.moments_to_read, *([] if plan.crop is None else [plan.crop]))
        return replace(look, timestamps_seconds=plan.timestamps_seconds)

    def _close(self, run: EpisodeState, text: str, turn: Turn) -> StepResult:
        """End the episode if this turn does, add up the reward, fill in the info."""
        run.replies.append(text[:MAX_ACTION_CHARS])
        observation, terms, end = turn.observation, turn.terms, turn.end
        info = {"invalid_code": None, "segment": None, "clamped": None, "fps": None, "frames_new": 0, **turn.info}
        answer = end if isinstance(end, Answer) else None
        run.end_reason = (
            "answered" if answer else end.reason if isinstance(end, Stop) else self.protocol.end_reason(run)
        )
        if run.end_reason is not None:
            observation = run.observation(prompts.EPISODE_OVER)
            key = self.dataset.key(run.episode.id)  # the only place that reads it before the end
            how: dict[str, Any] = {"protocol": self.protocol, "config": self.reward_config, "progress": self.progress}
            ending, grades = end_episode(run, answer, key, **how)
            terms, info = {**terms, **ending}, {**info, **grades}
        for name, value in terms.items():
            run.terms[name] += value
        if run.end_reason is not None:
            info["reward_terms"] = dict(run.terms)
        info |= {"turn": run.state.turns_used, "frames_used": run.state.frames_used}
        is_terminated = answer is not None or (isinstance(end, Stop) and not end.is_truncated)
        is_truncated = run.end_reason is not None and not is_terminated
        return observation, float(sum(terms.values())), is_terminated, is_truncated, info

    def render(self) -> Any:
        """Draw the episode: text in mode `ansi`, a (height, width, 3) picture in mode `rgb_array`."""
        if self.render_mode is None:
            return None
        run = self._current()
        evidence = self.dataset.key(run.episode.id).evidence if run.end_reason is not None else ()
        if self.render_mode == "ansi":
            return draw_timeline(run, evidence)
        read_at, crop = run.overview.timestamps_seconds, None
        if run.zooms:
            read_at, crop = run.zooms[-1].moments_to_read, run.zooms[-1].crop
        return draw_sheet(run, self._observer.frames(run.episode, read_at, crop), evidence)

    def _current(self) -> EpisodeState:
        """The running or just ended episode."""
        if self._run is None:
            raise ResetNeeded("no episode is running: call reset() first")
        return self._run

    def __repr__(self) -> str:
        """Show the dataset; never an answer."""
        return f"VideoZoomEnv({self.dataset!r})"
