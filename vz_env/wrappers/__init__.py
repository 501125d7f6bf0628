"""Wrappers of `VideoZoomEnv`: other shapes for what a policy sees and does, and a record of what it did.

- `FixedFrames`: all `Box`: a fixed number of letterboxed frames with a mask, for networks with a fixed input.
- `DiscreteZoom`: `MultiDiscrete` actions and a `Dict` of `Box` observations, for classic RL libraries.
- `TextOnly`: the observation is the text.
- `Transcript`: `text` holds the whole conversation so far.
- `RecordTrajectory`: every finished episode becomes a line of a JSONL file.
"""

from __future__ import annotations

from .discrete_zoom import DiscreteZoom
from .fixed_frames import FixedFrames
from .record import RecordTrajectory
from .text import TextOnly, Transcript

__all__ = ["DiscreteZoom", "FixedFrames", "RecordTrajectory", "TextOnly", "Transcript"]
