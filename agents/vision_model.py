"""Vision-language models of the Qwen2-VL family (Qwen2-VL, Qwen2.5-VL, Qwen3-VL): frames as images between the text.

A frame stands behind the line that states its time. The vision tower is frozen unless it is trained too, and then reads
every distinct frame once: what it made of a frame is kept with the frame, for sampling and for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2VLImageProcessorPil,
)

from vz_env.errors import ConfigError

from .chat import PictureRenderer
from .frames import Chunk, Frame, FrameStore, PlacedFrame, RowFrames, cut_into_patches
from .interchange.conversation import cut_at_frames
from .model import LanguageModel

__all__ = ["VisionLanguageModel"]

_FAMILY: Final = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
_PATCHES_PER_CALL: Final = 16_384  # bounds the tower's memory: some 32 frames of 100,352 pixels


class VisionLanguageModel(LanguageModel):
    """A language model that sees frames."""

    needs_frames: ClassVar[bool] = True
    chat: PictureRenderer

    def __init__(
        self,
        lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        processor: Any,
        *,
        system: str | None = None,
        train_vision: bool = False,
    ) -> None:
        """Join the parts.

        Args:
            lm: the model, of the Qwen2-VL family.
            tokenizer: its tokenizer, with a chat template that takes pictures.
            processor: its image processor.
            system: see `LanguageModel`.
            train_vision: whether the vision tower is trained; frozen otherwise.

        Raises:
            ConfigError: the chat template cannot be used.
        """
        super().__init__(lm, tokenizer, system=system)
        self.chat = PictureRenderer(tokenizer, image_id=lm.config.image_token_id, system=system)
        self.processor = processor
        self.lm.model.visual.requires_grad_(train_vision)

    @classmethod
    def read(cls, folder: str | Path, *, system: str | None, **given: Any) -> VisionLanguageModel:
        """Read the parts from a folder; `LanguageModel.load` does, and says what is wrong with it."""
        kind = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
        if kind not in _FAMILY:
            raise ConfigError(
                f"wanted a vision-language model out of {', '.join(_FAMILY)}, got {kind} in {str(folder)!r}; "
                "any other plays through an OpenAI-compatible server"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        lm = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given)
        return cls(lm, tokenizer, processor, system=system)

    def save(self, folder: str | Path) -> None:
        """Write weights, tokenizer, image processor and value head into a new or existing folder."""
        super().save(folder)
        self.processor.save_pretrained(folder)

    @property
    def trains_vision(self) -> bool:
        """Whether the vision tower's weights change, so that nothing it made may be kept."""
        return any(weight.requires_grad for weight in self.lm.model.visual.parameters())

    def new_store(self) -> FrameStore:
        """Where frames are kept while they are in use."""
        return FrameStore(self.processor)

    def chunk(
        self,
        text: str,
        frames: NDArray[np.uint8] | None = None,
        timestamps: Sequence[float] = (),
        *,
        is_first: bool,
        is_turn_ended: bool = True,
        store: FrameStore | None = None,
    ) -> Chunk:
        """See `LanguageModel.chunk`; each frame is put behind the line with its time."""
        store = self.new_store() if store is None else store  # an empty store is false
        seen = [] if frames is None else [store.frame(pixels) for pixels in frames]
        texts = cut_at_frames(text, list(timestamps)) if seen else (text,)
        tokens = [frame.tokens for frame in seen]
        if is_first:
            ids, starts = self.chat.first_pictured(texts, tokens)
        else:
            ids, starts = self.chat.next_pictured(texts, tokens, is_turn_ended=is_turn_ended)
        return Chunk(ids, tuple(map(PlacedFrame, starts, seen)))

    @torch.no_grad()
    def encode(self, frames: Sequence[Frame]) -> None:
        """Let the frozen tower read the frames that it has not read yet."""
        new = list({id(frame): frame for frame in frames if frame.features is None}.values())
        for frame, features in zip(new, self._read(new), strict=True):
            frame.features, frame.patches = features, None

    def positions(self, rows: Sequence[RowFrames], length: int, plain: Tensor | None = None) -> Tensor:
        """Positions in time, height and width: int64 (3, batch, length).

        Args:
            rows: the frames of each row.
            length: of the rows.
            plain: positions that count tokens, (batch, length); from 0 by default.
        """
        offsets = torch.stack([row.offsets(length) for row in rows], 1).to(self.device)
        return offsets + (torch.arange(length, device=self.device) if plain is None else plain)

    def hidden(
        self,
        ids: Tensor,
        *,
        frames: Sequence[RowFrames] | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """See `LanguageModel.hidden`.

        Plain `position_ids` (batch, length) count tokens: what frames change about them is added here, those before
        the first token by the rows' `shift`. Of shape (3, batch, length) they are taken as they are.
        """
        rows = frames if frames is not None else [RowFrames()] * len(ids)
        length = ids.shape[1]
        if position_ids is None or position_ids.ndim == 2:
            position_ids = self.positions(rows, length, position_ids)
        with self._forward_options(kwargs):
            embedded = self.lm.get_input_embeddings()(ids)
            placed = [frame for row in rows for _, frame in row.placed]
            if placed:
                features, *deeper = self.features(placed)
                is_frame = torch.stack([row.is_frame(length) for row in rows]).to(self.device)
                embedded = embedded.masked_scatter(is_frame[..., None], features.to(embedded.dtype))
                if deeper:  # Qwen3-VL adds what lower layers of the tower made to the first layers' states
                    kwargs |= {"visual_pos_masks": is_frame, "deepstack_visual_embeds": deeper}
            text_model = self.lm.model.language_model
            return text_model(inputs_embeds=embedded, position_ids=position_ids, **kwargs).last_hidden_state

    def features(self, frames: Sequence[Frame]) -> list[Tensor]:
        """What the tower makes of the frames, one after the other: (tokens, hidden_size) for each layer that reads it.

        A tower that is trained reads each distinct frame of the call once, with gradients where they are on.
        """
        if not self.trains_vision:
            self.encode(frames)
            known = {id(frame): frame.features for frame in frames}
        else:
            distinct = list({id(frame): frame for frame in frames}.values())
            known = {id(frame): features for frame, features in zip(distinct, self._read(distinct), strict=True)}
        return [torch.cat(level) for level in zip(*(known[id(frame)] for frame in frames), strict=True)]

    def _read(self, frames: Sequence[Frame]) -> list[tuple[Tensor, ...]]:
        """Run the tower over frames, some at a time."""
        read: list[tuple[Tensor, ...]] = []
        batch: list[Frame] = []
        held = 0
        merge = self.processor.merge_size**2
        for frame in frames:
            if batch and held + frame.tokens * merge > _PATCHES_PER_CALL:
                read += self._read_at_once(batch)
                batch, held = [], 0
            batch.append(frame)
            held += frame.tokens * merge
        return read + (self._read_at_once(batch) if batch else [])

    def _read_at_once(self, frames: Sequence[Frame]) -> list[tuple[Tensor, ...]]:
        """Run the tower over frames that fit its memory."""
        merge = self.processor.merge_size
        patches = [
            frame.patches if frame.patches is not None else cut_into_patches(self.processor, frame.pixels).patches
            for frame in frames
        ]
        grid = torch.tensor([[1, frame.rows * merge, frame.columns * merge] for frame in frames], device=self.device)
        made = self.lm.model.get_image_features(torch.cat(patches).to(self.device), grid)
        levels = [made.pooler_output, *(getattr(made, "deepstack_features", None) or ())]
        return list(zip(*levels, strict=True))
