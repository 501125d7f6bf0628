"""Examples for a model that sees: a teacher's actions played again, as the model itself will be shown what they bring.

A trajectory holds no pixels, and its teacher may have read descriptions that the model is not given. So its actions are
played once more in the model's own environment, and every message is taken from there, with its frames. Imported
conversations have no environment here, and name the pictures that they were about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from vz_env.errors import DatasetError
from vz_env.pictures import question_picture

from .batching import Example
from .frames import FrameStore, RowFrames
from .model import LanguageModel
from .repairs import first_own_turn
from .trajectory import Trajectory

__all__ = ["pictured_example", "seen_example", "seen_examples"]


def seen_examples(
    model: LanguageModel,
    trajectories: Sequence[Trajectory],
    make_env: Callable[[], gym.Env[Any, str]],
    *,
    mask_student: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Example]:
    """Make examples of trajectories with the frames that their actions bring.

    Args:
        model: who will be trained on them.
        trajectories: whose actions are imitated.
        make_env: builds the environment of the model, with frames.
        mask_student: see `example_of`.
        progress: called with (trajectories done, all).

    Raises:
        DatasetError: an episode ends before its actions do: the environment is not the one of the recording.
        VideoError: a video cannot be read.
    """
    store, env, examples = model.new_store(), make_env(), []
    try:
        for trajectory in trajectories:
            examples.append(seen_example(model, trajectory, env, store=store, mask_student=mask_student))
            if progress is not None:
                progress(len(examples), len(trajectories))
    finally:
        env.close()
    return examples


def seen_example(
    model: LanguageModel,
    trajectory: Trajectory,
    env: gym.Env[Any, str],
    *,
    store: FrameStore | None = None,
    mask_student: bool = True,
) -> Example:
    """Make an example of one trajectory by playing it.

    Args:
        model: who will be trained on it.
        trajectory: whose actions are imitated.
        env: the environment of the model, with frames, which holds the episode.
        store: of the model, shared by all examples, so that a frame is kept once.
        mask_student: see `example_of`.

    Raises:
        DatasetError: the episode is not there, or ends before its actions do.
        VideoError: its video cannot be read.
    """
    row = _Row(model, trajectory, store, mask_student=mask_student)
    seen, _ = env.reset(seed=trajectory.seed, options={"episode_id": trajectory.episode_id})
    is_over = False
    for number, turn in enumerate(trajectory.turns):
        if is_over:
            raise DatasetError(
                f"{trajectory.episode_id}: wanted {len(trajectory.turns)} turns, as recorded, got {number}: the "
                "environment is not built as it was for the recording"
            )
        row.add(seen["text"], seen["frames"], seen["timestamps"].tolist())
        seen, _, terminated, truncated, _ = env.step(turn.action)
        is_over = bool(terminated or truncated)
    return row.example


def pictured_example(
    model: LanguageModel,
    trajectory: Trajectory,
    root: Path,
    *,
    max_pixels: int,
    store: FrameStore | None = None,
    mask_student: bool = True,
) -> Example:
    """Make an example of a trajectory whose turns name their pictures, as those of imported conversations do.

    Args:
        model: who will be trained on it.
        trajectory: `info["images"]` of a turn names the files of its frames.
        root: the folder that these names are relative to, and that none may leave.
        max_pixels: of a frame; larger pictures are made smaller.
        store: of the model, shared by all examples, so that a frame is kept once.
        mask_student: see `example_of`.

    Raises:
        VideoError: a picture is not there, lies elsewhere, or is none.
    """
    row = _Row(model, trajectory, store, mask_student=mask_student)
    for turn in trajectory.turns:
        names = turn.info.get("images") or []
        frames = [question_picture(root / name, root, size=None, max_pixels=max_pixels) for name in names]
        is_timed = len(turn.timestamps) == len(frames)
        row.add(turn.observation, frames, turn.timestamps if is_timed else [math.nan] * len(frames))
    return row.example


class _Row:
    """The token sequence of a trajectory, message by message, with its frames and its loss mask."""

    def __init__(
        self, model: LanguageModel, trajectory: Trajectory, store: FrameStore | None, *, mask_student: bool
    ) -> None:
        self.model, self.trajectory, self.store = model, trajectory, store
        self.first = first_own_turn(trajectory) if mask_student else 0  # turns before it are shown and not learned
        self.number, self.is_turn_ended = 0, True
        self.example = Example([], [], RowFrames())

    def add(self, text: str, frames: Any, timestamps: list[float]) -> None:
        """Append what the environment showed in the next turn, and what was replied."""
        example, number = self.example, self.number
        chunk = self.model.chunk(
            text, frames, timestamps, is_first=number == 0, is_turn_ended=self.is_turn_ended, store=self.store
        )
        example.frames.add(len(example.ids), chunk.frames)
        written = _written(self.model, self.trajectory, number)
        example.ids.extend(chunk.ids + written)
        example.mask.extend([0] * len(chunk) + [int(number >= self.first)] * len(written))
        self.is_turn_ended = written[-1:] == [self.model.chat.end_id]
        self.number += 1


def _written(model: LanguageModel, trajectory: Trajectory, number: int) -> list[int]:
    """The ids of one reply: sampled ones verbatim, else those of its text."""
    tokens = trajectory.tokens
    if tokens is None:
        return model.chat.reply_ids(trajectory.turns[number].action)
    return [token for token, turn in zip(tokens.ids, tokens.turn, strict=True) if turn == number]
