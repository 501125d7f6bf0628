"""Examples for a model that sees: a teacher's actions played again, as the model itself will be shown what they bring.

A trajectory holds no pixels, and its teacher may have read descriptions that the model is not given. So its actions are
played once more in the model's own environment, and every message is taken from there, with its frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from vz_env.errors import DatasetError

from .batching import Example
from .frames import FrameStore, RowFrames
from .model import LanguageModel
from .repairs import first_own_turn
from .trajectory import Trajectory

__all__ = ["seen_example", "seen_examples"]


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
    first = first_own_turn(trajectory) if mask_student else 0  # turns before it are shown and not learned
    ids: list[int] = []
    mask: list[int] = []
    frames = RowFrames()
    seen, _ = env.reset(seed=trajectory.seed, options={"episode_id": trajectory.episode_id})
    is_turn_ended, is_over = True, False
    for number, turn in enumerate(trajectory.turns):
        if is_over:
            raise DatasetError(
                f"{trajectory.episode_id}: wanted {len(trajectory.turns)} turns, as recorded, got {number}: the "
                "environment is not built as it was for the recording"
            )
        chunk = model.chunk(
            seen["text"],
            seen["frames"],
            seen["timestamps"].tolist(),
            is_first=number == 0,
            is_turn_ended=is_turn_ended,
            store=store,
        )
        frames.add(len(ids), chunk.frames)
        written = _written(model, trajectory, number)
        is_turn_ended = written[-1:] == [model.chat.end_id]
        ids += chunk.ids + written
        mask += [0] * len(chunk) + [int(number >= first)] * len(written)
        seen, _, terminated, truncated, _ = env.step(turn.action)
        is_over = bool(terminated or truncated)
    return Example(ids, mask, frames)


def _written(model: LanguageModel, trajectory: Trajectory, number: int) -> list[int]:
    """The ids of one reply: sampled ones verbatim, else those of its text."""
    tokens = trajectory.tokens
    if tokens is None:
        return model.chat.reply_ids(trajectory.turns[number].action)
    return [token for token, turn in zip(tokens.ids, tokens.turn, strict=True) if turn == number]
