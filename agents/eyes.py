"""Eyes for a small language model: a vision tower put before it, and taught to say what words would have said.

`graft_eyes` makes a Qwen2.5-VL whose text part begins with the weights of a tiny Llama. `teach_eyes` trains its vision
tower alone, so that what it makes of a frame lies where the embeddings of the frame's description lie. Both are a
stand-in for the pretraining that a real vision-language model comes with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .frames import Frame
from .model import LanguageModel
from .tiny_vlm import TinyVisionConfig, build_tiny_vlm
from .vision_model import VisionLanguageModel

__all__ = ["graft_eyes", "teach_eyes"]

_BATCH = 64


@torch.no_grad()
def graft_eyes(reader: LanguageModel, eyes: TinyVisionConfig, *, seed: int = 0) -> VisionLanguageModel:
    """Build a model that sees, whose text part is a tiny Llama's.

    Qwen2.5-VL has no bias behind its attention: the Llama's, which is small, is left out. The rows of the vocabulary
    that pictures add begin at the mean of the others.

    Args:
        reader: the tiny Llama.
        eyes: shape of the vision tower; the text part's is the reader's.
        seed: of the vision tower's weights.
    """
    config = reader.lm.config
    shape = replace(
        eyes,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        max_length=config.max_position_embeddings,
        rope_theta=config.rope_parameters["rope_theta"],
        norm_epsilon=config.rms_norm_eps,
        plain_positions=True,
    )
    model = build_tiny_vlm(reader.tokenizer, shape, seed=seed)
    text = model.lm.model.language_model
    words = reader.lm.model.embed_tokens.weight
    text.embed_tokens.weight[: len(words)] = words
    text.embed_tokens.weight[len(words) :] = words.mean(0)
    known = {name: weight for name, weight in reader.lm.model.state_dict().items() if "embed_tokens" not in name}
    text.load_state_dict({name: weight for name, weight in known.items() if "o_proj.bias" not in name}, strict=False)
    return model


def teach_eyes(
    model: VisionLanguageModel,
    frames: Sequence[NDArray[np.uint8]],
    descriptions: Sequence[str],
    *,
    steps: int,
    lr: float = 2e-3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Train the vision tower so that the tokens of a frame are the first tokens of its description.

    Args:
        model: whose tower is trained, and frozen again; the rest is left alone.
        frames: uint8 (height, width, 3) each, all of one size.
        descriptions: of each frame.
        steps: optimiser steps, of 64 frames each.
        lr: learning rate at the beginning; it falls linearly.
        seed: of the batches.
        progress: called with (steps done, steps).

    Returns:
        The share of the words' variance that is explained in the last tenth of the steps; 1 is perfect.
    """
    store, random = model.new_store(), Random(seed)
    seen = [store.frame(pixels) for pixels in frames]
    words = _embedded(model, descriptions, seen[0].tokens)
    tower = model.lm.model.visual.requires_grad_(True)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=lr)
    last: list[float] = []
    for step in range(steps):
        chosen = random.sample(range(len(seen)), min(_BATCH, len(seen)))
        loss = functional.mse_loss(_see(model, [seen[index] for index in chosen]), words[chosen])
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = lr * (1.0 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        if step >= 0.9 * steps:
            last.append(loss.item())
        if progress is not None:
            progress(step + 1, steps)
    tower.requires_grad_(False)
    spread = float((words - words.mean(0)).square().mean())
    return 1.0 - sum(last) / len(last) / spread if last and spread else 0.0


def _see(model: VisionLanguageModel, frames: Sequence[Frame]) -> Tensor:
    """What the tower makes of frames of one size: (frames, tokens, hidden_size)."""
    features, *_ = model.features(frames)
    return features.view(len(frames), frames[0].tokens, -1)


@torch.no_grad()
def _embedded(model: VisionLanguageModel, descriptions: Sequence[str], tokens: int) -> Tensor:
    """Embeddings of the first tokens of each description, zeros behind its end: (descriptions, tokens, hidden_size)."""
    table = model.lm.get_input_embeddings().weight
    words = torch.zeros(len(descriptions), tokens, table.shape[1])
    for row, text in enumerate(descriptions):
        ids = model.chat.text_ids(f" {text}")[:tokens]
        words[row, : len(ids)] = table[torch.tensor(ids)]
    return words
