"""What a rollout costs without a cache between turns: transformers' `generate()` over the whole conversation each turn.

This is how trainers without a rollout engine of their own sample many turns. It is measured at its best: rows advance
together in one batch, every frame is cut into patches once, and no log-probabilities are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from vz_agents.frames import Chunk, Frame, FrameStore, RowFrames, cut_into_patches
from vz_agents.model import LanguageModel

__all__ = ["generate_episodes", "generate_replies"]


@torch.no_grad()
def generate_episodes(
    model: LanguageModel, envs: Sequence[gym.Env[Any, str]], episode_id: str, *, max_new_tokens: int, do_sample: bool
) -> list[list[int]]:
    """Play one episode in each environment; they must take equally many turns.

    Returns:
        The ids of each conversation.
    """
    store = model.new_store()
    patches: dict[int, Tensor] = {}
    rows: list[list[int]] = [[] for _ in envs]
    frames = [RowFrames() for _ in envs]
    seen = [env.reset(seed=0, options={"episode_id": episode_id})[0] for env in envs]
    is_over = False
    while not is_over:
        for row, held, shown in zip(rows, frames, seen, strict=True):
            chunk = _chunk(model, shown, store, is_first=not row)
            held.add(len(row), chunk.frames)
            row.extend(chunk.ids)
        replies = generate_replies(model, rows, frames, patches, max_new_tokens=max_new_tokens, do_sample=do_sample)
        seen = []
        for env, row, reply in zip(envs, rows, replies, strict=True):
            row.extend(reply)
            shown, _, terminated, truncated, _ = env.step(model.chat.reply_text(reply))
            seen.append(shown)
            is_over = is_over or bool(terminated or truncated)
    return rows


def _chunk(model: LanguageModel, shown: dict[str, Any], store: FrameStore | None, *, is_first: bool) -> Chunk:
    times = shown["timestamps"].tolist()
    return model.chunk(shown["text"], shown["frames"], times, is_first=is_first, is_turn_ended=False, store=store)


def generate_replies(
    model: LanguageModel,
    rows: Sequence[list[int]],
    frames: Sequence[RowFrames],
    patches: dict[int, Tensor],
    *,
    max_new_tokens: int,
    do_sample: bool,
) -> list[list[int]]:
    """One reply of exactly `max_new_tokens` to each conversation.

    Args:
        model: who replies.
        rows: ids of the conversations.
        frames: those among them.
        patches: of frames by identity, filled as new ones come.
        max_new_tokens: length of a reply.
        do_sample: whether tokens are drawn; the likeliest otherwise.
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    placed = [frame for held in frames for _, frame in held.placed]
    if placed:
        inputs |= _pictures(model, placed, patches)
        inputs["mm_token_type_ids"] = (ids == model.chat.image_id).long()
    drawn: dict[str, Any] = {"do_sample": True, "top_k": 0} if do_sample else {"do_sample": False}
    if placed:  # an image token that a random model samples would be taken for a picture that is missing
        drawn["suppress_tokens"] = [model.chat.image_id, model.lm.config.video_token_id]
    made = model.lm.generate(**inputs, max_new_tokens=max_new_tokens, min_new_tokens=max_new_tokens, **drawn)
    return [reply.tolist() for reply in made[:, longest:]]


def _pictures(model: Any, placed: Sequence[Frame], patches: dict[int, Tensor]) -> dict[str, Tensor]:
    """The pictures of every row, as the library's forward pass takes them."""
    merge = model.processor.merge_size
    for frame in placed:
        if id(frame) not in patches:
            patches[id(frame)] = cut_into_patches(model.processor, frame.pixels).patches
    grid = [[1, merge * frame.rows, merge * frame.columns] for frame in placed]
    return {
        "pixel_values": torch.cat([patches[id(frame)] for frame in placed]),
        "image_grid_thw": torch.tensor(grid),
    }
