"""What a server is sent: the rules, the texts so far, and the frames, escaped so that no role can be found in them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_env.budget import Budget
from vz_env.prompts import system_message

from .interchange.conversation import cut_at_frames
from .interchange.escaping import escape_tokens
from .policy import Observation, SeenTurn

__all__ = ["history_messages", "opening_messages", "reply_message", "seen_message"]

Message = dict[str, Any]
"""A role and its content, a text or parts of text and image."""


def opening_messages(system: str | None, rules: str | None = None) -> list[Message]:
    """The system message: what was asked for, else the environment's rules, else ours; none where it is empty."""
    content = system if system is not None else rules or system_message(Budget())
    return [{"role": "system", "content": content}] if content else []


def history_messages(observation: Observation, *, images: bool) -> list[Message]:
    """The earlier turns of an observation, with the frames of those that it holds frames of."""
    messages: list[Message] = []
    for past in observation.history:
        is_seen = images and isinstance(past, SeenTurn)
        sight = (past.frames, past.timestamps.tolist()) if is_seen else ((), ())
        messages += [_message(past.observation_text, *sight), reply_message(past.action)]
    return messages


def reply_message(action: str) -> Message:
    """A reply, as the conversation goes on with it."""
    return {"role": "assistant", "content": escape_tokens(action)}


def seen_message(observation: Observation, *, images: bool) -> Message:
    """What is seen in a turn; with `images` each frame stands behind its line."""
    sight = (observation.frames, observation.timestamps.tolist()) if images else ((), ())
    return _message(observation.text, *sight)


def _message(text: str, frames: Sequence[NDArray[np.uint8]], timestamps: Sequence[float]) -> Message:
    """A message of the environment, as a text or as parts."""
    if not len(frames):
        return {"role": "user", "content": escape_tokens(text)}
    parts: list[Message] = []
    for number, piece in enumerate(cut_at_frames(text, timestamps)):
        if number:
            url = _data_url(frames[number - 1])
            parts.append({"type": "image_url", "image_url": {"url": url}})
        parts += [{"type": "text", "text": escape_tokens(piece)}] if piece else []
    return {"role": "user", "content": parts}


def _data_url(frame: NDArray[np.uint8]) -> str:
    """A frame (height, width, 3) as the address of a JPEG that it holds itself."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
