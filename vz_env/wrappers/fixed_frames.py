"""`FixedFrames`: observations of fixed shapes, all `Box`, for networks that cannot take a varying number of frames."""

from __future__ import annotations

from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray
from PIL import Image

from ..errors import ConfigError

__all__ = ["FixedFrames", "budget_vector", "evenly", "letterbox"]

Observation = dict[str, NDArray[Any]]

_LONGEST_SECONDS: Final = 1e9
"""No video is longer; Gymnasium's checker warns of a Box without a bound."""


class FixedFrames(gym.ObservationWrapper[Any, str, dict[str, Any]], RecordConstructorArgs):
    """Shows `num_frames` frames of one size, whatever the environment shows.

    The observation is a `Dict` of `Box`: `frames` uint8 (n, height, width, 3), their aspect kept by black borders;
    `mask` uint8 (n,), 1 where there is a frame; `timestamps` float64 (n,) seconds, 0 where there is none; `budget`
    int64 (3,), turns, zooms and frames left. More frames than n are thinned out evenly. The text is left out: it is no
    `Box`; `DiscreteZoom` carries the question in numbers.

    Args:
        env: a `VideoZoomEnv`, with frames.
        num_frames: n.
        height: pixels of a frame.
        width: pixels of a frame.

    Raises:
        ConfigError: a number below 1.
    """

    def __init__(self, env: gym.Env[dict[str, Any], str], num_frames: int, height: int, width: int) -> None:
        """Replace the observation space."""
        if min(num_frames, height, width) < 1:
            raise ConfigError(f"num_frames, height and width must be at least 1, got {num_frames}, {height}, {width}")
        RecordConstructorArgs.__init__(self, num_frames=num_frames, height=height, width=width)
        gym.ObservationWrapper.__init__(self, env)
        self.num_frames, self.height, self.width = num_frames, height, width
        self.observation_space = Dict(
            {
                "frames": Box(0, 255, (num_frames, height, width, 3), np.uint8),
                "mask": Box(0, 1, (num_frames,), np.uint8),
                "timestamps": Box(0.0, _LONGEST_SECONDS, (num_frames,), np.float64),
                "budget": Box(0, np.iinfo(np.int64).max, (3,), np.int64),
            }
        )

    def observation(self, observation: dict[str, Any]) -> Observation:
        """Letterbox and pad."""
        kept = evenly(len(observation["frames"]), self.num_frames)
        frames = np.zeros((self.num_frames, self.height, self.width, 3), dtype=np.uint8)
        mask = np.zeros(self.num_frames, dtype=np.uint8)
        timestamps = np.zeros(self.num_frames, dtype=np.float64)
        for place, index in enumerate(kept):
            frames[place] = letterbox(observation["frames"][index], self.height, self.width)
            mask[place], timestamps[place] = 1, observation["timestamps"][index]
        return {
            "frames": frames,
            "mask": mask,
            "timestamps": timestamps,
            "budget": budget_vector(observation),
        }


def budget_vector(observation: dict[str, Any]) -> NDArray[np.int64]:
    """What is left of turns, zooms and frames: int64 (3,)."""
    return np.array([observation["budget"][name] for name in ("turns", "zooms", "frames")], dtype=np.int64)


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` things, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index) for index in np.linspace(0, count - 1, most).tolist()]


def letterbox(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Fit a frame into a size, its aspect kept, the rest black.

    Args:
        frame: uint8 (h, w, 3).
        height: of the result.
        width: of the result.

    Returns:
        uint8 (height, width, 3).
    """
    source_height, source_width = frame.shape[:2]
    scale = min(height / source_height, width / source_width)
    new_height = max(1, min(height, round(source_height * scale)))
    new_width = max(1, min(width, round(source_width * scale)))
    picture = Image.fromarray(frame).resize((new_width, new_height), Image.Resampling.BILINEAR)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - new_height) // 2, (width - new_width) // 2
    canvas[top : top + new_height, left : left + new_width] = np.asarray(picture)
    return canvas
